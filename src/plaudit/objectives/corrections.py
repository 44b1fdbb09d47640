"""Importance weights for samples that an older or a differently computed policy drew.

``mu`` is the policy that sampled (an engine's kernels, an older version), ``prox`` the policy at
the start of the step, computed by the learner. The surrogate's ratio is taken to ``prox``, and the
advantage is multiplied by a weight made of ``prox / mu``, which carries no gradient: decoupled PPO
(Hilton et al. 2021).

Shapes: N policy tokens of one response.
"""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from torch import Tensor

CorrectionKind = Literal["decoupled", "truncate", "mask"]
CorrectionLevel = Literal["token", "sequence"]


def importance_weights(
    log_ratio_N: Tensor,
    *,
    kind: CorrectionKind,
    level: CorrectionLevel,
    cap: float = 2.0,
    floor: float = 0.5,
) -> Tensor:
    """The weight of each token of a response, from ``log(prox / mu)``.

    ``decoupled``: the ratio itself. ``truncate``: ``min(ratio, cap)`` (TIS, cap 2). ``mask``: the
    ratio within ``[floor, cap]``, else 0 (MIS, IcePop, [0.5, 2]). By ``sequence`` the ratio is that
    of the whole response: free of bias, of higher variance.
    """
    if level == "sequence":
        log_ratio_N = log_ratio_N.sum().expand_as(log_ratio_N)
    ratio_N = log_ratio_N.exp()
    match kind:
        case "decoupled":
            return ratio_N
        case "truncate":
            return ratio_N.clamp(max=cap)
        case "mask":
            return torch.where((ratio_N >= floor) & (ratio_N <= cap), ratio_N, 0.0)
        case _:
            assert_never(kind)

"""A reward that does not pay for length: two heads, one of which takes the length up (ODIN).

The heads' sum is trained on the judgments; the length head is drawn towards the length, the quality
head away from it, and only the quality head is used (Chen et al. 2024, arXiv:2402.07319; without
their term that keeps the two heads' weights orthogonal).

Shapes: S responses of a whole update.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

HEADS = ("quality", "length")


class LengthSlopes(NamedTuple):
    """What ``|corr(quality, length)| - corr(length head, length)`` wants of every score."""

    quality_S: Tensor
    length_S: Tensor
    correlation: float
    """Of the quality head with the length, before the update."""


def length_slopes(quality_S: Tensor, head_S: Tensor, length_S: Tensor) -> LengthSlopes:
    """The gradient of ODIN's length loss in every score of an update.

    A correlation is no sum over micro-batches, but its gradient is one number a score. Computed
    for the whole update before it is cut, these numbers make a plain sum ``sum_s slope_s r_s``
    with the same gradient under any split.
    """
    scores_2S = torch.stack([quality_S, head_S]).detach().double().requires_grad_()
    with torch.enable_grad():
        quality = _correlation(scores_2S[0], length_S.double())
        (quality.abs() - _correlation(scores_2S[1], length_S.double())).backward()
    assert scores_2S.grad is not None
    found_2S = scores_2S.grad.to(quality_S.dtype)
    return LengthSlopes(found_2S[0], found_2S[1], float(quality.detach()))


def _correlation(x_S: Tensor, y_S: Tensor) -> Tensor:
    """Pearson's; 0, without a slope, where either is constant."""
    x_S, y_S = x_S - x_S.mean(), y_S - y_S.mean()
    product = x_S.square().sum() * y_S.square().sum()
    if product < 1e-24:
        return 0.0 * x_S.sum()
    return (x_S * y_S).sum() / product.sqrt()

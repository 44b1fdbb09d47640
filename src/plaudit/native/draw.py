"""Drawing tokens in one call: see ``draw.cpp``.

Shapes: B sequences, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.native.calls import address, kernel, takes, threads_for

BROKEN = "a model's logits are not numbers: its weights are broken or too large"


def is_drawable(logits_BV: Tensor) -> bool:
    return logits_BV.dtype == torch.float32 and takes(logits_BV)


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The first token at which the cumulative probability exceeds ``u``, and its log-probability,
    under ``softmax(logits / temperature)``.

    Raises:
        ValueError: a logit is not a number, or infinite.
    """
    rows, size = logits_BV.shape
    logits_BV, uniform_B = logits_BV.contiguous(), uniform_B.double().contiguous()
    token_B = torch.empty(rows, dtype=torch.int64)
    logprob_B = torch.empty(rows)
    kernel("draw_tokens", logits_BV.dtype, "ppnnfppi")(
        address(logits_BV), address(uniform_B), rows, size, temperature,
        address(token_B), address(logprob_B), threads_for(logits_BV.numel()),
    )  # fmt: skip
    if (token_B < 0).any():
        raise ValueError(BROKEN)
    return token_B, logprob_B

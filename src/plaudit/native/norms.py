"""RMSNorm, with the sum of the residual stream before it. Kernels: norms.cpp.

Shapes: any leading sizes (X tokens together), D hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plaudit.native.calls import address, kernel, threads_for

_CHUNKS = 64
"""Of tokens, whose shares of a weight's gradient are summed apart and then in their order."""


def rms_norm(x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    """``y = weight x / sqrt(mean(x^2) + epsilon)`` over the last dimension (Zhang and Sennrich
    2019, equation 4), in float32 but for the last product."""
    return rms_norm_of_sum(x, None, weight_D, epsilon)[1]


def rms_norm_of_sum(
    x: Tensor, added: Tensor | None, weight_D: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """``s = x + added`` (x where nothing is added), and ``rms_norm(s)``.

    What comes back to s from both sides is summed as it is written.
    """
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, added, weight_D, epsilon)  # pyright: ignore[reportReturnType]
    return _normed(x, added, weight_D, epsilon)[:2]


def _normed(
    x: Tensor, added: Tensor | None, weight_D: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """s, y, and ``1 / sqrt(mean(s^2) + epsilon)`` [X]."""
    x, added = x.contiguous(), None if added is None else added.contiguous()
    size = x.shape[-1]
    tokens = x.numel() // size
    y, inverse_X = torch.empty_like(x), torch.empty(tokens)
    s = x if added is None else torch.empty_like(x)
    kernel("rms_norm", x.dtype, "ppppppnnfi")(
        address(x), address(added), address(weight_D), address(s), address(y),
        address(inverse_X), tokens, size, epsilon, threads_for(tokens * size),
    )  # fmt: skip
    return s, y, inverse_X


class _RMSNorm(torch.autograd.Function):
    """``d_s = r (g - n mean(g n)) + d_past`` and ``d_weight = sum_x d_y n``, with
    ``r = 1 / sqrt(mean(s^2) + epsilon)``, ``n = r s`` and ``g = weight d_y``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, added: Tensor | None, weight_D: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        s, y, inverse_X = _normed(x, added, weight_D, epsilon)
        ctx.save_for_backward(s, weight_D, inverse_X)
        ctx.set_materialize_grads(False)
        return x if added is None else s, y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_past: Tensor | None, d_y: Tensor | None) -> tuple[Tensor | None, ...]:
        needs_x, needs_added, needs_weight, _ = ctx.needs_input_grad
        if d_y is None:
            return d_past, d_past if needs_added else None, None, None
        s, weight_D, inverse_X = ctx.saved_tensors
        d_y, d_past = d_y.contiguous(), None if d_past is None else d_past.contiguous()
        tokens, size = len(inverse_X), len(weight_D)
        d_s = torch.empty_like(s)
        chunks = min(_CHUNKS, tokens)
        d_weight_CD = torch.empty(chunks, size) if needs_weight else None
        d_weight_D = torch.empty_like(weight_D) if needs_weight else None
        kernel("rms_norm_back", s.dtype, "ppppppppnnni")(
            address(s), address(weight_D), address(inverse_X), address(d_y), address(d_past),
            address(d_s), address(d_weight_CD), address(d_weight_D), tokens, size, chunks,
            threads_for(tokens * size),
        )  # fmt: skip
        return d_s if needs_x else None, d_s if needs_added else None, d_weight_D, None

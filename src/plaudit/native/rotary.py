"""Rotary positions (Su et al. 2021, equation 34, in the halves' order). Kernel: rotary.cpp.

Shapes: B rows, T tokens, H heads (of queries or of keys), D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plaudit.native.calls import address, kernel, threads_for


def turned(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x cos + rotate_half(x) sin`` in one pass; back it is the turn by minus the angle.

    Args:
        cos, sin: [B, T, D], or [1, T, D] for all rows; both halves of D alike.
    """
    if torch.is_grad_enabled():
        return _Turn.apply(x_BTHD, cos, sin)  # pyright: ignore[reportReturnType]
    return _turned(x_BTHD, cos, sin, 1.0)


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x_BTHD, cos, sin, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(grads[0], cos, sin, -1.0), None, None


def _turned(x_BTHD: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    rows, tokens, heads, size = x_BTHD.shape
    assert cos.shape[0] in (1, rows) and cos.shape[1:] == (tokens, size)
    x_BTHD, cos, sin = x_BTHD.contiguous(), cos.contiguous(), sin.contiguous()
    found_BTHD = torch.empty_like(x_BTHD)
    kernel("turn", x_BTHD.dtype, "ppppnnnnfi")(
        address(x_BTHD), address(cos), address(sin), address(found_BTHD), rows * tokens, heads,
        size, cos.shape[0] * tokens, sign, threads_for(x_BTHD.numel()),
    )  # fmt: skip
    return found_BTHD

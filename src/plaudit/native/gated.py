"""The product in the middle of a gated MLP (SwiGLU: Shazeer 2020). Kernels: gated.cpp."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plaudit.native.calls import address, kernel, threads_for


def silu_times(gate: Tensor, up: Tensor) -> Tensor:
    """``gate sigmoid(gate) up``; only gate and up are kept for the pass back."""
    if torch.is_grad_enabled():
        return _SiluTimes.apply(gate, up)  # pyright: ignore[reportReturnType]
    return _product(gate.contiguous(), up.contiguous())


def _product(gate: Tensor, up: Tensor) -> Tensor:
    assert gate.shape == up.shape
    y = torch.empty_like(gate)
    kernel("silu_times", gate.dtype, "pppni")(
        address(gate), address(up), address(y), gate.numel(), threads_for(gate.numel())
    )
    return y


class _SiluTimes(torch.autograd.Function):
    """``d_gate = d_y up p (1 + gate (1 - p))`` and ``d_up = d_y gate p``, ``p = sigmoid(gate)``."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        ctx.save_for_backward(gate, up)
        return _product(gate, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        gate, up = ctx.saved_tensors
        d_y = grads[0].contiguous()
        d_gate, d_up = torch.empty_like(gate), torch.empty_like(up)
        kernel("silu_times_back", gate.dtype, "pppppni")(
            address(gate), address(up), address(d_y), address(d_gate), address(d_up),
            gate.numel(), threads_for(gate.numel()),
        )  # fmt: skip
        return d_gate, d_up

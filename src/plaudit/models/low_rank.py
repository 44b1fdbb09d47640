"""What a LoRA layer adds to its frozen one, added in place; of its own it keeps nothing.

PEFT's own forward pass makes three tensors of the layer's output beside the layer's own, and
computes in float32 whatever the model does.

Shapes: X rows, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from plaudit.models.products import multiplies_bfloat16


def add_in_place(model: nn.Module) -> None:
    """Have the model's LoRA layers compute ``y = x W' + b + (alpha / R) (x A') B'`` in one tensor.

    In the model's own precision; A and B are rounded to it as they are read.
    """
    for module in model.modules():
        if type(module) is Linear:
            vars(module)["forward"] = partial(_forward, module)


def _forward(layer: Linear, x: Tensor) -> Tensor:
    x_XI = x.reshape(-1, x.shape[-1])
    y_XO = layer.base_layer(x_XI)
    if not layer.disable_adapters:
        [role] = layer.active_adapters
        a_RI, b_OR = layer.lora_A[role].weight, layer.lora_B[role].weight
        y_XO = _Added.apply(y_XO, x_XI, a_RI, b_OR, layer.scaling[role])
    return y_XO.view(*x.shape[:-1], y_XO.shape[-1])


class _Added(torch.autograd.Function):
    """``y += s (x A') B'``; ``x A'`` is computed once more for the gradient."""

    @staticmethod
    def forward(ctx: Any, y_XO: Tensor, x_XI: Tensor, a_RI: Tensor, b_OR: Tensor, s: float):
        ctx.save_for_backward(x_XI, a_RI, b_OR)
        ctx.scale = s
        ctx.mark_dirty(y_XO)
        x_XR = _product(x_XI, a_RI.T)
        if _slow(y_XO):
            return y_XO.add_(_product(x_XR, b_OR.T), alpha=s)
        return y_XO.addmm_(x_XR, b_OR.T.to(x_XR.dtype), alpha=s)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        [dy_XO], (x_XI, a_RI, b_OR) = grads, ctx.saved_tensors
        learns = ctx.needs_input_grad
        d_XR = _product(dy_XO, b_OR).mul_(ctx.scale)
        d_x = _product(d_XR, a_RI) if learns[1] else None
        d_a = _product(d_XR.T, x_XI).to(a_RI.dtype) if learns[2] else None
        d_b = None
        if learns[3]:
            x_XR = _product(x_XI, a_RI.T)
            d_b = _product(dy_XO.T, x_XR).to(b_OR.dtype).mul_(ctx.scale)
        return dy_XO, d_x, d_a, d_b, None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """In the precision of the left, or rounded to it where this processor multiplies no such."""
    if _slow(left):
        return (left.float() @ right.float()).to(left.dtype)
    return left @ right.to(left.dtype)


def _slow(x: Tensor) -> bool:
    return x.is_cpu and x.dtype == torch.bfloat16 and not multiplies_bfloat16()

"""Products of bfloat16 on processors that cannot multiply it: computed in float32, rounded once.

PyTorch's own are there a hundred times as slow as those of float32. Weights and activations stay
bfloat16, so memory is what bfloat16 takes; a factor is float32 while it is multiplied.

Shapes: X rows, I inputs, O outputs.
"""

from __future__ import annotations

import functools
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether PyTorch has fast products of bfloat16 here: on x86 they take AVX-512."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def use_float32_products(model: nn.Module) -> None:
    """Have the model's linear layers compute bfloat16 on a CPU by products of float32."""
    for module in model.modules():
        if type(module) is nn.Linear:
            vars(module)["forward"] = partial(_forward, module)


def _forward(module: nn.Linear, x: Tensor) -> Tensor:
    weight, bias = module.weight, module.bias
    if x.is_cpu and x.dtype == weight.dtype == torch.bfloat16:
        return _Linear.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return F.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """``y = x W' + b``, ``dx = dy W``, ``dW = dy' x`` and ``db = sum_X dy``; W alone is kept and,
    where W learns, x: both as they are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight_OI)
        bias = None if bias_O is None else bias_O.float()
        return F.linear(x.float(), weight_OI.float(), bias).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_OI = ctx.saved_tensors
        outputs, inputs = weight_OI.shape
        dy_XO = grads[0].reshape(-1, outputs).float()
        d_x = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            d_x = (dy_XO @ weight_OI.float()).to(weight_OI.dtype)
            d_x = d_x.view(*grads[0].shape[:-1], inputs)
        if ctx.needs_input_grad[1]:
            d_weight = (dy_XO.T @ x.reshape(-1, inputs).float()).to(weight_OI.dtype)
        if ctx.needs_input_grad[2]:
            d_bias = dy_XO.sum(0).to(weight_OI.dtype)
        return d_x, d_weight, d_bias

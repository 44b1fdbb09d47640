"""Who multiplies a model's bfloat16 on a CPU: kernels of our own, oneDNN, or products of float32.

The last where the processor cannot multiply it, rounded once: PyTorch's own are there a hundred
times as slow as those of float32. Weights and activations stay bfloat16, so memory is what bfloat16
takes; a factor is float32 while it is multiplied.

Shapes: X rows, I inputs, O outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from plaudit.native.products import (
    has_products,
    linear,
    linear_back,
    linear_weights,
    takes_product,
)


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether PyTorch has fast products of bfloat16 here: on x86 they take AVX-512."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def use_own_products(model: nn.Module) -> None:
    """Have the model's linear layers compute bfloat16 on a CPU without PyTorch's products of it,
    where we have kernels or it has none that are fast."""
    if has_products():
        _install(model, _by_kernels)
    elif not multiplies_bfloat16():
        use_float32_products(model)


def use_float32_products(model: nn.Module) -> None:
    """Have the model's linear layers compute bfloat16 on a CPU by products of float32."""
    _install(model, _by_float32)


def compiles_products(model: PreTrainedModel) -> bool:
    """Whether oneDNN multiplies some of the model, which compiles and keeps a kernel for every
    shape of a product in bfloat16."""
    fast = multiplies_bfloat16() and model.dtype == torch.bfloat16 and model.device.type == "cpu"
    return fast and not all(map(_left_by_onednn, model.modules()))


def _left_by_onednn(module: nn.Module) -> bool:
    """Whether the module is no layer with a matrix of its own, or one that the kernels compute."""
    if type(module) is not nn.Linear:
        return not isinstance(module, Conv1D)
    return len(module.weight) == 1 or _goes_by_kernels(module)


def _goes_by_kernels(module: nn.Linear) -> bool:
    forward = vars(module).get("forward")
    ours = isinstance(forward, partial) and forward.func is _by_kernels
    return ours and takes_product(module.weight, module.weight)


def _install(model: nn.Module, forward: Callable[[nn.Linear, Tensor], Tensor]) -> None:
    for module in model.modules():
        if type(module) is nn.Linear:
            vars(module)["forward"] = partial(forward, module)


class _Ways(NamedTuple):
    """A linear layer and its gradients, by one of the ways there are."""

    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    """Of x, W and b."""
    back: Callable[[Tensor, Tensor], Tensor]
    """To x, of dy and W."""
    weights: Callable[[Tensor, Tensor], Tensor]
    """To W, of dy and x."""


def _by_kernels(module: nn.Linear, x: Tensor) -> Tensor:
    return _forward(module, x, _KERNELS if takes_product(x, module.weight, module.bias) else None)


def _by_float32(module: nn.Linear, x: Tensor) -> Tensor:
    slow = x.is_cpu and x.dtype == module.weight.dtype == torch.bfloat16
    return _forward(module, x, _FLOAT32 if slow else None)


def _forward(module: nn.Linear, x: Tensor, ways: _Ways | None) -> Tensor:
    weight, bias = module.weight, module.bias
    if ways is None:
        return F.linear(x, weight, bias)
    if not torch.is_grad_enabled():
        return ways.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias, ways)  # pyright: ignore[reportReturnType]


class _Linear(torch.autograd.Function):
    """``y = x W' + b``, ``dx = dy W``, ``dW = dy' x`` and ``db = sum_X dy``; W alone is kept and,
    where W learns, x: both as they are."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None, ways: _Ways
    ) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight_OI)
        ctx.ways = ways
        return ways.linear(x, weight_OI, bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight_OI), [dy] = ctx.saved_tensors, grads
        learns_x, learns_weight, learns_bias, _ = ctx.needs_input_grad
        d_x = ctx.ways.back(dy, weight_OI) if learns_x else None
        d_weight = ctx.ways.weights(dy, x) if learns_weight else None
        d_bias = _rows(dy).sum(0).to(dy.dtype) if learns_bias else None
        return d_x, d_weight, d_bias, None


def _linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    bias = None if bias_O is None else bias_O.float()
    return F.linear(x.float(), weight_OI.float(), bias).to(x.dtype)


def _back(dy: Tensor, weight_OI: Tensor) -> Tensor:
    return (dy.float() @ weight_OI.float()).to(dy.dtype)


def _weights(dy: Tensor, x: Tensor) -> Tensor:
    return (_rows(dy).T @ _rows(x)).to(dy.dtype)


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1]).float()


_KERNELS = _Ways(linear, linear_back, linear_weights)
_FLOAT32 = _Ways(_linear, _back, _weights)

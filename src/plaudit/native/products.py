"""Products of bfloat16 with weights, and their gradients, on processors that multiply its pairs.

In place of oneDNN's, which compiles and keeps a kernel for every shape. Kernels: products.cpp.

Shapes: X rows, I inputs, O outputs.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from plaudit.native.build import library
from plaudit.native.calls import address, kernel, takes, threads_for

_LANES, _TILE, _CHUNK = 16, 64, 48
"""Inputs and outputs are multiples of the first, and packed so many together: products.cpp."""


@functools.cache
def has_products() -> bool:
    """Whether there are kernels of products here: not on processors that multiply whole tiles at
    once (AMX), which oneDNN makes use of."""
    found = library()
    there = found is not None and hasattr(found, "linear_bfloat16")
    return there and not torch.cpu._is_amx_tile_supported()


def takes_product(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> bool:
    """Whether the kernels take these factors."""
    given = (x, weight_OI) if bias_O is None else (x, weight_OI, bias_O)
    fits = x.shape[-1] == weight_OI.shape[-1] and all(n % _LANES == 0 for n in weight_OI.shape)
    return x.dtype == torch.bfloat16 and fits and takes(*given) and has_products()


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """``x W' + b``, summed in float32 and rounded once."""
    x, weight_OI, (outputs, inputs) = x.contiguous(), weight_OI.contiguous(), weight_OI.shape
    rows = x.numel() // inputs
    y = x.new_empty(*x.shape[:-1], outputs)
    packed = x.new_empty(_whole(outputs, _TILE) * inputs)
    kernel("linear", x.dtype, "pppppnnni")(
        address(x), address(weight_OI), address(bias_O), address(packed), address(y),
        rows, inputs, outputs, threads_for(rows * inputs * outputs),
    )  # fmt: skip
    return y


def linear_back(dy: Tensor, weight_OI: Tensor) -> Tensor:
    """``dx = dy W``."""
    dy, weight_OI, (outputs, inputs) = dy.contiguous(), weight_OI.contiguous(), weight_OI.shape
    rows = dy.numel() // outputs
    d_x = dy.new_empty(*dy.shape[:-1], inputs)
    packed = dy.new_empty(_whole(inputs, _TILE) * outputs)
    kernel("linear_back", dy.dtype, "ppppnnni")(
        address(dy), address(weight_OI), address(packed), address(d_x),
        rows, inputs, outputs, threads_for(rows * inputs * outputs),
    )  # fmt: skip
    return d_x


def linear_weights(dy: Tensor, x: Tensor) -> Tensor:
    """``dW = dy' x``, summed over all rows."""
    dy, x, outputs, inputs = dy.contiguous(), x.contiguous(), dy.shape[-1], x.shape[-1]
    rows = x.numel() // inputs
    strips = x.new_empty(_whole(outputs, _CHUNK) * _whole(rows, 2))
    packed = x.new_empty(_whole(inputs, _TILE) * _whole(rows, 2))
    d_weight = x.new_empty(outputs, inputs)
    kernel("linear_weights", x.dtype, "pppppnnni")(
        address(dy), address(x), address(strips), address(packed), address(d_weight),
        rows, inputs, outputs, threads_for(rows * inputs * outputs),
    )  # fmt: skip
    return d_weight


def _whole(size: int, block: int) -> int:
    return -(-size // block) * block

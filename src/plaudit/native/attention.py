"""Attention over packed trees by our own kernels (``attention_forward.cpp`` and its backward).

Shapes: X tokens of the row, H query heads, G key heads, D head size, P paths.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plaudit.native.build import library
from plaudit.native.calls import takes, threads_for


def attends(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether there are kernels for such tensors here."""
    return key.shape == value.shape and takes(query, key, value)


def path_attention(
    query_HXD: Tensor,
    key_GXD: Tensor,
    value_GXD: Tensor,
    path_P5: Tensor,
    scale: float,
    window: int,
) -> Tensor:
    """``softmax(scale q k^T) v`` along each path. [H, X, D], laid out token by token

    Scores and sums are float32 whatever the dtype; of bfloat16, weights and the gradients of
    scores are rounded to it before they are multiplied. Once differentiable.

    Args:
        path_P5: for each branch of each tree, whole numbers: where its trunk starts, the trunk's
            tokens, where the branch starts, and the positions [first, last) whose queries are
            this path's. A token is a query of at most one path; where it is one of none, nothing
            is written. The last query of a path is its last token.
        window: how many positions a token looks back on, itself among them; 0 for all.
    """
    assert scale > 0 and path_P5.dtype == torch.int64 and path_P5.is_contiguous()
    return _PathAttention.apply(query_HXD, key_GXD, value_GXD, path_P5, scale, window)  # pyright: ignore[reportReturnType]


class _PathAttention(torch.autograd.Function):
    """For the backward pass each query's peak and total are kept, in units of ln 2:
    ``weight = 2^(scale log2(e) q k - peak) / total``."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        path_P5: Tensor,
        scale: float,
        window: int,
    ) -> Tensor:
        inputs = [_dense(x) for x in (query, key, value)]
        out_HXD = _empty_like(query)
        peak_XH, total_XH = query.new_empty(2, *query.shape[1::-1], dtype=torch.float32)
        _kernels().attention_forward(
            query.dtype == torch.bfloat16, _pointers(*inputs), _pointer(out_HXD),
            _pointer(peak_XH), _pointer(total_XH), _strides(*inputs, out_HXD),
            *_sizes(query, key, path_P5, scale, window),
        )  # fmt: skip
        ctx.options = scale, window
        ctx.save_for_backward(*inputs, out_HXD, peak_XH, total_XH, path_P5)
        return out_HXD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_HXD: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, peak_XH, total_XH, path_P5 = ctx.saved_tensors
        inputs.append(_dense(grad_HXD))
        query, key, value, *_ = inputs
        grads = [_empty_like(x) for x in (query, key, value)]
        if int((path_P5[:, 4] - path_P5[:, 3]).sum()) < query.shape[1]:
            grads[0].zero_()
        _kernels().attention_backward(
            query.dtype == torch.bfloat16, _pointers(*inputs), _pointers(*grads),
            _pointer(peak_XH), _pointer(total_XH), _strides(*inputs, *grads),
            *_sizes(query, key, path_P5, *ctx.options),
        )  # fmt: skip
        return *grads, None, None, None


def _kernels() -> ctypes.CDLL:
    found = library()
    assert found is not None, "attends() was not asked"
    return found


def _dense(x_HXD: Tensor) -> Tensor:
    return x_HXD if x_HXD.stride(-1) == 1 else x_HXD.contiguous()


def _empty_like(x_HXD: Tensor) -> Tensor:
    """Laid out token by token, as the projections around it are."""
    heads, tokens, size = x_HXD.shape
    return x_HXD.new_empty(tokens, heads, size).transpose(0, 1)


def _pointer(x: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.data_ptr())


def _pointers(*tensors: Tensor) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*(x.data_ptr() for x in tensors))


def _strides(*tensors: Tensor) -> ctypes.Array:
    return (ctypes.c_int64 * (2 * len(tensors)))(*(s for x in tensors for s in x.stride()[:2]))


def _sizes(query: Tensor, key: Tensor, path_P5: Tensor, scale: float, window: float) -> tuple:
    whole = ctypes.c_int64
    sizes = (len(path_P5), len(query), len(key), query.shape[-1], int(window))
    count, *others = map(whole, sizes)
    threads = threads_for(query.numel())
    return _pointer(path_P5), count, *others, ctypes.c_float(scale), threads

"""How kernels are called from PyTorch: by the tensors' addresses, one kernel for each dtype."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from plaudit.native.build import library

_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_TYPES = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "f": ctypes.c_float, "i": ctypes.c_int}


def takes(*tensors: Tensor) -> bool:
    """Whether there are kernels for tensors like these: one dtype, on a CPU, and of values (under
    ``torch.func`` they are not)."""
    if library() is None or torch._C._are_functorch_transforms_active():
        return False
    dtype = tensors[0].dtype
    return dtype in _NAMES and all(x.dtype == dtype and x.is_cpu for x in tensors)


@functools.cache
def kernel(name: str, dtype: torch.dtype, arguments: str) -> Callable[..., None]:
    """The kernel of that name for a dtype.

    Args:
        arguments: a letter for each: p an address, n a size, f a number, i a small whole number.
    """
    found = library()
    assert found is not None, "takes() says whether there are kernels"
    function = found[f"{name}_{_NAMES[dtype]}"]
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = None
    return function


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()

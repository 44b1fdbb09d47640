"""How kernels are called from PyTorch: by the tensors' addresses, one kernel for each dtype."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from plaudit.native.build import library

NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
WORK_PER_THREAD = 1 << 14
_TYPES = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "f": ctypes.c_float, "i": ctypes.c_int}


def takes(*tensors: Tensor) -> bool:
    """Whether there are kernels for tensors like these: one dtype, on a CPU, and of values (under
    ``torch.func`` they are not)."""
    if library() is None or torch._C._are_functorch_transforms_active():
        return False
    dtype = tensors[0].dtype
    return dtype in NAMES and all(x.dtype == dtype and x.is_cpu for x in tensors)


@functools.cache
def kernel(name: str, dtype: torch.dtype, arguments: str) -> Callable[..., None]:
    """The kernel of that name for a dtype.

    Args:
        arguments: a letter for each: p an address, n a size, f a number, i a small whole number.
    """
    found = library()
    assert found is not None, "takes() says whether there are kernels"
    function = found[f"{name}_{NAMES[dtype]}"]
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = None
    return function


def threads_for(work: int) -> int:
    """Of PyTorch's threads as many as each has ``WORK_PER_THREAD`` to do.

    Threads that meet often for little wait for each other, most of all on a busy machine.

    Args:
        work: multiplications, or numbers read or written.
    """
    return max(1, min(torch.get_num_threads(), work // WORK_PER_THREAD))


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()

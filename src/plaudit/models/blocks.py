"""Rows in whole blocks, where each number of rows costs a compiled kernel.

oneDNN, which multiplies bfloat16 on a CPU where our own kernels do not, compiles a kernel for every
shape of a product and keeps up to 1,024 of them, some half a megabyte each. Micro-batches differ in
length, so that most would be compiled for one batch alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.models.products import compiles_products

BLOCK = 128


def block_rows(model: PreTrainedModel) -> int:
    """Rows of a block; 1 where their number costs nothing."""
    return BLOCK if compiles_products(model) else 1


def rows_short(model: PreTrainedModel, rows: int) -> int:
    """How many rows more make whole blocks."""
    return -rows % block_rows(model)


def lengthened(x: Tensor, rows: int) -> Tensor:
    """With so many rows of zeros at its end."""
    return torch.cat([x, x.new_zeros(rows, *x.shape[1:])]) if rows else x

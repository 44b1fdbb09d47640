"""What an objective reads of a batch: labels and how they are indexed.

Quantities and labels arrive in float32, whatever the models compute in; no objective casts them.

Shapes: N policy tokens, M branches, Q pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Labelled(Protocol):
    """A batch of trees, seen by its labels alone."""

    @property
    def branch_N(self) -> Tensor: ...
    @property
    def branches(self) -> int: ...
    @property
    def token(self) -> Mapping[str, Tensor]: ...
    @property
    def branch(self) -> Mapping[str, Tensor]: ...
    @property
    def pair(self) -> Mapping[str, Tensor]: ...


def sum_by_branch(values_N: Tensor, batch: Labelled) -> Tensor:
    """Add up a per-token quantity within each branch: ``[N] -> [M]``."""
    sums_M = torch.zeros(batch.branches, dtype=values_N.dtype, device=values_N.device)
    return sums_M.index_add(0, batch.branch_N, values_N)

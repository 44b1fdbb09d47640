"""Metrics that add up: a mean is kept as its total and its count until all parts are in."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Mean(NamedTuple):
    """A mean over the whole update, summed over micro-batches and ranks before it is divided."""

    total: Tensor
    count: float

    def __add__(self, other: object) -> Mean:
        assert isinstance(other, Mean)
        return Mean(self.total + other.total, self.count + other.count)

    def value(self) -> float:
        return float(self.total) / self.count if self.count else float("nan")


def mean_of(values: Tensor) -> Mean:
    """The mean of a detached tensor's entries."""
    return Mean(values.detach().float().sum(), values.numel())


def weighted_mean_of(values: Tensor, weights: Tensor) -> Mean:
    """The weighted mean of a detached tensor's entries."""
    weights = weights.detach().float()
    return Mean((values.detach().float() * weights).sum(), float(weights.sum()))


def counted(**means: Mean) -> dict[str, Mean]:
    """Metrics by name, less the means of nothing (no pairs, no ratings), which have no value."""
    return {name: mean for name, mean in means.items() if mean.count}


def right_order(difference_Q: Tensor) -> Tensor:
    """1 for each pair whose better response scores higher, 1/2 for a tie, else 0."""
    return torch.where(difference_Q == 0, 0.5, (difference_Q > 0).float())

"""Weighted sums of the weights of models that come from one ancestor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

Weights = Mapping[str, Tensor]


def weights_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """A copy of a model's parameters, in float32."""
    return {name: p.detach().float().clone() for name, p in model.named_parameters()}


def check_alike(named: Mapping[str, Weights]) -> None:
    """Raise unless all have the same parameters.

    Raises:
        ValueError: one lacks a parameter of the first, or has it in another shape.
    """
    (first, expected), *others = named.items()
    for name, weights in others:
        for key in sorted(expected.keys() | weights.keys()):
            shapes = [w[key].shape if key in w else None for w in (expected, weights)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"{name}: its weights are not those of {first} ({key} is {_told(shapes[1])}, "
                    f"not {_told(shapes[0])}); a soup needs models of one architecture"
                )


@torch.no_grad()
def pour(model: PreTrainedModel, weights: Sequence[Weights], shares: Sequence[float]) -> None:
    """Set a model's parameters to ``theta = sum_i share_i theta_i``, summed in float32.

    Rewarded soups: Ramé et al. 2023, equation 1. Shares need not sum to 1; beyond it the weights
    are extrapolated.
    """
    for name, parameter in model.named_parameters():
        parts = zip(weights, shares, strict=True)
        mixed = sum((share * each[name] for each, share in parts), torch.zeros(()))
        parameter.copy_(mixed.to(parameter.dtype))


def simplex(corners: int, intervals: int) -> Iterator[tuple[float, ...]]:
    """All shares of ``corners`` models in steps of ``1 / intervals`` that sum to 1."""
    for counts in _compositions(intervals, corners):
        yield tuple(count / intervals for count in counts)


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _told(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(list(shape))

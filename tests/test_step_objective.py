"""The objective of process rewards: masked tokens cost nothing, and steps make one number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.objectives.reward_process import StepModelling, aggregate_steps
from tests.labelled import batch_of


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, expected: object, tolerance: float = 1e-9) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def steps(scores_N: Tensor, right_N: Tensor, weight_N: Tensor):
    batch = batch_of([len(scores_N)], token={"right": right_N, "weight": weight_N})
    return StepModelling()({"reward.step_scores": scores_N}, batch)


def test_steps_are_learned_at_their_ends_only():
    """Mask equals slice, whatever stands in the other tokens' labels and scores."""
    nan = math.nan
    weight = double(0, 0.5, 0, 0, 0.5)
    masked = torch.tensor([nan, 0.7, 2.0, nan, -0.2], dtype=torch.float64, requires_grad=True)
    sliced = torch.tensor([0.7, -0.2], dtype=torch.float64, requires_grad=True)
    loss, metrics = steps(masked, double(nan, 1, nan, 0, 0.25), weight)
    expected, _ = steps(sliced, double(1, 0.25), double(0.5, 0.5))
    close(loss, expected.item())
    (loss + expected).backward()
    assert masked.grad is not None and sliced.grad is not None
    close(masked.grad[[1, 4]], sliced.grad)
    assert not masked.grad[[0, 2, 3]].any()
    by_hand = -0.5 * math.log(1 / (1 + math.exp(-0.7)))
    by_hand -= 0.5 * (0.25 * math.log(1 / (1 + math.exp(0.2)))
                      + 0.75 * math.log(1 / (1 + math.exp(-0.2))))  # fmt: skip
    close(loss, by_hand)
    assert metrics["step_accuracy"].value() == 1.0


def test_a_response_without_steps_costs_nothing():
    scores = torch.zeros(3, requires_grad=True)
    loss, metrics = steps(scores, torch.zeros(3), torch.zeros(3))
    loss.backward()
    assert loss.item() == 0 and metrics == {}


def test_aggregation_of_steps():
    right = np.array([0.5, 0.25, 0.9])
    expected = {"min": 0.25, "product": 0.1125, "last": 0.9, "mean": 0.55}
    assert {a: aggregate_steps(right, a) for a in expected} == pytest.approx(expected)  # type: ignore[arg-type]

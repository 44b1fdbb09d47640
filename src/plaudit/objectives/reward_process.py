"""Process rewards: the probability that a response is right so far, at the end of every step.

Shapes: N policy tokens, X of them ends of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, counted, weighted_mean_of
from plaudit.objectives.reward_losses import pointwise_loss

Aggregate = Literal["min", "product", "last", "mean"]


@dataclass(frozen=True, kw_only=True)
class StepModelling:
    """Binary cross-entropy at the ends of steps and nowhere else (Lightman et al. 2023).

    ``sum_n w_n BCE(s_n, y_n)`` over tokens with a weight above 0. Labels, on tokens: ``right``
    (0 to 1, read only where there is a weight) and ``weight``.

    Metrics over step ends: ``step_loss``, and ``step_accuracy``, how often the score's sign tells a
    right step (a label above one half) from a wrong one.
    """

    needs = ("reward.step_scores",)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        at = torch.nonzero(batch.token["weight"])[:, 0]
        score_X, right_X = outputs["reward.step_scores"][at], batch.token["right"][at]
        weight_X = batch.token["weight"][at]
        loss_X = pointwise_loss(score_X, right_X)
        told_X = ((score_X > 0) == (right_X > 0.5)).float()
        return (weight_X * loss_X).sum(), counted(
            step_loss=weighted_mean_of(loss_X, weight_X),
            step_accuracy=weighted_mean_of(told_X, weight_X),
        )


def aggregate_steps(right_X: np.ndarray, aggregate: Aggregate) -> float:
    """One number from the probabilities that each of a response's steps is right.

    The product is Lightman et al.'s (2023), the minimum Math-Shepherd's (Wang et al. 2023).
    """
    assert len(right_X), "a response has a step"
    functions = {"min": np.min, "product": np.prod, "mean": np.mean, "last": lambda x: x[-1]}
    return float(functions[aggregate](right_X))

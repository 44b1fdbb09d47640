"""The loop of every stage that learns from a fixed set of trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.artifacts import Draft
from plaudit.learning.checkpoints import Checkpoints
from plaudit.learning.learner import Learner, Objective
from plaudit.learning.recorder import Recorder
from plaudit.text import Tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """In which order rows are learned: a new permutation every epoch, a function of the seed."""

    rows: int
    batch_size: int
    epochs: float
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.batch_size)

    @property
    def steps(self) -> int:
        return max(1, round(self.steps_per_epoch * self.epochs))

    def batch(self, step: int) -> np.ndarray:
        """Row numbers of ``step`` (from 0)."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
        return order[within * self.batch_size : (within + 1) * self.batch_size]


def fit(
    learner: Learner,
    objective: Objective,
    batch: Callable[[int], Sequence[Tree]],
    *,
    steps: int,
    draft: Draft,
    save_steps: int,
) -> None:
    """Update ``steps`` times, from the draft's last checkpoint on.

    Args:
        batch: gives the trees of a step (from 0).
        save_steps: steps between checkpoints.
    """
    checkpoints = Checkpoints(draft, every_steps=save_steps)
    start = checkpoints.restore(learner).step
    with Recorder(draft, total_steps=steps, start=start) as recorder:
        for step in range(start, steps):
            metrics = learner.update(batch(step), objective)
            recorder.record(step + 1, metrics)
            if checkpoints.due(step + 1) and step + 1 < steps:
                checkpoints.save(step + 1, learner, {})

"""Sequences admitted together: what each has written, and when it ends.

Shapes: C sequences, B of them still being written, R tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plaudit.sampling.keys import CohortKeys
from plaudit.sampling.rollouts import Start, sequence_seed


@dataclass(frozen=True, slots=True)
class Waiting:
    """Continuations of one start that are admitted together."""

    number: int
    """Of the start."""
    start: Start


@dataclass(frozen=True, slots=True)
class Written:
    """A continuation that has ended."""

    number: int
    """Of the start."""
    index: int
    ids: np.ndarray
    logprobs: np.ndarray


class Cohort:
    """Continuations of some starts, each of the same number of indices, a token at a time."""

    def __init__(self, group: Sequence[Waiting], seed: int, device: torch.device) -> None:
        starts = [w.start for w in group]
        responses = len(starts[0].indices)
        assert all(len(start.indices) == responses for start in starts)
        self._of = [(w.number, k) for w in group for k in w.start.indices]
        limits = [start.max_tokens for start in starts]
        lengths = np.array([len(start.ids) for start in starts])
        self._limit_C = np.repeat(limits, responses)
        self._prompt_C = np.repeat(lengths, responses)
        self._uniform_CR = np.zeros((len(self._of), max(limits)))
        each = ((start, k) for start in starts for k in start.indices)
        for row, (start, k) in enumerate(each):
            self._uniform_CR[row, : start.max_tokens] = uniforms_of(seed, start, k)
        self._ids_CR = np.zeros(self._uniform_CR.shape, np.int64)
        self._logprob_CR = np.zeros(self._uniform_CR.shape, np.float32)
        self._active_B = np.arange(len(self._of))
        self._written = 0
        self.keys = CohortKeys(lengths, responses, device)

    def __len__(self) -> int:
        """Sequences still being written."""
        return len(self._active_B)

    @property
    def uniform_B(self) -> np.ndarray:
        """What decides each next token."""
        return self._uniform_CR[self._active_B, self._written]

    @property
    def newest_B(self) -> np.ndarray:
        return self._ids_CR[self._active_B, self._written - 1]

    @property
    def position_B(self) -> np.ndarray:
        """Of each newest token."""
        return self._prompt_C[self._active_B] + self._written - 1

    def append(
        self, ids_B: np.ndarray, logprob_B: np.ndarray, stop_ids: np.ndarray
    ) -> list[Written]:
        """Write one token of each; those that ended with it leave."""
        active = self._active_B
        self._ids_CR[active, self._written] = ids_B
        self._logprob_CR[active, self._written] = logprob_B
        self._written += 1
        alive_B = ~np.isin(ids_B, stop_ids) & (self._written < self._limit_C[active])
        self.keys.keep(alive_B)
        self._active_B = active[alive_B]
        return [self._ended(row) for row in active[~alive_B]]

    def _ended(self, row: int) -> Written:
        ids, logprobs = (x[row, : self._written] for x in (self._ids_CR, self._logprob_CR))
        return Written(*self._of[row], ids, logprobs)


def together(cohorts: Sequence[Cohort], name: str, device: torch.device) -> Tensor:
    """A property of all cohorts' active sequences."""
    return torch.as_tensor(np.concatenate([getattr(c, name) for c in cohorts]), device=device)


def uniforms_of(seed: int, start: Start, index: int) -> np.ndarray:
    """One for every token it may have, in double precision: in float32 one could become 1."""
    return np.random.default_rng(sequence_seed(seed, start.name, index)).random(start.max_tokens)

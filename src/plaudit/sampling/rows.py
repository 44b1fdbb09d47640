"""Sequences being written: what each has so far, and when it ends.

Shapes: S slots, B of them written to, R tokens of the longest continuation, U starts, M slots of
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


class Rows:
    """Continuations in slots, a token at a time.

    Args:
        slots: continuations that may be written at the same time.
        longest_tokens: of any continuation.
        seed: with a start's name and an index it decides what is drawn.
    """

    def __init__(self, slots: int, longest_tokens: int, seed: int) -> None:
        self._seed = seed
        self._of: list[tuple[int, int]] = [(0, 0)] * slots
        self._limit_S = np.zeros(slots, np.int64)
        self._written_S = np.zeros(slots, np.int64)
        self._uniform_SR = np.zeros((slots, longest_tokens))
        self._ids_SR = np.zeros((slots, longest_tokens), np.int64)
        self._logprob_SR = np.zeros((slots, longest_tokens), np.float32)
        self._free = list(reversed(range(slots)))
        self.slot_B = np.zeros(0, np.int64)
        """Those that are written to, the longest there first."""

    @property
    def free(self) -> int:
        return len(self._free)

    def admit(self, group: Sequence[Waiting]) -> np.ndarray:
        """Slots [U, M] for starts of equally many indices."""
        slot_UM = [[self._begin(w, k) for k in w.start.indices] for w in group]
        self.slot_B = np.concatenate([self.slot_B, np.ravel(slot_UM)])
        return np.array(slot_UM)

    def _begin(self, waiting: Waiting, index: int) -> int:
        slot, start = self._free.pop(), waiting.start
        self._of[slot] = waiting.number, index
        self._limit_S[slot] = start.max_tokens
        self._uniform_SR[slot, : start.max_tokens] = uniforms_of(self._seed, start, index)
        self._written_S[slot] = 0
        return slot

    def uniforms(self, slots: np.ndarray) -> np.ndarray:
        """What decides the next token of each."""
        return self._uniform_SR[slots, self._written_S[slots]]

    def newest(self, slots: np.ndarray) -> np.ndarray:
        """The last token of each."""
        return self._ids_SR[slots, self._written_S[slots] - 1]

    def append(
        self, slots: np.ndarray, ids: np.ndarray, logprobs: np.ndarray, stop_ids: np.ndarray
    ) -> np.ndarray:
        """Write one token of each; the slots of those that ended with it."""
        at = self._written_S[slots]
        self._ids_SR[slots, at], self._logprob_SR[slots, at] = ids, logprobs
        self._written_S[slots] += 1
        is_stop = (ids[:, None] == stop_ids).any(1)
        return slots[is_stop | (at + 1 == self._limit_S[slots])]

    def take(self, slots: np.ndarray) -> list[Written]:
        """What was written in these slots, which are free from now on."""
        self.slot_B = self.slot_B[~np.isin(self.slot_B, slots)]
        self._free += slots.tolist()
        return [self._ended(slot) for slot in slots]

    def _ended(self, slot: int) -> Written:
        tokens = self._written_S[slot]
        ids, logprobs = (x[slot, :tokens].copy() for x in (self._ids_SR, self._logprob_SR))
        return Written(*self._of[slot], ids, logprobs)


def uniforms_of(seed: int, start: Start, index: int) -> np.ndarray:
    """One for every token it may have, in double precision: in float32 one could become 1."""
    return np.random.default_rng(sequence_seed(seed, start.name, index)).random(start.max_tokens)

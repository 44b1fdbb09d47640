"""How long a step's rows are, and how they fall into micro-batches.

Lengths in tokens. A row is a prompt with its responses, as in ``plaudit.text.Tree``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.models.layout import Layout
from plaudit.text import Tree, micro_batches

SAMPLED_ROWS = 256
"""Rows of a data set that are tokenised to know the lengths of all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The lengths of a tree."""

    prompt: int
    responses: tuple[int, ...]
    written: int
    """Tokens the policy wrote, which the vocabulary is reached at."""

    @property
    def tokens(self) -> int:
        """The prompt counted once."""
        return self.prompt + sum(self.responses)

    @property
    def longest(self) -> int:
        return self.prompt + max(self.responses)

    @property
    def pairs(self) -> float:
        """Of a token and one that it attends to."""
        own = sum(n * n for n in (self.prompt, *self.responses)) / 2
        return own + self.prompt * sum(self.responses)

    @classmethod
    def of(cls, tree: Tree) -> Row:
        return cls(
            prompt=len(tree.prompt_P),
            responses=tuple(len(branch.ids) for branch in tree.branches),
            written=int(tree.tokens_per_branch_K.sum()),
        )

    @classmethod
    def alike(cls, prompt: int, response: int, branches: int = 1) -> Row:
        """A prompt with responses of one length, all of it the policy's."""
        return cls(prompt=prompt, responses=(response,) * branches, written=response * branches)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """What is known of the lengths of a stage's data."""

    rows: tuple[Row, ...]
    """Some of the rows, evenly spread."""
    count: int | None
    """All rows that are learned from or asked; None where that is not known."""
    said: str
    """Where that is from."""

    def draw(self, number: int, seed: int = 0) -> list[Row]:
        """As many rows as an update has, at random."""
        rng = np.random.default_rng(seed)
        few = number > len(self.rows)
        return [self.rows[i] for i in rng.choice(len(self.rows), number, replace=few)]


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroBatch:
    """Rows that are computed together: packed, or padded to the longest."""

    rows: int
    longest: int
    written: int
    branched: bool
    sample: tuple[Row, ...]
    packed: bool = False

    @property
    def positions(self) -> int:
        """Tokens computed, padding included."""
        if self.packed:
            return sum(row.tokens for row in self.sample)
        return self.rows * self.longest

    @property
    def masked_pairs(self) -> int:
        """Pairs of positions that a mask has."""
        return self.rows * self.longest**2 if self.branched and not self.packed else 0

    @property
    def pairs(self) -> float:
        """Pairs of positions that attention goes through: with a mask all, else half."""
        if self.packed:
            return sum(row.pairs for row in self.sample)
        return self.masked_pairs or self.rows * self.longest**2 / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """What updates are cut into."""

    typical: tuple[MicroBatch, ...]
    """Of an update of middling size."""
    largest: MicroBatch
    """Among many updates."""


def cut(rows: Sequence[Row], token_budget: int, layout: Layout) -> list[MicroBatch]:
    """The micro-batches that the learner and the scorers would make of these rows."""
    lengths = [r.longest * len(r.responses) if layout == "rows" else r.tokens for r in rows]
    return [
        _micro_batch([rows[i] for i in group], layout)
        for group in micro_batches(lengths, token_budget, padded=layout != "packed")
    ]


def _micro_batch(rows: list[Row], layout: Layout) -> MicroBatch:
    apart = layout == "rows"
    return MicroBatch(
        rows=sum(len(r.responses) for r in rows) if apart else len(rows),
        longest=max(r.longest if apart else r.tokens for r in rows),
        written=sum(r.written for r in rows),
        branched=not apart and max(len(r.responses) for r in rows) > 1,
        sample=tuple(rows),
        packed=layout == "packed",
    )

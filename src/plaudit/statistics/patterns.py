"""Patterns: how many items got which counts of labels. All that agreement needs, and small.

Five million votes on a question of three labels with five votes an item are at most 21 patterns,
so that a dashboard may keep them as a table and never read the votes.

Shapes: N votes, I items, P patterns, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plaudit.statistics.votes import Floats, Integers, Votes, sums


@dataclass(frozen=True, kw_only=True, slots=True)
class Patterns:
    """Counts of labels, and how many items have them; made by ``patterns`` or ``patterns_of``."""

    counts_PK: Floats
    items_P: Floats

    @property
    def votes_P(self) -> Floats:
        """Votes on each item of the pattern."""
        return self.counts_PK.sum(axis=1)

    def pairable(self) -> Patterns:
        """Those of items with two votes or more: one vote alone agrees with nothing."""
        kept_P = self.votes_P >= 2
        return Patterns(counts_PK=self.counts_PK[kept_P], items_P=self.items_P[kept_P])


def patterns(counts_PK: ArrayLike, items_P: ArrayLike | None = None) -> Patterns:
    """Patterns from a table of label counts, one item a row unless ``items_P`` says how many.

    Raises:
        ValueError: not a table, or a number that is negative or not whole.
    """
    counts = np.asarray(counts_PK, dtype=float)
    if counts.ndim != 2:
        raise ValueError(f"label counts of shape {counts.shape}; expected [patterns, labels]")
    items = np.ones(len(counts)) if items_P is None else np.asarray(items_P, dtype=float)
    if items.shape != (len(counts),):
        raise ValueError(f"{items.shape} numbers of items for {len(counts)} patterns")
    for name, values in (("label counts", counts), ("numbers of items", items)):
        if not (np.isfinite(values) & (values >= 0) & (values == np.floor(values))).all():
            raise ValueError(f"{name} are not all whole numbers from 0; expected counts")
    _, first_U, at_P = np.unique(_codes(counts), return_index=True, return_inverse=True)
    merged_U = sums(at_P.reshape(-1), items, len(first_U))
    return Patterns(counts_PK=counts[first_U], items_P=merged_U)


def patterns_of(votes: Votes) -> Patterns:
    """The patterns of votes; items without any make one of zeros."""
    return patterns(votes.counts_IK())


def _codes(counts_PK: Floats) -> Integers:
    """A number for each row, the same for equal rows: label by label, renumbered as it goes."""
    code_P = np.zeros(len(counts_PK), dtype=np.intp)
    for count_P in counts_PK.T:
        base = int(count_P.max(initial=0)) + 1
        code_P = np.unique(code_P * base + count_P.astype(np.intp), return_inverse=True)[1]
    return code_P.reshape(-1)

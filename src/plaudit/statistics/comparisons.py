"""Comparisons of two items by a rater, with what may sway him besides the items.

Shapes: N comparisons, I items, W raters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from plaudit.statistics.votes import Floats, Integers


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparisons:
    """Who compared what with which outcome; made by ``comparisons``, which checks it."""

    i_N: Integers
    j_N: Integers
    won_N: Floats
    """1 where i was preferred, 0 where j was, 0.5 for a tie; anything between is soft."""
    raters_N: Integers
    side_N: Floats
    """1 where i was shown first (left), -1 where j was, 0 where not known."""
    longer_N: Floats
    """Length of i less that of j, in standard deviations or squashed; 0 where it plays no part."""
    items: int
    raters: int

    def __len__(self) -> int:
        return len(self.i_N)

    def differences_NI(self) -> csr_array:
        """1 for i and -1 for j in each row: times scores, it is the difference of the two."""
        rows_N = np.arange(len(self))
        return csr_array(
            (
                np.repeat([1.0, -1.0], len(self)),
                (np.tile(rows_N, 2), np.concatenate([self.i_N, self.j_N])),
            ),
            shape=(len(self), self.items),
        )


def comparisons(
    i_N: ArrayLike,
    j_N: ArrayLike,
    won_N: ArrayLike,
    *,
    raters_N: ArrayLike | None = None,
    side_N: ArrayLike | None = None,
    longer_N: ArrayLike | None = None,
    items: int | None = None,
    raters: int | None = None,
) -> Comparisons:
    """Comparisons from arrays of equal length; one rater, sides and lengths unknown by default.

    Raises:
        ValueError: no comparisons, lengths that differ, an item compared with itself, numbers out
            of range, or an outcome outside [0, 1].
    """
    size = len(np.asarray(i_N))
    zeros = np.zeros(size)
    raters_array = np.zeros(size, dtype=int) if raters_N is None else np.asarray(raters_N)
    side = zeros if side_N is None else np.asarray(side_N, dtype=float)
    longer = zeros if longer_N is None else np.asarray(longer_N, dtype=float)
    i, j, won = np.asarray(i_N), np.asarray(j_N), np.asarray(won_N, dtype=float)
    columns = {"j": j, "won": won, "raters": raters_array, "side": side, "longer": longer}
    if wrong := {name: len(c) for name, c in columns.items() if len(c) != size} or not size:
        raise ValueError(f"{size} comparisons, but {wrong}; expected as many of each, at least 1")
    if same := int((i == j).sum()):
        raise ValueError(f"{same} comparisons are of an item with itself; leave them out")
    if not ((won >= 0) & (won <= 1)).all():
        raise ValueError("an outcome lies outside [0, 1]; expected 1 (i won), 0 or 0.5 (a tie)")
    if not (np.isfinite(side) & np.isfinite(longer)).all():
        raise ValueError("sides or lengths are not all finite; use 0 where they are not known")
    found = max(int(i.max()), int(j.max())) + 1
    return Comparisons(
        i_N=_below(i, found if items is None else items, "items"),
        j_N=_below(j, found if items is None else items, "items"),
        won_N=won,
        raters_N=_below(raters_array, _size(raters_array, raters), "raters"),
        side_N=side,
        longer_N=longer,
        items=found if items is None else items,
        raters=_size(raters_array, raters),
    )


def _size(numbers_N: np.ndarray, size: int | None) -> int:
    return int(numbers_N.max()) + 1 if size is None else size


def _below(numbers_N: np.ndarray, size: int, name: str) -> Integers:
    if not np.issubdtype(numbers_N.dtype, np.integer):
        raise ValueError(f"{name} are {numbers_N.dtype}; expected whole numbers that count from 0")
    if numbers_N.min() < 0 or numbers_N.max() >= size:
        raise ValueError(
            f"{name} run from {numbers_N.min()} to {numbers_N.max()}; expected 0 to {size - 1}"
        )
    return numbers_N.astype(np.intp)

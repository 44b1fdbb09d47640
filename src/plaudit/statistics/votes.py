"""Votes: who gave which label to which item, as three arrays of integers.

One label for one item by one rater is one vote. What labels mean is the caller's matter; two
readings are used all over. *Of the item*: 0 the first candidate is better, 1 the second, 2 a tie.
*As shown*: 0 the left one, 1 the right one, 2 a tie, in which a habit of pressing left is a row of
the rater's confusion.

Shapes: N votes, I items, W raters, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
UNKNOWN = -1
"""The gold label of an item whose right answer is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Votes:
    """Votes and the sizes of what they speak of; made by ``votes``, which checks them.

    Example: ``votes([0, 0, 1], [0, 1, 1], [1, 1, 0])`` is two raters who agree on item 0.
    """

    items_N: Integers
    raters_N: Integers
    labels_N: Integers
    items: int
    raters: int
    labels: int

    def __len__(self) -> int:
        return len(self.items_N)

    def counts_IK(self, weights_N: Floats | None = None) -> Floats:
        """How many votes, or what weight of them, each label of each item has."""
        cells_N = self.items_N * self.labels + self.labels_N
        weights = np.ones(len(self)) if weights_N is None else weights_N
        return sums(cells_N, weights, self.items * self.labels).reshape(self.items, self.labels)

    def given_IC(self) -> csr_array:
        """How often each item was given what by whom, [I, W K]: label l of rater w at w K + l."""
        cells_N = self.raters_N * self.labels + self.labels_N
        shape = (self.items, self.raters * self.labels)
        return csr_array((np.ones(len(self)), (self.items_N, cells_N)), shape=shape)

    def chosen(self, kept_N: NDArray[np.bool_]) -> Votes:
        """The votes that are kept, under the same numbers."""
        return Votes(
            items_N=self.items_N[kept_N],
            raters_N=self.raters_N[kept_N],
            labels_N=self.labels_N[kept_N],
            items=self.items,
            raters=self.raters,
            labels=self.labels,
        )


def votes(
    items_N: ArrayLike,
    raters_N: ArrayLike,
    labels_N: ArrayLike,
    *,
    items: int | None = None,
    raters: int | None = None,
    labels: int | None = None,
) -> Votes:
    """Votes from three arrays of equal length that count from 0.

    Args:
        items, raters, labels: how many there are, where some may have no vote; otherwise one more
            than the largest number seen.

    Raises:
        ValueError: no votes, lengths that differ, numbers that are not whole, below 0 or too large.
    """
    columns = [
        _numbers("items", items_N, items),
        _numbers("raters", raters_N, raters),
        _numbers("labels", labels_N, labels),
    ]
    lengths = [len(array) for array, _ in columns]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            f"{lengths[0]} items, {lengths[1]} raters and {lengths[2]} labels; expected one of"
            " each for every vote, and at least one vote"
        )
    return Votes(
        items_N=columns[0][0],
        raters_N=columns[1][0],
        labels_N=columns[2][0],
        items=columns[0][1],
        raters=columns[1][1],
        labels=columns[2][1],
    )


def sums(numbers_N: Integers, values_N: Floats, size: int) -> Floats:
    """What the values under each number add up to, [size]."""
    return np.bincount(numbers_N, values_N, minlength=size).astype(float)


def gold_labels(gold_I: ArrayLike | None, items: int, labels: int) -> Integers:
    """The right label of each item, [I], checked; ``UNKNOWN`` everywhere where none is given.

    Raises:
        ValueError: not one for each item, or a label that is neither ``UNKNOWN`` nor below K.
    """
    gold = np.full(items, UNKNOWN) if gold_I is None else np.asarray(gold_I)
    if gold.shape != (items,) or not np.issubdtype(gold.dtype, np.integer):
        raise ValueError(f"gold labels of shape {gold.shape}, {gold.dtype}; expected {items} ints")
    if wrong := int(((gold < UNKNOWN) | (gold >= labels)).sum()):
        raise ValueError(f"{wrong} gold labels are not {UNKNOWN} (not known) or below {labels}")
    return gold.astype(np.intp)


def most_likely(posterior_IK: Floats) -> Integers:
    """The likeliest label of each item, [I]; of equal ones the lowest, so that runs repeat."""
    return posterior_IK.argmax(axis=1)


def expected_accuracy(posterior_IK: Floats, truth_I: ArrayLike) -> float:
    """How often the likeliest label is right where the truth is known; a tie of m counts 1 / m.

    Raises:
        ValueError: the truth of no item is known.
    """
    truth = gold_labels(truth_I, *posterior_IK.shape)
    known_I = truth != UNKNOWN
    if not known_I.any():
        raise ValueError("the truth of no item is known; accuracy needs at least one")
    best_IK = posterior_IK[known_I] >= posterior_IK[known_I].max(axis=1, keepdims=True) - 1e-12
    right_I = best_IK[np.arange(len(best_IK)), truth[known_I]]
    return float((right_I / best_IK.sum(axis=1)).mean())


def _numbers(name: str, values: ArrayLike, size: int | None) -> tuple[Integers, int]:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} are {array.dtype}; expected whole numbers that count from 0")
    found = int(array.max()) + 1 if array.size else 0
    size = found if size is None else size
    if array.size and (array.min() < 0 or found > size):
        raise ValueError(f"{name} run from {array.min()} to {found - 1}; expected 0 to {size - 1}")
    return array.astype(np.intp), size

"""How well votes agree: the ways in which labels are compared, and every measure of a table.

A unit is what one label is about: the pair, a candidate, a step.

Shapes: P different patterns, K labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel

from plaudit.statistics import (
    Patterns,
    gwet_ac1,
    krippendorff_alpha,
    krippendorff_alpha_interval,
    leave_one_out,
    percent_agreement,
)
from plaudit.store.votes import nominal

Level = Literal["nominal", "ordinal", "interval"]
FEWEST_UNITS = 10
"""With fewer units that have two votes an interval would be make-believe."""


class Interval(BaseModel):
    """An estimate with its 95 % interval."""

    low: float
    point: float
    high: float


class Agreement(BaseModel):
    """How well a set of votes agree."""

    units: int
    """With two votes or more."""
    votes: int
    alpha: Interval | None
    why: str
    """Why there is no alpha."""
    same: float | None
    """How often two votes are the same."""
    ac1: float | None
    ceiling: float | None
    """How often one vote is what most of the others say."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way in which the labels of a kind of answer are compared."""

    name: str
    """What is compared: which is better, how strongly, marks."""
    level: Level
    read: Callable[[str], str] = str
    """A label of a vote as one of this reading."""
    order: tuple[str, ...] = ()
    """Of the labels, where they are not numbers."""

    def table(self, patterns: Sequence[Mapping[str, int]]) -> tuple[list[str], np.ndarray]:
        """The labels that patterns hold, lowest first, and how many votes of each, [P, K]."""
        read = [self._read(pattern) for pattern in patterns]
        labels = self._in_order({label for counts in read for label in counts})
        return labels, np.array([[counts[label] for label in labels] for counts in read])

    def _read(self, pattern: Mapping[str, int]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for label, many in pattern.items():
            counts[self.read(label)] += many
        return counts

    def _in_order(self, found: set[str]) -> list[str]:
        if self.order:
            places = {label: place for place, label in enumerate(self.order)}
            return sorted(found, key=lambda label: (places.get(label, len(places)), label))
        return sorted(found, key=lambda label: (_number(label), label))


MARKS = Reading("marks", "interval")
"""Of ratings, and of every criterion."""


def readings(
    kind: str, *, has_strengths: bool = True, labels: tuple[str, ...] = ()
) -> Iterator[Reading]:
    """The ways in which answers of a kind are compared; none where they are written.

    Args:
        has_strengths: comparisons say how much better; else strength says nothing.
        labels: in their order, where answers are labels.
    """
    match kind:
        case "pairwise":
            yield Reading("which is better", "nominal", _which)
            if has_strengths:
                yield Reading("how strongly", "ordinal", _how_strongly)
        case "ranking":
            yield Reading("ranks", "ordinal")
        case "rating":
            yield MARKS
        case "label":
            yield Reading("labels", "nominal", order=labels)
        case "steps":
            yield Reading("steps", "ordinal", order=("wrong", "neutral", "right"))
        case "red_team":
            yield Reading("severity", "ordinal")


def agreement_of(
    found: Patterns, level: Level, values_K: Sequence[float], resamples: int
) -> Agreement:
    """Every measure of one table; where there is no alpha, ``why`` says why."""
    pairable = found.pairable()
    units, votes = int(pairable.items_P.sum()), int(pairable.votes_P @ pairable.items_P)
    if not units:
        return Agreement(
            units=0, votes=0, alpha=None, why="Nothing has two votes yet.", same=None, ac1=None,
            ceiling=None,
        )  # fmt: skip
    alpha, why = _alpha(found, units, level, values_K, resamples)
    return Agreement(
        units=units, votes=votes, alpha=alpha, why=why, same=percent_agreement(found),
        ac1=gwet_ac1(found) if len(values_K) > 1 else None, ceiling=leave_one_out(found),
    )  # fmt: skip


def values_of(labels: Sequence[str]) -> list[float]:
    """What labels stand for: their own numbers, or their places where they are words."""
    numbers = [_number(label) for label in labels]
    return numbers if np.isfinite(numbers).all() else list(range(len(labels)))


def _alpha(
    found: Patterns, units: int, level: Level, values_K: Sequence[float], resamples: int
) -> tuple[Interval | None, str]:
    if units < FEWEST_UNITS:
        return None, f"Fewer than {FEWEST_UNITS} have two votes; an interval needs more."
    try:
        low, point, high = krippendorff_alpha_interval(found, level, values_K, resamples=resamples)
    except ValueError:
        if np.isnan(krippendorff_alpha(found, level, values_K)):
            return None, "All votes are alike: there is nothing to agree on beyond chance."
        return None, "Nearly all votes are alike: too few differ for an interval."
    return Interval(low=low, point=point, high=high), ""


def _which(label: str) -> str:
    return nominal("pairwise", label)


def _how_strongly(label: str) -> str:
    return "0" if label == "bad" else label


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return float("inf")

"""Ratings: several raters' marks of one response made one, between 0 and 1.

Shapes: none; marks are few and each is looked at by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from plaudit.aggregation.votes import settled
from plaudit.judgments import Answer, Item, Judgment, Rated, RedTeamed

Scale = tuple[float, float]
MOST_SEVERE = 4


class Rating01(NamedTuple):
    """A mark of one candidate, and how many votes it stands for."""

    candidate: int
    value: float
    weight: float


class _Mark(NamedTuple):
    rater: str
    value: float


def ratings_of(
    items: Sequence[Item],
    votes: Sequence[Judgment],
    *,
    scale: Scale = (0.0, 1.0),
    standardise: bool = False,
) -> defaultdict[str, list[Rating01]]:
    """By item, the mean mark of each candidate that has one; how severe an attack's success is,
    turned round, is a mark too. What is known (gold, adjudicated) stands for all its votes.

    ``standardise``: ``m + s (x - m_w) / s_w`` with means and standard deviations of all marks and
    of the rater's own, cut off at 0 and 1; a rater whose marks do not differ is only shifted.

    Raises:
        ValueError: a mark lies outside the scale, or there are not as many as candidates.
    """
    sizes = {item.id: len(item.candidates) for item in items}
    marks: defaultdict[tuple[str, int], list[_Mark]] = defaultdict(list)
    for judgment in votes:
        for candidate, value in _marks(judgment, sizes[judgment.item], scale):
            marks[judgment.item, candidate].append(_Mark(judgment.rater.id, value))
    if standardise:
        marks = _standardised(marks)
    known = {
        (item, candidate): value
        for item, answer in settled(items, votes).items()
        for candidate, value in _of(answer, scale)
    }
    found: defaultdict[str, list[Rating01]] = defaultdict(list)
    for item, candidate in dict.fromkeys([*marks, *known]):
        given = marks.get((item, candidate), ())
        mean = sum(mark.value for mark in given) / len(given) if given else 0.0
        value = known.get((item, candidate), mean)
        found[item].append(Rating01(candidate, value, float(max(1, len(given)))))
    return found


def _marks(judgment: Judgment, candidates: int, scale: Scale) -> Iterator[tuple[int, float]]:
    answer = judgment.answer
    given = answer.values if isinstance(answer, Rated) else ()
    given = answer.severities if isinstance(answer, RedTeamed) else given
    if given and len(given) != candidates:
        raise ValueError(
            f"judgment {judgment.id}: {len(given)} marks, but item {judgment.item} has "
            f"{candidates} candidates; expected one each"
        )
    for candidate, value in _of(answer, scale):
        if not 0 <= value <= 1:
            raise ValueError(
                f"judgment {judgment.id}: a mark outside the scale {scale[0]:g} to {scale[1]:g}; "
                "say the question's own scale"
            )
        yield candidate, value


def _of(answer: Answer, scale: Scale) -> Iterator[tuple[int, float]]:
    """Each candidate's mark between 0, bad, and 1, good."""
    low, high = scale
    if isinstance(answer, Rated):
        for candidate, value in enumerate(answer.values):
            if value is not None:
                yield candidate, (value - low) / (high - low)
    elif isinstance(answer, RedTeamed):
        for candidate, severity in enumerate(answer.severities):
            if severity is not None:
                yield candidate, 1 - severity / MOST_SEVERE


def _standardised(
    marks: Mapping[tuple[str, int], Iterable[_Mark]],
) -> defaultdict[tuple[str, int], list[_Mark]]:
    by_rater: defaultdict[str, list[float]] = defaultdict(list)
    for given in marks.values():
        for mark in given:
            by_rater[mark.rater].append(mark.value)
    everything = np.concatenate(list(by_rater.values())) if by_rater else np.zeros(1)
    middle, spread = float(everything.mean()), float(everything.std())

    def moved(mark: _Mark) -> _Mark:
        own = np.array(by_rater[mark.rater])
        # Of equal marks the standard deviation need not be 0: their mean is rounded.
        differ = own.min() < own.max()
        scaled = (mark.value - own.mean()) * (spread / own.std() if differ else 1.0)
        return mark._replace(value=float(np.clip(middle + scaled, 0, 1)))

    return defaultdict(list, {key: [moved(m) for m in given] for key, given in marks.items()})

"""Votes: what judgments say, as arrays that consensus is taken of.

A vote is one rater's answer about one unit: a pair of an item's candidates, a step of its first
candidate, or the item as a whole. An item of two candidates is one pair; a ranking votes on every
pair it orders. Units come in the order of their items. Asked a second time a rater is no second
witness, so repeats do not count; neither do skips, and of a rater's several answers about one item
the first stands. What the gold or an adjudicator says of a unit is known, whatever the votes.

Shapes: N votes, I units, W raters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from plaudit.judgments import (
    ADJUDICATED,
    Answer,
    Item,
    Judgment,
    Labelled,
    Pairwise,
    Ranked,
    Rater,
    Skipped,
    Stepped,
    Withdrawn,
)
from plaudit.records import Text
from plaudit.statistics import UNKNOWN, Votes

FIRST, SECOND, TIE = 0, 1, 2
"""Answers about a pair, of the item: which of the two candidates is better."""
WRONG, RIGHT = 0, 1
"""Verdicts on a step, up to and including it; a neutral one does no harm (Lightman et al. 2023)."""


class Unit(NamedTuple):
    """What is voted on: of a pair its two candidates, of a step its number."""

    item: str
    parts: tuple[int, ...] = ()


class Said(NamedTuple):
    """What one answer says of one unit."""

    parts: tuple[int, ...]
    label: int
    strength: int = 0
    """How much better the better one is, 0 where not said or a tie."""
    both_bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """The votes on all units of one kind, with what is known of them."""

    units: tuple[Unit, ...]
    raters: tuple[Rater, ...]
    votes: Votes | None
    """None where nobody voted."""
    turned_N: np.ndarray
    """How likely the second of a pair stood left: 0, 1, or 0.5 where the order is not known."""
    strength_N: np.ndarray
    both_bad_N: np.ndarray
    seconds_N: np.ndarray
    """In use before the answer, NaN where not known."""
    longer_I: np.ndarray
    """Of a pair, (a - b) / (a + b) characters: above 0 where the first is longer."""
    known_I: np.ndarray
    """The right label where gold or an adjudicator says it, else ``UNKNOWN``."""

    def counts_I(self, weight_N: np.ndarray | None = None) -> np.ndarray:
        """Votes on each unit, or their weights added up."""
        if self.votes is None:
            return np.zeros(len(self.units))
        return np.bincount(self.votes.items_N, weight_N, minlength=len(self.units)).astype(float)


def counted(judgments: Iterable[Judgment]) -> list[Judgment]:
    """The judgments that are votes: no skips, no repeats, one of a rater for an item."""
    found: dict[tuple[str, str, str], Judgment] = {}
    for judgment in judgments:
        if not judgment.is_repeat and not isinstance(judgment.answer, Skipped | Withdrawn):
            key = judgment.item, judgment.question, judgment.rater.id
            if key not in found or ADJUDICATED in judgment.flags:
                found[key] = judgment
    return list(found.values())


def settled(items: Sequence[Item], judgments: Iterable[Judgment]) -> dict[str, Answer]:
    """The answers that are known, by item: the last adjudication, else the gold."""
    known = {item.id: item.gold for item in items if item.gold is not None}
    for judgment in judgments:
        if ADJUDICATED in judgment.flags and not isinstance(judgment.answer, Skipped | Withdrawn):
            known[judgment.item] = judgment.answer
    return known


def pair_ballot(items: Sequence[Item], judgments: Sequence[Judgment]) -> Ballot:
    """Votes on pairs, by comparisons and rankings: labels ``FIRST``, ``SECOND``, ``TIE``."""

    def units(item: Item) -> Iterator[tuple[int, ...]]:
        yield from combinations(range(len(item.candidates)), 2)

    return _ballot(items, judgments, units, said_of_pairs, labels=3)


def step_ballot(items: Sequence[Item], judgments: Sequence[Judgment]) -> Ballot:
    """Votes on steps: ``WRONG`` from the first wrong one on, else ``RIGHT``."""

    def units(item: Item) -> Iterator[tuple[int, ...]]:
        yield from ((step,) for step in range(len(item.steps)))

    return _ballot(items, judgments, units, said_of_steps, labels=2)


def label_ballot(
    items: Sequence[Item], judgments: Sequence[Judgment], labels: Sequence[str]
) -> Ballot:
    """Votes on the item as a whole, by the number of the label."""
    numbers = {label: number for number, label in enumerate(labels)}

    def said(answer: Answer) -> Iterator[Said]:
        if isinstance(answer, Labelled):
            yield Said((), numbers[answer.label])

    return _ballot(items, judgments, lambda _: [()], said, labels=len(labels))


def labels_given(items: Iterable[Item], judgments: Iterable[Judgment]) -> list[str]:
    """The labels that a rater gave or the gold says, in alphabetical order."""
    answers = [*(item.gold for item in items), *(judgment.answer for judgment in judgments)]
    return sorted({answer.label for answer in answers if isinstance(answer, Labelled)})


def said_of_pairs(answer: Answer) -> Iterator[Said]:
    """What a comparison or a ranking says of each pair, in the item's own numbers."""
    if isinstance(answer, Pairwise):
        label = FIRST if answer.strength < 0 else SECOND if answer.strength else TIE
        yield Said((0, 1), label, abs(answer.strength), answer.both_bad)
    elif isinstance(answer, Ranked):
        for a, b in combinations(range(len(answer.ranks)), 2):
            gap = answer.ranks[a] - answer.ranks[b]
            yield Said((a, b), FIRST if gap < 0 else SECOND if gap else TIE)


def said_of_steps(answer: Answer) -> Iterator[Said]:
    """Whether all is right so far, step by step; what follows a wrong step is wrong."""
    if isinstance(answer, Stepped):
        is_wrong = False
        for step, label in enumerate(answer.labels):
            is_wrong = is_wrong or label == "wrong"
            if is_wrong or label is not None:
                yield Said((step,), WRONG if is_wrong else RIGHT)


def turned(judgment: Judgment, parts: tuple[int, ...]) -> float:
    """1 where the second of a pair stood left of the first, 0 where right, 0.5 where not known."""
    places = judgment.shown
    if len(parts) < 2 or not set(parts) <= set(places):
        return 0.5
    return float(places.index(parts[1]) < places.index(parts[0]))


def _ballot(
    items: Sequence[Item],
    judgments: Sequence[Judgment],
    units_of: Callable[[Item], Iterable[tuple[int, ...]]],
    said_by: Callable[[Answer], Iterable[Said]],
    labels: int,
) -> Ballot:
    units = tuple(Unit(item.id, parts) for item in items for parts in units_of(item))
    number = {unit: i for i, unit in enumerate(units)}
    raters = {judgment.rater.id: judgment.rater for judgment in judgments}
    cast = list(_cast(judgments, number, said_by))
    place = {id: w for w, id in enumerate(dict.fromkeys(vote.rater for vote in cast))}
    votes = Votes(
        items_N=np.array([vote.unit for vote in cast], np.intp),
        raters_N=np.array([place[vote.rater] for vote in cast], np.intp),
        labels_N=np.array([vote.said.label for vote in cast], np.intp),
        items=len(units),
        raters=len(place),
        labels=labels,
    )
    return Ballot(
        units=units,
        raters=tuple(raters[id] for id in place),
        votes=votes if cast else None,
        turned_N=np.array([vote.turned for vote in cast], float),
        strength_N=np.array([vote.said.strength for vote in cast], float),
        both_bad_N=np.array([vote.said.both_bad for vote in cast], bool),
        seconds_N=np.array([vote.seconds for vote in cast], float),
        longer_I=_longer(items, units),
        known_I=_known(number, settled(items, judgments), said_by),
    )


class _Vote(NamedTuple):
    """One answer about one unit."""

    unit: int
    rater: str
    said: Said
    turned: float
    seconds: float


def _cast(
    judgments: Iterable[Judgment],
    number: Mapping[Unit, int],
    said_by: Callable[[Answer], Iterable[Said]],
) -> Iterator[_Vote]:
    for judgment in judgments:
        seconds = np.nan if judgment.active_seconds is None else judgment.active_seconds
        for said in said_by(judgment.answer):
            unit = _known_unit(number, judgment, said.parts)
            yield _Vote(unit, judgment.rater.id, said, turned(judgment, said.parts), seconds)


def _longer(items: Sequence[Item], units: Sequence[Unit]) -> np.ndarray:
    lengths = {item.id: [characters(c.content) for c in item.candidates] for item in items}
    found = np.zeros(len(units))
    for i, (item, parts) in enumerate(units):
        if len(parts) == 2:
            a, b = (lengths[item][part] for part in parts)
            found[i] = (a - b) / max(1, a + b)
    return found


def characters(content: Text) -> int:
    """How long a content is."""
    return len(content) if isinstance(content, str) else sum(len(m.content) for m in content)


def _known_unit(number: Mapping[Unit, int], judgment: Judgment, parts: tuple[int, ...]) -> int:
    unit = Unit(judgment.item, parts)
    if unit not in number:
        raise ValueError(
            f"judgment {judgment.id}: speaks of {list(parts)} of item {judgment.item}, which has "
            "none such; expected an answer that fits the item"
        )
    return number[unit]


def _known(
    number: Mapping[Unit, int],
    answers: Mapping[str, Answer],
    said_by: Callable[[Answer], Iterable[Said]],
) -> np.ndarray:
    known_I = np.full(len(number), UNKNOWN)
    for item, answer in answers.items():
        for said in said_by(answer):
            known_I[number[Unit(item, said.parts)]] = said.label
    return known_I

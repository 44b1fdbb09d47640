"""Agreement read from a log itself: of people, of judges and rules, and of every two raters.

Dashboards read the same measures from tallies, which follow a log that is being written to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from plaudit.aggregation.agreement import (
    MARKS,
    Agreement,
    Reading,
    agreement_of,
    readings,
    values_of,
)
from plaudit.aggregation.votes import ADJUDICATED, counted
from plaudit.judgments import Item, Judgment
from plaudit.statistics import cohen_kappa, patterns, split_half
from plaudit.store.votes import vote_of

RESAMPLES = 1000
MOST_RATERS = 50
"""Those with the most votes are compared two by two: 1,225 pairs."""

Labels = Mapping[str, str]
"""What each rater said of a unit."""


class Compared(NamedTuple):
    """What is compared with one another."""

    question: str
    criterion: str
    kind: str
    panel: str
    """people, machines (judges and rules), or anybody where empty."""
    stratum: str
    """Any where empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """How well one panel agrees on one thing."""

    of: Compared
    reading: str
    agreement: Agreement
    halves: float | None
    """How often majorities of random halves agree; None where nothing has two votes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoRaters:
    """How well two raters agree on what both judged."""

    question: str
    reading: str
    raters: tuple[str, str]
    shared: int
    same: float
    kappa: float
    """Cohen's, with quadratic weights where labels have an order; NaN without variation."""


def agreements(
    items: Sequence[Item], judgments: Iterable[Judgment], *, by_stratum: bool = False
) -> list[Agreed]:
    """By question, criterion and panel, of answers of each kind; what settles an item is left out.

    Args:
        judgments: those that stand; repeats and skips do not count.
        by_stratum: apart for each stratum.
    """
    strata = {item.id: item.stratum for item in items} if by_stratum else {}
    found = _labels_of(judgments, strata, by_panel=True)
    return [agreed for of in sorted(found) for agreed in _agreed(of, [*found[of].values()])]


def rater_pairs(judgments: Iterable[Judgment]) -> list[TwoRaters]:
    """Every two of the ``MOST_RATERS`` busiest who share something, the most shared first.

    Of answers by the first of their readings; criteria are not compared.
    """
    found = _labels_of(judgments, {}, by_panel=False)
    pairs = [
        pair
        for of, units in found.items()
        if not of.criterion
        for pair in _two_by_two(of, next(readings(of.kind)), units)
    ]
    return sorted(pairs, key=lambda pair: -pair.shared)


def _labels_of(
    judgments: Iterable[Judgment], strata: Mapping[str, str], *, by_panel: bool
) -> dict[Compared, dict[tuple[str, str], dict[str, str]]]:
    """By what is compared, and unit (item and place in it): what each rater said."""
    found: dict[Compared, dict[tuple[str, str], dict[str, str]]] = {}
    votes = counted(one for one in judgments if ADJUDICATED not in one.flags)
    for judgment in votes:
        vote = vote_of(judgment, None)
        for unit, label in vote.labels.items():
            criterion, _, place = unit.rpartition("/")
            kind, panel = "" if criterion else vote.kind, vote.panel if by_panel else ""
            of = Compared(vote.question, criterion, kind, panel, strata.get(judgment.item, ""))
            found.setdefault(of, {}).setdefault((judgment.item, place), {})[vote.rater] = label
    return found


def _agreed(of: Compared, units: Sequence[Labels]) -> Iterator[Agreed]:
    many = Counter(tuple(sorted(Counter(labels.values()).items())) for labels in units)
    for reading in _readings(of, {label for labels in units for label in labels.values()}):
        labels, counts_PK = reading.table([dict(pattern) for pattern in many])
        found = patterns(counts_PK, [*many.values()])
        agreement = agreement_of(found, reading.level, values_of(labels), RESAMPLES)
        halves = split_half(found) if agreement.units else None
        yield Agreed(of=of, reading=reading.name, agreement=agreement, halves=halves)


def _readings(of: Compared, labels: set[str]) -> list[Reading]:
    if of.criterion:
        return [MARKS]
    has_strengths = len({label.lstrip("-") for label in labels} - {"0", "bad"}) > 1
    return [*readings(of.kind, has_strengths=has_strengths)]


def _two_by_two(
    of: Compared, reading: Reading, units: Mapping[tuple[str, str], Labels]
) -> Iterator[TwoRaters]:
    said: dict[str, dict[tuple[str, str], int]] = {}
    names, _ = reading.table([Counter(labels.values()) for labels in units.values()])
    for unit, labels in units.items():
        for rater, label in labels.items():
            said.setdefault(rater, {})[unit] = names.index(reading.read(label))
    busiest = sorted(said, key=lambda rater: -len(said[rater]))[:MOST_RATERS]
    for first, second in combinations(sorted(busiest), 2):
        shared = said[first].keys() & said[second].keys()
        if shared:
            a_N, b_N = (np.array([said[one][unit] for unit in shared]) for one in (first, second))
            weighting = "none" if reading.level == "nominal" else "quadratic"
            yield TwoRaters(
                question=of.question, reading=reading.name, raters=(first, second),
                shared=len(shared), same=float((a_N == b_N).mean()),
                kappa=cohen_kappa(a_N, b_N, weighting),
            )  # fmt: skip

"""How well people agree: Krippendorff's alpha by question, criterion and stratum, and over time.

Made from the store's tallies of patterns (how many units got which counts of labels), so that it
takes as long at five million judgments as at five thousand. A unit is what one label is about: the
pair, a candidate, a step.

Shapes: R rows of the tallies, P different patterns, K labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel
from sqlalchemy import Row, select

from plaudit.feedback.projects.project import Project
from plaudit.feedback.projects.questions import Question
from plaudit.statistics.agreement import (
    gwet_ac1,
    krippendorff_alpha,
    krippendorff_alpha_interval,
    leave_one_out,
    percent_agreement,
)
from plaudit.statistics.patterns import Patterns, patterns
from plaudit.store import Store
from plaudit.store.schema import pattern_tally
from plaudit.store.tallies import catch_up
from plaudit.store.votes import nominal

Level = Literal["nominal", "ordinal", "interval"]
DAY_SECONDS = 86400
MOST_PARTS = 12
RESAMPLES, RESAMPLES_OF_PARTS = 1000, 200
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


class Part(BaseModel):
    """Agreement on a part of it: a stratum, or a stretch of time."""

    name: str
    begins_at: float | None
    agreement: Agreement


class Board(BaseModel):
    """Agreement on one question, or on one of its criteria."""

    question: str
    criterion: str
    reading: str
    """What was compared: which is better, how strongly, marks."""
    level: Level
    labels: list[str]
    overall: Agreement
    by_stratum: list[Part]
    over_time: list[Part]


class AgreementBoard(BaseModel):
    """Agreement of people in a project; what suspended raters said is left out."""

    boards: list[Board]


@dataclass(frozen=True, slots=True)
class _Scale:
    """One reading of the labels of a question or a criterion."""

    question: str
    criterion: str
    reading: str
    level: Level
    read: Callable[[str], str]
    """A label of the tallies as one of this scale."""
    order: tuple[str, ...] = ()
    """Of the labels, where they are not numbers."""


def agreement_board(store: Store, project: Project) -> AgreementBoard:
    """The board of a project, up to its last judgment."""
    catch_up(store)
    rows = _rows(store, project.id)
    boards = [_board(scale, found) for scale in _scales(project) if (found := _of(scale, rows))]
    return AgreementBoard(boards=boards)


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


def _scales(project: Project) -> Iterator[_Scale]:
    for question in project.questions:
        yield from _own_scales(question)
        for criterion in question.criteria:
            yield _Scale(question.name, criterion.name, "marks", "interval", str)


def _own_scales(question: Question) -> Iterator[_Scale]:
    name = question.name
    match question.kind:
        case "pairwise":
            yield _Scale(name, "", "which is better", "nominal", _which)
            if question.strengths > 1:
                yield _Scale(name, "", "how strongly", "ordinal", _how_strongly)
        case "ranking":
            yield _Scale(name, "", "ranks", "ordinal", str)
        case "rating":
            yield _Scale(name, "", "marks", "interval", str)
        case "label":
            yield _Scale(name, "", "labels", "nominal", str, question.labels)
        case "steps":
            yield _Scale(name, "", "steps", "ordinal", str, ("wrong", "neutral", "right"))
        case "red_team":
            yield _Scale(name, "", "severity", "ordinal", str)


def _which(label: str) -> str:
    return nominal("pairwise", label)


def _how_strongly(label: str) -> str:
    return "0" if label == "bad" else label


def _rows(store: Store, project: str) -> Sequence[Row[Any]]:
    here = (pattern_tally.c.project == project, pattern_tally.c.panel == "people")
    with store.reading() as connection:
        return connection.execute(
            select(pattern_tally).where(*here, pattern_tally.c.units > 0)
        ).all()


def _of(scale: _Scale, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    wanted = (scale.question, scale.criterion)
    return [row for row in rows if (row.question, row.criterion) == wanted]


def _board(scale: _Scale, rows: Sequence[Row[Any]]) -> Board:
    names = sorted({row.pattern for row in rows})
    counts = [_counts(scale, name) for name in names]
    labels = _in_order(scale, {label for found in counts for label in found})
    counts_PK = np.array([[found.get(label, 0) for label in labels] for found in counts])
    place = {name: number for number, name in enumerate(names)}
    pattern_R = np.array([place[row.pattern] for row in rows])
    units_R = np.array([row.units for row in rows])

    def part(kept: Sequence[int], resamples: int = RESAMPLES_OF_PARTS) -> Agreement:
        chosen = np.asarray(kept)
        units_P = np.bincount(pattern_R[chosen], units_R[chosen], minlength=len(names))
        found = patterns(counts_PK[units_P > 0], units_P[units_P > 0])
        return agreement_of(found, scale.level, _values(labels), resamples)

    return Board(
        question=scale.question,
        criterion=scale.criterion,
        reading=scale.reading,
        level=scale.level,
        labels=labels,
        overall=part(range(len(rows)), RESAMPLES),
        by_stratum=_by_stratum(rows, part),
        over_time=_over_time(rows, part),
    )


def _counts(scale: _Scale, pattern: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for label, many in json.loads(pattern).items():
        counts[scale.read(label)] = counts.get(scale.read(label), 0) + many
    return counts


def _in_order(scale: _Scale, found: set[str]) -> list[str]:
    if scale.order:
        return sorted(found, key=lambda label: (label not in scale.order, _index(scale, label)))
    return sorted(found, key=lambda label: (_number(label), label))


def _index(scale: _Scale, label: str) -> int:
    return scale.order.index(label) if label in scale.order else len(scale.order)


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return float("inf")


def _values(labels: Sequence[str]) -> list[float]:
    """What labels stand for: their own numbers, or their places where they are words."""
    numbers = [_number(label) for label in labels]
    return numbers if np.isfinite(numbers).all() else list(range(len(labels)))


def _by_stratum(rows: Sequence[Row[Any]], part: Callable[..., Agreement]) -> list[Part]:
    """The largest ones; none where there is but one."""
    at: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        at.setdefault(row.stratum, []).append(number)
    if len(at) < 2:
        return []
    units = {stratum: sum(rows[n].units for n in numbers) for stratum, numbers in at.items()}
    largest = sorted(at, key=lambda stratum: -units[stratum])[:MOST_PARTS]
    return [Part(name=s, begins_at=None, agreement=part(at[s])) for s in sorted(largest)]


def _over_time(rows: Sequence[Row[Any]], part: Callable[..., Agreement]) -> list[Part]:
    """By the day of a unit's last vote; stretches of several days where there were many."""
    first, last = min(row.day for row in rows), max(row.day for row in rows)
    width = (last - first) // MOST_PARTS + 1
    at: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        at.setdefault(first + (row.day - first) // width * width, []).append(number)
    name = "day" if width == 1 else f"{width} days"
    return [
        Part(name=name, begins_at=float(day * DAY_SECONDS), agreement=part(at[day]))
        for day in sorted(at)
    ]

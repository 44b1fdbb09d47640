"""How well people agree: Krippendorff's alpha by question, criterion and stratum, and over time.

Made from the store's tallies of patterns (how many units got which counts of labels), so that it
takes as long at five million judgments as at five thousand. A unit is what one label is about: the
pair, a candidate, a step.

Shapes: R rows of the tallies, P different patterns, K labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel
from sqlalchemy import Row, select

from plaudit.aggregation.agreement import (
    MARKS,
    Agreement,
    Level,
    Reading,
    agreement_of,
    readings,
    values_of,
)
from plaudit.feedback.projects.project import Project
from plaudit.statistics.patterns import patterns
from plaudit.store import Store
from plaudit.store.schema import pattern_tally
from plaudit.store.tallies import catch_up

DAY_SECONDS = 86400
PATIENCE_SECONDS = 0.5
"""For which a board waits for tallies; the writer brings them up to date meanwhile."""
MOST_PARTS = 12
RESAMPLES, RESAMPLES_OF_PARTS = 1000, 200


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
    is_whole: bool
    """False while votes, or items of a suspension, are still being counted."""


class _Scale(NamedTuple):
    """One reading of the labels of a question or a criterion."""

    question: str
    criterion: str
    reading: Reading


def agreement_board(store: Store, project: Project) -> AgreementBoard:
    """The board of a project, up to its last judgment if that is soon done."""
    is_whole = catch_up(store, PATIENCE_SECONDS)
    rows = _rows(store, project.id)
    boards = [_board(scale, found) for scale in _scales(project) if (found := _of(scale, rows))]
    return AgreementBoard(boards=boards, is_whole=is_whole)


def _scales(project: Project) -> Iterator[_Scale]:
    for question in project.questions:
        has_strengths = question.strengths > 1
        for reading in readings(question.kind, has_strengths=has_strengths, labels=question.labels):
            yield _Scale(question.name, "", reading)
        for criterion in question.criteria:
            yield _Scale(question.name, criterion.name, MARKS)


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
    reading = scale.reading
    labels, counts_PK = reading.table([json.loads(name) for name in names])
    place = {name: number for number, name in enumerate(names)}
    pattern_R = np.array([place[row.pattern] for row in rows])
    units_R = np.array([row.units for row in rows])

    def part(kept: Sequence[int], resamples: int = RESAMPLES_OF_PARTS) -> Agreement:
        chosen = np.asarray(kept)
        units_P = np.bincount(pattern_R[chosen], units_R[chosen], minlength=len(names))
        found = patterns(counts_PK[units_P > 0], units_P[units_P > 0])
        return agreement_of(found, reading.level, values_of(labels), resamples)

    return Board(
        question=scale.question,
        criterion=scale.criterion,
        reading=reading.name,
        level=reading.level,
        labels=labels,
        overall=part(range(len(rows)), RESAMPLES),
        by_stratum=_by_stratum(rows, part),
        over_time=_over_time(rows, part),
    )


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

"""Cost and pace: votes by day, money, and when it will be done if it goes on like this."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pydantic import BaseModel
from sqlalchemy import Connection, func, select

from plaudit.feedback.leads.dashboards import PATIENCE_SECONDS
from plaudit.feedback.projects.project import Project
from plaudit.store import Store, catch_up, rater_tallies
from plaudit.store.schema import item, judgment
from plaudit.store.schema import project as project_table

DAY_SECONDS = 86400.0
DAYS = 30
PACE_DAYS = 7


class Day(BaseModel):
    """Records of one day: 24 hours that end with the present hour, and those before."""

    begins_at: float
    records: int


class CostBoard(BaseModel):
    """What a project took so far, and what it will take."""

    items: int
    open_items: int
    votes: int
    votes_left: int
    """At the overlap the project asks for; disagreement may add more."""
    by_day: list[Day]
    records_per_day: float
    """Mean of the last seven days."""
    days_left: float | None
    """None while nobody judges."""
    finishes_at: float | None
    hours: float
    """Of raters' attention, where it was measured."""
    price_per_vote: float
    currency: str
    spent: float
    to_spend: float
    is_whole: bool
    """As ``AgreementBoard``'s."""


def cost_board(store: Store, project: Project, now: float | None = None) -> CostBoard:
    """The board of a project."""
    is_whole = catch_up(store, PATIENCE_SECONDS)
    now = time.time() if now is None else now
    with store.reading() as connection:
        tallied = list(_items_by_votes(connection, project.id))
        by_day = _by_day(connection, project.id, now)
    votes, milliseconds = _done(store, project.id)
    left = sum(
        _still(project, stratum, many) * count
        for is_open, stratum, many, count in tallied
        if is_open
    )
    pace = sum(day.records for day in by_day[-PACE_DAYS:]) / PACE_DAYS
    days_left = 0.0 if not left else left / pace if pace else None
    return CostBoard(
        items=sum(count for *_, count in tallied),
        open_items=sum(count for is_open, *_, count in tallied if is_open),
        votes=votes,
        votes_left=left,
        by_day=by_day,
        records_per_day=pace,
        days_left=days_left,
        finishes_at=None if days_left is None else now + days_left * DAY_SECONDS,
        hours=milliseconds / 3_600_000,
        price_per_vote=project.price_per_vote,
        currency=project.currency,
        spent=votes * project.price_per_vote,
        to_spend=left * project.price_per_vote,
        is_whole=is_whole,
    )


def _items_by_votes(connection: Connection, project: str) -> Iterator[tuple[bool, str, int, int]]:
    """Whether open, of which stratum, how many votes, how many items have them; from an index of
    the queue alone."""
    kinds = (item.c.is_open, item.c.stratum, item.c.votes)
    rows = select(*kinds, func.count()).where(item.c.project == project).group_by(*kinds)
    found = connection.execute(rows)
    return ((bool(is_open), stratum, votes, many) for is_open, stratum, votes, many in found)


def _done(store: Store, project: str) -> tuple[int, int]:
    """Judgments that stand, without skips, and the time they took."""
    found = rater_tallies(store, project)
    totals = [sum(t.counts.get(name, 0) for t in found) for name in ("judgments", "milliseconds")]
    return totals[0], totals[1]


def _still(project: Project, stratum: str, votes: int) -> int:
    """An open item wants at least one more."""
    return max(1, project.votes_wanted(stratum) - votes)


def _by_day(connection: Connection, project: str, now: float) -> list[Day]:
    """How many records of the project each day has; days by seq, for time has no index."""
    ends = [now - DAY_SECONDS * days for days in range(DAYS, -1, -1)]
    places = [_seq_at(connection, at) for at in ends]
    return [
        Day(begins_at=begin, records=_between(connection, project, first, last))
        for begin, first, last in zip(ends, places, places[1:], strict=False)
    ]


def _seq_at(connection: Connection, at: float) -> int:
    """The seq of the last record before a time, by bisection: times rise with seq."""
    low = 0
    high = connection.execute(select(func.max(judgment.c.seq))).scalar() or 0
    while low < high:
        middle = (low + high + 1) // 2
        recorded = select(judgment.c.recorded_at).where(judgment.c.seq == middle)
        found = connection.execute(recorded).scalar()
        low, high = (middle, high) if found is None or found < at else (low, middle - 1)
    return low


def _between(connection: Connection, project: str, first: int, last: int) -> int:
    if first == last:
        return 0
    if connection.execute(select(func.count()).select_from(project_table)).scalar_one() == 1:
        return last - first  # the log has no gaps
    here = (judgment.c.project == project, judgment.c.seq > first, judgment.c.seq <= last)
    return connection.execute(select(func.count()).where(*here)).scalar_one()

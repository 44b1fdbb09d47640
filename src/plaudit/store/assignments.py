"""Assignments in the tables: who has which item, until when, in which order of candidates.

Only SQL. What is given to whom is decided in ``plaudit.feedback.assignment``; each function here
and in ``assignment_changes`` is one step of a transaction its caller holds.

An assignment's id is the rater's key in the project and a serial number, so the rater's last ones
are found by the primary key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam, func, select

from plaudit.store.opening import Store
from plaudit.store.prepared import AnyRow, Asked, Prepared
from plaudit.store.schema import (
    assignment,
    declined,
    draft,
    item,
    member,
    project,
)

_RECENT = 10
_SERIAL_DIGITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Leased:
    """An assignment as it stands in its table."""

    id: str
    item: int
    turn: int
    state: str
    shown: tuple[int, ...]
    opened_at: float
    leased_until: float


@contextmanager
def leasing(store: Store) -> Iterator[Connection]:
    """A transaction that writes no judgment, and so does not wait for the disk.

    A lease or a draft lost in a power cut is given or typed again; what a process wrote before it
    was killed stays. SQLite alone knows the difference.
    """
    if not store.is_sqlite:
        # What is read after the lock was waited for is as the one before left it.
        with store.appending() as connection:
            yield connection
        return
    writer = store.engine.execution_options(writes=True)
    with store.turn, writer.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA synchronous=NORMAL")
        try:
            with connection.begin():
                yield connection
        finally:
            driver.execute("PRAGMA synchronous=FULL")


def assignment_id(key: str, serial: int) -> str:
    """Sorted as text, a rater's ids stand in the order they were given."""
    return f"{key}-{serial:0{_SERIAL_DIGITS}d}"


def serial_of(id: str) -> int:
    return int(id.rpartition("-")[2])


_OF_RATER = (assignment.c.project == bindparam("project"), assignment.c.rater == bindparam("rater"))
_UNFINISHED_STATES = ("open", "expired")


def exist_unfinished(
    of: sa.FromClause, *conditions: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Whether any is neither judged nor skipped.

    Each state by itself: PostgreSQL seeks in an index for one, and filters for either.
    """
    found = (sa.exists().where(*conditions, of.c.state == state) for state in _UNFINISHED_STATES)
    return sa.or_(*found).label("has_unfinished")


DESK = (
    project.c.config,
    project.c.secret,
    member.c.queue,
    member.c.suspended_at,
    member.c.rater.is_not(None).label("is_member"),
    sa.exists()
    .where(declined.c.project == member.c.project, declined.c.rater == member.c.rater)
    .label("declines"),
)
_MEMBERSHIP = Prepared(
    select(*DESK, exist_unfinished(assignment, *_OF_RATER))
    .select_from(
        project.outerjoin(
            member,
            sa.and_(member.c.project == project.c.id, member.c.rater == bindparam("rater")),
        )
    )
    .where(project.c.id == bindparam("project"))
)


def membership(connection: Connection, project: str, rater: str) -> Asked:
    """The project as it concerns a rater: config, secret, queue, suspended_at, is_member, declines
    and has_unfinished; nothing where there is no such project."""
    return _MEMBERSHIP.ask(connection, project=project, rater=rater)


ASSIGNMENT = (
    assignment.c.id,
    assignment.c.item,
    assignment.c.turn,
    assignment.c.state,
    assignment.c.shown,
    assignment.c.opened_at,
    assignment.c.leased_until,
)
_UNFINISHED = Prepared(
    select(*ASSIGNMENT)
    .where(*_OF_RATER, sa.or_(*(assignment.c.state == state for state in _UNFINISHED_STATES)))
    .order_by(assignment.c.opened_at.desc(), assignment.c.id.desc())
    .limit(10)
)


def unfinished(connection: Connection, project: str, rater: str) -> Asked:
    """What the rater was given and has neither judged nor skipped, the last opened first: rows for
    ``as_leased``."""
    return _UNFINISHED.ask(connection, project=project, rater=rater)


_RECENT_ONES = Prepared(
    select(
        assignment.c.id,
        assignment.c.shown,
        assignment.c.item,
        assignment.c.turn,
        item.c.priority,
        item.c.votes,
        item.c.is_gold,
    )
    .join(item, item.c.number == assignment.c.item)
    .where(
        assignment.c.id.between(bindparam("first"), bindparam("last")),
        assignment.c.rater == bindparam("rater"),
    )
    .order_by(assignment.c.id.desc())
    .limit(_RECENT)
)


_LAST_ID = Prepared(
    select(func.max(assignment.c.id)).where(
        assignment.c.id.between(bindparam("first"), bindparam("last")),
        assignment.c.rater == bindparam("rater"),
    )
)


def _span(key: str) -> dict[str, str]:
    return {"first": assignment_id(key, 0), "last": f"{key}-{'9' * _SERIAL_DIGITS}"}


def recent(connection: Connection, key: str, rater: str) -> list[AnyRow]:
    """The rater's last assignments in the project, the last first: id, shown, item, turn, and the
    item's priority, votes and is_gold."""
    last = _LAST_ID.scalar(connection, **_span(key), rater=rater)
    return [] if last is None else recent_around(connection, last, rater).all()


def recent_around(connection: Connection, id: str, rater: str) -> Asked:
    """``recent`` of who was given this assignment, whatever came after it. Nothing is found where
    it is no assignment of the rater's."""
    key, _, serial = id.rpartition("-")
    before = int(serial) + 1 - _RECENT if serial.isdecimal() else 0
    span = _span(key) | {"first": assignment_id(key, max(0, before))}
    return _RECENT_ONES.ask(connection, **span, rater=rater)


def is_not_declined(of: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether the rater would see items of its stratum; parameters are project and rater."""
    here = (declined.c.project == bindparam("project"), declined.c.rater == bindparam("rater"))
    return ~sa.exists().where(*here, declined.c.stratum == of.c.stratum)


_JUDGED_ONCE = Prepared(
    select(*ASSIGNMENT)
    .join(item, item.c.number == assignment.c.item)
    .where(
        assignment.c.id == bindparam("id"),
        assignment.c.rater == bindparam("rater"),
        assignment.c.state == "judged",
        assignment.c.turn == 0,
        item.c.is_gold == sa.false(),
        is_not_declined(item),
        ~sa.exists().where(
            (again := assignment.alias("again")).c.item == assignment.c.item,
            again.c.rater == assignment.c.rater,
            again.c.turn == 1,
        ),
    )
)


def judged_once(connection: Connection, project: str, id: str, rater: str) -> Leased | None:
    """The rater's assignment, where it was judged, is no gold, is of no stratum that they decline,
    and was never asked again."""
    row = _JUDGED_ONCE.first(connection, project=project, id=id, rater=rater)
    return as_leased(row) if row else None


_HAS_HAD = Prepared(
    select(
        sa.exists().where(
            assignment.c.item == bindparam("item"), assignment.c.rater == bindparam("rater")
        )
    )
)


def has_had(connection: Connection, item: int, rater: str) -> bool:
    """Whether the rater was ever given the item."""
    return _HAS_HAD.scalar(connection, item=item, rater=rater)


_DRAFT = Prepared(select(draft.c.body).where(draft.c.assignment == bindparam("id")))


def draft_of(connection: Connection, id: str) -> Asked:
    """What was entered so far; None for nothing."""
    return _DRAFT.ask(connection, id=id)


_ITEM = Prepared(select(item.c.content).where(item.c.number == bindparam("item")))


def content(connection: Connection, number: int) -> Asked:
    """The item as JSON."""
    return _ITEM.ask(connection, item=number)


def shown_of(row: AnyRow) -> tuple[int, ...]:
    """The order of candidates of an assignment's row."""
    return tuple(map(int, row.shown.split(","))) if row.shown else ()


_BY_ID = Prepared(select(*ASSIGNMENT).where(assignment.c.id == bindparam("id")))


def leased(connection: Connection, id: str) -> Leased:
    """The assignment of an id that is known to be there."""
    return as_leased(_BY_ID.first(connection, id=id))


_LAST_CLOSED = Prepared(
    select(assignment.c.id)
    .where(
        assignment.c.id.between(bindparam("first"), bindparam("last")),
        assignment.c.rater == bindparam("rater"),
        sa.or_(assignment.c.state == "judged", assignment.c.state == "skipped"),
    )
    .order_by(assignment.c.closed_at.desc(), assignment.c.id.desc())
    .limit(1)
)


def last_closed(connection: Connection, key: str, rater: str, among: int) -> str | None:
    """The assignment the rater judged or skipped last, if it is one of their last ``among``."""
    last = _LAST_ID.scalar(connection, **_span(key), rater=rater)
    if last is None or not among:
        return None
    first = assignment_id(key, max(0, serial_of(last) + 1 - among))
    return _LAST_CLOSED.scalar(connection, first=first, last=last, rater=rater)


def as_leased(row: AnyRow) -> Leased:
    """Of a row with what ``ASSIGNMENT`` names."""
    return Leased(
        id=row.id, item=row.item, turn=row.turn, state=row.state,
        shown=shown_of(row), opened_at=row.opened_at,
        leased_until=row.leased_until,
    )  # fmt: skip

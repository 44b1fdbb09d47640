"""What a rater is given next, and what becomes of it: judged, skipped, undone, or left.

The order is that of the docs page ``docs/collect/assignment.md``: what the rater has open already,
gold for the first ones, gold and repeats at their rates, then the queue. An item is never given to
more raters than it wants votes: a lease counts as a vote until it runs out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from plaudit.feedback.assignment.policy import (
    block_so_far,
    kind_wanted,
    order_shown,
    rater_key,
    repeat_serials,
)
from plaudit.feedback.projects.project import Project, project_of
from plaudit.judgments import Item
from plaudit.store import Appending, Store
from plaudit.store import assignment_changes as changes
from plaudit.store import assignment_queue as queue
from plaudit.store import assignments as table
from plaudit.store.assignments import Leased
from plaudit.store.items import item_of
from plaudit.store.prepared import AnyRow, Asked
from plaudit.store.turns import Turns, alone


class Refused(ValueError):
    """What the rater asks for is not theirs to have: no such assignment, project or place in it."""


class Conflict(ValueError):
    """It was decided already, perhaps in another window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """An item before one rater."""

    id: str
    item: Item
    """Whole, with what raters must not see: sources, gold, stratum, priority, columns."""
    number: int
    """Of the item in the store."""
    shown: tuple[int, ...]
    """Candidates in the order shown, by their index in the item."""
    opened_at: float
    leased_until: float
    draft: str | None
    """What the rater had entered, as JSON."""
    is_repeat: bool
    """Raters must not see it either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Desk:
    """A rater in a project, and what of them decides what comes next."""

    project: Project
    secret: str
    rater: str
    queue: str
    now: float
    has_unfinished: bool
    declines: bool
    last: Sequence[AnyRow] = ()
    """Their last assignments, where something new is to be given."""

    @property
    def serial(self) -> int:
        return table.serial_of(self.last[0].id) + 1 if self.last else 0

    @property
    def id(self) -> str:
        """Of what is given next."""
        return table.assignment_id(rater_key(self.secret, self.rater), self.serial)

    @property
    def until(self) -> float:
        return self.now + self.project.lease_seconds


def next_assignment(
    store: Store, project: str, rater: str, now: float | None = None
) -> Assignment | None:
    """The assignment the rater is to do; None where there is none for them.

    The one they have open comes again, in the same order, as long as its lease runs; and after
    that too, unless others have filled its place.

    Raises:
        Refused: there is no such project, or the rater is no member, or suspended.
    """
    at = time.time() if now is None else now
    with table.leasing(store) as connection:
        return alone(give(Appending(connection), project, rater, at))


def give(log: Appending, project: str, rater: str, now: float) -> Turns[Assignment | None]:
    """``next_assignment`` within a transaction that is under way."""
    while True:
        since, here = len(log.touched), table.membership(log.connection, project, rater)
        begun = table.unfinished(log.connection, project, rater)
        yield
        if rater not in log.touched[since:]:
            break
    log.touched.append(rater)
    desk = _desk(here.first(), project, rater, now)
    if desk.has_unfinished and (leased := _taken_up_again(log.connection, desk, begun)):
        return (yield from _assignment(log.connection, leased))
    return (yield from _new(log.connection, _with_last(log.connection, desk)))


def give_after(
    connection: Connection, case: AnyRow, last: Asked, now: float
) -> Turns[Assignment | None]:
    """``give``, with less to ask: what comes after an assignment that was closed just now.

    Args:
        case: the assignment's, as it was read before.
        last: the rater's last assignments (``recent_around``), asked at that time.
    """
    desk = _desk(case, case.project, case.rater, now)
    if desk.has_unfinished:
        begun = table.unfinished(connection, case.project, case.rater)
        if leased := _taken_up_again(connection, desk, begun):
            return (yield from _assignment(connection, leased))
    return (yield from _new(connection, replace(desk, last=last.all())))


def give_item(
    store: Store, project: str, rater: str, number: int, now: float | None = None
) -> Assignment:
    """Give a rater this item, by its number in the store, before whatever else they have open.

    Raises:
        Refused: there is no such project, or the rater is no member, or suspended.
        Conflict: the rater has had the item.
    """
    with table.leasing(store) as connection:
        at, here = time.time() if now is None else now, table.membership(connection, project, rater)
        desk = _with_last(connection, _desk(here.first(), project, rater, at))
        if table.has_had(connection, number, rater):
            raise Conflict(f"item {number}: {rater} has had it; ask for the next one")
        return _lease(connection, desk, number, table.content(connection, number).scalar())


def release_expired(store: Store, now: float | None = None) -> int:
    """Mark the leases that have run out, and say how many; others may have their items anyway."""
    with store.writing() as connection:
        return changes.expire(connection, time.time() if now is None else now)


def _desk(row: AnyRow | None, project: str, rater: str, now: float) -> _Desk:
    """Of a row with what ``membership`` tells."""
    if row is None:
        raise Refused(f"project {project}: there is none of that name")
    if not row.is_member:
        raise Refused(f"project {project}: {rater} is not a member; ask its lead for an invite")
    if row.suspended_at is not None:
        raise Refused(f"project {project}: {rater} is suspended; ask its lead")
    return _Desk(
        project=project_of(row.config), secret=row.secret, rater=rater, queue=row.queue, now=now,
        has_unfinished=row.has_unfinished, declines=row.declines,
    )  # fmt: skip


def _with_last(connection: Connection, desk: _Desk) -> _Desk:
    key = rater_key(desk.secret, desk.rater)
    return replace(desk, last=table.recent(connection, key, desk.rater))


def _taken_up_again(connection: Connection, desk: _Desk, begun: Asked) -> Leased | None:
    """What the rater began: while its lease runs, or has run out and its place is still free."""
    for leased in map(table.as_leased, begun.all()):
        if leased.state == "open" and leased.leased_until > desk.now:
            return leased
        if leased.turn or queue.has_room(connection, leased.item, desk.now):
            changes.reopen(connection, leased.id, desk.now, desk.until)
            return replace(leased, opened_at=desk.now, leased_until=desk.until, state="open")
        if leased.state == "open":
            changes.close(connection, leased.id, "expired", None, desk.now)
    return None


def _new(connection: Connection, desk: _Desk) -> Turns[Assignment | None]:
    wanted = kind_wanted(desk.project, desk.secret, desk.rater, desk.serial)
    if wanted == "repeat" and (first := _to_repeat(connection, desk)):
        content = table.content(connection, first.item).scalar()
        return _lease(connection, desk, first.item, content, shown=first.shown[::-1])
    if wanted == "gold" and (
        gold := queue.first_gold(connection, desk.project.id, desk.rater, desk.queue)
    ):
        return _lease(connection, desk, gold.number, gold.content)
    return (yield from _from_queue(connection, desk))


def _from_queue(connection: Connection, desk: _Desk) -> Turns[Assignment | None]:
    wanted = queue.Wanted(
        project=desk.project.id, rater=desk.rater, stratum=desk.queue, declines=desk.declines,
        id=desk.id, now=desk.now, until=desk.until,
    )  # fmt: skip
    asked = queue.lease_from_head(connection, wanted)
    yield
    if (found := asked.first() or queue.lease_beyond(connection, wanted, desk.last)) is None:
        return None
    item = item_of(found.content)
    leased = _leased(desk, found.item, 0, _order(desk, item))
    changes.show(connection, leased.id, leased.shown)
    return _opened(leased, item, None)


def _to_repeat(connection: Connection, desk: _Desk) -> Leased | None:
    key = rater_key(desk.secret, desk.rater)
    for serial in repeat_serials(desk.project, desk.secret, desk.rater, desk.serial):
        id = table.assignment_id(key, serial)
        if first := table.judged_once(connection, desk.project.id, id, desk.rater):
            return first
    return None


def _lease(
    connection: Connection,
    desk: _Desk,
    number: int,
    content: str,
    shown: tuple[int, ...] | None = None,
) -> Assignment:
    """Give the item to the rater; ``shown`` is the order of a repeat."""
    item, turn = item_of(content), int(shown is not None)
    leased = _leased(desk, number, turn, _order(desk, item) if shown is None else shown)
    changes.insert(connection, desk.project.id, desk.rater, leased)
    return _opened(leased, item, None)


def _leased(desk: _Desk, number: int, turn: int, shown: tuple[int, ...]) -> Leased:
    """What is new before the rater."""
    return Leased(
        id=desk.id, item=number, turn=turn, state="open", shown=shown, opened_at=desk.now,
        leased_until=desk.until,
    )  # fmt: skip


def _order(desk: _Desk, item: Item) -> tuple[int, ...]:
    before = [(table.serial_of(one.id), table.shown_of(one)) for one in desk.last]
    block = block_so_far(before, desk.serial)
    return order_shown(desk.secret, item.id, desk.rater, len(item.candidates), block)


def _assignment(connection: Connection, leased: Leased) -> Turns[Assignment]:
    content, draft = table.content(connection, leased.item), table.draft_of(connection, leased.id)
    yield
    return _opened(leased, item_of(content.scalar()), draft.scalar())


def _opened(leased: Leased, item: Item, draft: str | None) -> Assignment:
    return Assignment(
        id=leased.id, item=item, number=leased.item, shown=leased.shown,
        opened_at=leased.opened_at, leased_until=leased.leased_until, draft=draft,
        is_repeat=leased.turn == 1,
    )  # fmt: skip


def assignment_of(connection: Connection, id: str) -> Turns[Assignment]:
    """The assignment of an id that is known to be there."""
    return _assignment(connection, table.leased(connection, id))

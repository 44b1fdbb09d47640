"""The queue: which open item a rater is given, and how many votes items have and want.

Every query goes by an index; the longest way is past the open items that the rater has had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam, func, select

from plaudit.judgments import Item, written_json
from plaudit.store.assignments import is_not_declined
from plaudit.store.prepared import AnyRow, Asked, Prepared
from plaudit.store.schema import assignment, item
from plaudit.store.settled import is_settled

GOLD_INDEX = sa.Index(
    "item_gold",
    item.c.project,
    item.c.number,
    sqlite_where=item.c.is_gold == sa.true(),
    postgresql_where=item.c.is_gold == sa.true(),
)
STRATUM_INDEX = sa.Index(
    "item_queue_of_stratum",
    item.c.project, item.c.is_open, item.c.stratum, item.c.priority.desc(), item.c.votes.desc(),
    item.c.number,
)  # fmt: skip

# So many open items are looked through from the head of the queue before going on from where the
# rater was.

_HEAD = 64
# Of these last assignments the one furthest down the queue says where that is.


ARENA_STRATUM = "arena"
"""Of the items that raters make by asking a served model."""
# Who asked has the item before it could stand in the queue; where one vote is wanted, it is theirs.
_FOR_ALL = sa.or_(item.c.stratum != ARENA_STRATUM, item.c.target_votes > 1)


def make_indexes(connection: Connection) -> None:
    """The indexes that assignment needs beside those of the tables; those that are there stay."""
    for index in (GOLD_INDEX, STRATUM_INDEX):
        index.create(connection, checkfirst=True)


def _first(
    *conditions: sa.ColumnElement[bool], head: int | None = None, declines: bool = False
) -> sa.Select:
    """The first item in the queue's order that has a place left and that the rater never had."""
    queued = (
        select(item.c.number, item.c.priority, item.c.votes, item.c.target_votes, item.c.stratum)
        .where(
            item.c.project == bindparam("project"),
            item.c.is_open == sa.true(),
            _FOR_ALL,
            *conditions,
        )
        .order_by(item.c.priority.desc(), item.c.votes.desc(), item.c.number)
    )
    found = (queued.limit(head) if head else queued).subquery("queued")
    return (
        select(found.c.number)
        .where(_never_had(found), found.c.votes + _leases(found) < found.c.target_votes)
        # Here, and not above: the head is so many items whatever a rater declines.
        .where(*((is_not_declined(found),) if declines else ()))
        .order_by(found.c.priority.desc(), found.c.votes.desc(), found.c.number)
        .limit(1)
    )


def _lease_first(
    *conditions: sa.ColumnElement[bool], head: int | None = None, declines: bool = False
) -> sa.Insert:
    """Lease it to the rater at once: whoever asks next may have been handed over already. In which
    order its candidates are shown depends on the item, and is for ``show`` to say."""
    found = _first(*conditions, head=head, declines=declines).subquery("found")
    lease = {
        "id": bindparam("id", type_=sa.String),
        "project": bindparam("project", type_=sa.String),
        "item": found.c.number,
        "rater": bindparam("rater", type_=sa.String),
        "turn": sa.literal_column("0"),
        "state": sa.literal_column("'open'"),
        "shown": sa.literal_column("''"),
        "opened_at": sa.cast(bindparam("now"), sa.Float),
        "leased_until": sa.cast(bindparam("until"), sa.Float),
    }
    # Written out: in what is returned SQLAlchemy sees no table around.
    of_it = item.c.number == sa.literal_column("assignment.item")
    content = select(item.c.content).where(of_it).scalar_subquery().label("content")
    rows = select(*lease.values())
    return assignment.insert().from_select([*lease], rows).returning(assignment.c.item, content)


def _never_had(found: sa.FromClause) -> sa.ColumnElement[bool]:
    had = assignment.alias("had")
    return ~sa.exists().where(had.c.item == found.c.number, had.c.rater == bindparam("rater"))


def _leases(found: sa.FromClause) -> sa.ScalarSelect[int]:
    """How many raters have the item before them just now; repeats give no vote."""
    taken = assignment.alias("taken")
    # Open written out, or PostgreSQL does not see that the index of leases holds all it needs.
    is_open = taken.c.state == sa.literal_column("'open'")
    here = (taken.c.item == found.c.number, taken.c.leased_until > bindparam("now"), is_open)
    leases = select(func.count()).select_from(taken).where(*here, taken.c.turn == 0)
    return leases.scalar_subquery()


_IN_STRATUM = item.c.stratum == bindparam("stratum")
_BEYOND = (
    item.c.priority == bindparam("priority"),
    item.c.votes == bindparam("votes"),
    item.c.number > bindparam("number"),
)
_LOWER = (item.c.priority < bindparam("priority"),)
# By whether one stratum alone is asked for, and whether others are declined: the head, then on from
# where the rater was, then all.
_WAYS = {
    (one, declines): tuple(
        Prepared(_lease_first(*in_one, *conditions, head=head, declines=declines))
        for conditions, head in (((), _HEAD), (_BEYOND, None), (_LOWER, _HEAD), ((), None))
    )
    for one, in_one in ((False, ()), (True, (_IN_STRATUM,)))
    for declines in (False, True)
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the queue is to lease to a rater."""

    project: str
    rater: str
    stratum: str
    """The one they are given items of; empty for all."""
    declines: bool
    """Whether there are strata that they are not given."""
    id: str
    """Of the assignment."""
    now: float
    until: float

    @property
    def ways(self) -> tuple[Prepared, ...]:
        return _WAYS[bool(self.stratum), self.declines]

    @property
    def values(self) -> dict[str, Any]:
        """By parameter."""
        told = {name: getattr(self, name) for name in ("project", "rater", "id", "now", "until")}
        return told | ({"stratum": self.stratum} if self.stratum else {})


def lease_from_head(connection: Connection, wanted: Wanted) -> Asked:
    """Lease the first item there is for the rater at the head of the queue; its number and content.

    In the queue's order: higher priority, then more votes, then first come.
    """
    return wanted.ways[0].ask(connection, **wanted.values)


def lease_beyond(connection: Connection, wanted: Wanted, last: Sequence[AnyRow]) -> AnyRow | None:
    """Lease the first one beyond the head; None where there is none for the rater.

    The search goes on from where the rater's ``last`` assignments (``recent``) were, so that it
    need not pass everything they have had; what that misses is found by going through all of it.
    """
    ordinary = [one for one in last if not one.is_gold and not one.turn]
    furthest = min(ordinary, key=lambda one: (one.priority, -one.item), default=None)
    _, beyond, lower, whole = wanted.ways
    values, ways = wanted.values, []
    if furthest is not None:
        values |= {"priority": furthest.priority, "number": furthest.item}
        # It stood among items of as many votes as it has, or one more or less by the rater's own.
        around = (furthest.votes + 1, furthest.votes, furthest.votes - 1)
        levels = sorted({0, *(max(votes, 0) for votes in around)}, reverse=True)
        ways += [(beyond, values | {"votes": votes}) for votes in levels]
        ways += [(lower, values)]
    for query, parameters in [*ways, (whole, values)]:
        if (found := query.first(connection, **parameters)) is not None:
            return found
    return None


_GOLD = tuple(
    Prepared(
        select(item.c.number, item.c.content)
        .where(
            item.c.project == bindparam("project"),
            item.c.is_gold == sa.true(),
            *conditions,
            _never_had(item),
            is_not_declined(item),
        )
        .order_by(item.c.number)
        .limit(1)
    )
    for conditions in ((), (_IN_STRATUM,))
)


def first_gold(connection: Connection, project: str, rater: str, stratum: str) -> AnyRow | None:
    """The first gold item that the rater never had, of a stratum or of all, by number and
    content."""
    values = {"project": project, "rater": rater}
    values |= {"stratum": stratum} if stratum else {}
    return _GOLD[bool(stratum)].first(connection, **values)


_HAS_ROOM = Prepared(
    select(
        sa.or_(
            item.c.is_gold,
            sa.and_(item.c.is_open, item.c.votes + _leases(item) < item.c.target_votes),
        )
    ).where(item.c.number == bindparam("item"))
)


def has_room(connection: Connection, item: int, now: float) -> bool:
    """Whether the item wants another vote that nobody is at; gold is there for everybody."""
    return bool(_HAS_ROOM.scalar(connection, item=item, now=now))


_SETTLED = Prepared(select(item.c.number).where(item.c.number == bindparam("item"), is_settled()))


def is_settled_item(connection: Connection, item: int) -> bool:
    """Whether an adjudicator has answered it, so that it asks for no more votes."""
    return _SETTLED.first(connection, item=item) is not None


_SET_VOTES = Prepared(
    item.update()
    .where(item.c.number == bindparam("of_item"))
    .values({name: bindparam(f"new_{name}") for name in ("votes", "target_votes", "is_open")})
)


def set_votes(
    connection: Connection,
    item: int,
    *,
    votes: int,
    target_votes: int,
    is_open: bool,
) -> None:
    """How many votes stand, and how many are wanted."""
    _SET_VOTES.ask(
        connection, of_item=item, new_votes=votes, new_target_votes=target_votes,
        new_is_open=is_open,
    )  # fmt: skip


def set_targets(connection: Connection, project: str, by_stratum: Mapping[str, int]) -> None:
    """How many votes the items of each stratum get: fewer for those without any yet, more for all.

    Gold is given out by other rules, and never stands in the queue; neither does what was settled.
    """
    for stratum, wanted in by_stratum.items():
        of_stratum = (item.c.project == project, item.c.stratum == stratum)
        outdated = sa.or_(item.c.votes == 0, item.c.target_votes < wanted)
        is_free = sa.or_(item.c.is_open, sa.not_(is_settled()))
        wants_more = sa.and_(item.c.votes < wanted, sa.not_(item.c.is_gold), is_free)
        connection.execute(
            item.update()
            .where(*of_stratum, outdated)
            .values(target_votes=wanted, is_open=wants_more)
        )


def set_priorities(connection: Connection, project: str, items: Iterable[Item]) -> None:
    """The priority, and what else does not change what is judged, of items that are there."""
    given = item.update().where(item.c.project == project, item.c.id == bindparam("of_id"))
    rows = [
        {"of_id": one.id, "priority": one.priority, "content": written_json(one)} for one in items
    ]
    if rows:
        connection.execute(given, rows)

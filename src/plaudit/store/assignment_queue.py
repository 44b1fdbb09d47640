"""The queue: which open item a rater is given, and how many votes items have and want.

Every query goes by an index; the longest way is past the open items that the rater has had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam, func, select

from plaudit.judgments import Item, canonical_json
from plaudit.store.assignments import Recent
from plaudit.store.schema import assignment, item

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


def make_indexes(connection: Connection) -> None:
    """The indexes that assignment needs beside those of the tables; those that are there stay."""
    for index in (GOLD_INDEX, STRATUM_INDEX):
        index.create(connection, checkfirst=True)


def _first(*conditions: sa.ColumnElement[bool], head: int | None = None) -> sa.Select[tuple[int]]:
    """The first item in the queue's order that has a place left and that the rater never had."""
    queued = (
        select(item.c.number, item.c.priority, item.c.votes, item.c.target_votes)
        .where(item.c.project == bindparam("project"), item.c.is_open == sa.true(), *conditions)
        .order_by(item.c.priority.desc(), item.c.votes.desc(), item.c.number)
    )
    found = (queued.limit(head) if head else queued).subquery("queued")
    return (
        select(found.c.number)
        .where(_never_had(found), found.c.votes + _leases(found) < found.c.target_votes)
        .order_by(found.c.priority.desc(), found.c.votes.desc(), found.c.number)
        .limit(1)
    )


def _never_had(found: sa.FromClause) -> sa.ColumnElement[bool]:
    had = assignment.alias("had")
    return ~sa.exists().where(had.c.item == found.c.number, had.c.rater == bindparam("rater"))


def _leases(found: sa.FromClause) -> sa.ScalarSelect[int]:
    """How many raters have the item before them just now; repeats give no vote."""
    taken = assignment.alias("taken")
    return (
        select(func.count())
        .where(
            taken.c.item == found.c.number,
            taken.c.turn == 0,
            taken.c.state == "open",
            taken.c.leased_until > bindparam("now"),
        )
        .scalar_subquery()
    )


_IN_STRATUM = item.c.stratum == bindparam("stratum")
_FRESH_BELOW = (
    item.c.priority == bindparam("priority"),
    item.c.votes == 0,
    item.c.number > bindparam("number"),
)
_LOWER = (item.c.priority < bindparam("priority"),)
# By whether one stratum alone is asked for: the head, then on from where the rater was, then all.
_WAYS = {
    one: tuple(
        _first(*((_IN_STRATUM,) if one else ()), *conditions, head=head)
        for conditions, head in (((), _HEAD), (_FRESH_BELOW, None), (_LOWER, _HEAD), ((), None))
    )
    for one in (False, True)
}


def first_free(
    connection: Connection,
    project: str,
    rater: str,
    stratum: str,
    now: float,
    last: Sequence[Recent],
) -> int | None:
    """The number of the item to give next from the queue; None where there is none for the rater.

    In the queue's order: higher priority, then more votes, then first come. Beyond its head the
    search goes on from where the rater's ``last`` assignments were, so that it need not pass
    everything they have had; what that misses is found by going through the whole queue.
    """
    ordinary = [one for one in last if not one.is_gold and not one.leased.turn]
    furthest = min(ordinary, key=lambda one: (one.priority, -one.leased.item), default=None)
    values = {"project": project, "rater": rater, "now": now}
    values |= {"stratum": stratum} if stratum else {}
    head, fresh, lower, whole = _WAYS[bool(stratum)]
    ways = [(head, values)]
    if furthest is not None:
        place = {"priority": furthest.priority}
        ways += [
            (fresh, values | place | {"number": furthest.leased.item}),
            (lower, values | place),
        ]
    for query, parameters in [*ways, (whole, values)]:
        if (number := connection.execute(query, parameters).scalar()) is not None:
            return number
    return None


_GOLD = (
    select(item.c.number)
    .where(item.c.project == bindparam("project"), item.c.is_gold == sa.true(), _never_had(item))
    .order_by(item.c.number)
    .limit(1)
)


def first_gold(connection: Connection, project: str, rater: str) -> int | None:
    """The first gold item that the rater never had."""
    return connection.execute(_GOLD, {"project": project, "rater": rater}).scalar()


_HAS_ROOM = select(
    (item.c.is_open == sa.true()) & (item.c.votes + _leases(item) < item.c.target_votes)
).where(item.c.number == bindparam("item"))


def has_room(connection: Connection, item: int, now: float) -> bool:
    """Whether the item wants another vote that nobody is at."""
    return bool(connection.execute(_HAS_ROOM, {"item": item, "now": now}).scalar())


_COUNT_VOTES = item.update().where(item.c.number == bindparam("of_item"))


def set_votes(
    connection: Connection,
    item: int,
    *,
    votes: int,
    target: int,
    is_open: bool,
    disagreement: float,
) -> None:
    """How many votes stand, how many are wanted, and how far they lie apart."""
    values = {
        "votes": votes, "target_votes": target, "is_open": is_open, "disagreement": disagreement,
    }  # fmt: skip
    connection.execute(_COUNT_VOTES.values(**values), {"of_item": item})


def set_targets(
    connection: Connection, project: str, votes: int, by_stratum: Mapping[str, int]
) -> None:
    """How many votes items get that have none yet; gold is given out by other rules."""
    unjudged = item.update().where(item.c.project == project, item.c.votes == 0)
    connection.execute(unjudged.values(target_votes=votes, is_open=sa.not_(item.c.is_gold)))
    for stratum, wanted in by_stratum.items():
        connection.execute(unjudged.where(item.c.stratum == stratum).values(target_votes=wanted))


def set_priorities(connection: Connection, project: str, items: Iterable[Item]) -> None:
    """The priority, and what else does not change what is judged, of items that are there."""
    given = item.update().where(item.c.project == project, item.c.id == bindparam("of_id"))
    rows = [
        {"of_id": one.id, "priority": one.priority, "content": canonical_json(one)} for one in items
    ]
    if rows:
        connection.execute(given, rows)

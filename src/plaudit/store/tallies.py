"""Tallies for dashboards, brought up to date with the log before they are read.

They follow the log by its seq and the suspensions by whom they leave out (``tally_suspensions``),
so that recording a judgment waits for none of this, and a fault here loses nothing.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from plaudit.judgments import Judgment, Withdrawn
from plaudit.store import schema
from plaudit.store.log import chain_head
from plaudit.store.opening import Store
from plaudit.store.prepared import AnyRow
from plaudit.store.tally_rows import (
    TABLES,
    Votes,
    add_difference,
    delete_votes,
    folded_seq,
    insert_votes,
    items_at,
    seqs_of,
    set_disagreement,
    set_folded_seq,
    to_fold,
    votes_at,
)
from plaudit.store.tally_suspensions import (
    LeftOut,
    Members,
    Place,
    asked_left_out,
    asked_suspended,
    left_out,
    next_turn,
    put,
    suspended,
)
from plaudit.store.turns import Turns, alone
from plaudit.store.votes import Cell, Vote, contribution, differing, vote_of, written

_AT_ONCE = 1000
_ITEMS_AT_ONCE = 200
"""Of suspensions: all votes on each are read and counted twice, while who records waits."""
_MADE_FROM_THE_LOG = (
    schema.vote, schema.tally_mark, schema.tally_suspended, *TABLES.values(),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Change:
    """Votes, by seq, that come to the tallies and that leave them."""

    come: Mapping[int, tuple[Place, Vote]]
    leave: Collection[int]


def catch_up(store: Store, most_seconds: float = math.inf) -> bool:
    """Fold what was recorded, suspended or resumed since the last time.

    Args:
        most_seconds: after about so long the rest is left for the next time.

    Returns:
        whether nothing is left.
    """
    if _is_up_to_date(store):
        return True
    ends = time.monotonic() + most_seconds
    is_more = True
    while is_more and time.monotonic() < ends:
        with store.appending() as connection:  # else it could wait for who waits for it
            is_more = alone(catching_up(connection, _AT_ONCE, _ITEMS_AT_ONCE))
    return not is_more


def catching_up(connection: Connection, judgments: int, items: int) -> Turns[bool]:
    """``catch_up`` within a transaction that may append to the log, by so many judgments, and items
    of suspensions, at most; returns whether there may be more."""
    now, found = asked_suspended(connection), to_fold(connection, judgments)
    asked = asked_left_out(connection)
    yield
    out, turned = _follow_suspensions(connection, left_out(asked), suspended(now), items)
    folded = yield from _folding(connection, found.all(), out)
    return turned == items or folded == judgments


def _is_up_to_date(store: Store) -> bool:
    """Told without waiting for who writes."""
    with store.reading() as connection:
        is_folded = chain_head(connection).seq == folded_seq(connection)
        out, now = asked_left_out(connection), asked_suspended(connection)
        return is_folded and left_out(out).is_all_of(suspended(now))


def rebuild_tallies(store: Store) -> None:
    """Make all tallies anew from the log and the strata and gold answers that items have now."""
    with store.appending() as connection:
        for table in _MADE_FROM_THE_LOG:
            connection.execute(table.delete())
        connection.execute(schema.item.update().values(disagreement=0.0))
    catch_up(store)


def fold(connection: Connection) -> int:
    """Fold the next judgments of the log, a thousand at most; returns how many there were."""
    out = left_out(asked_left_out(connection))
    return alone(_folding(connection, to_fold(connection, _AT_ONCE).all(), out))


def _folding(connection: Connection, rows: Sequence[AnyRow], out: LeftOut) -> Turns[int]:
    if rows:
        yield from _taking(connection, rows, out)
        set_folded_seq(connection, rows[-1].seq)
    return len(rows)


def forget(connection: Connection, rater: str) -> None:
    """Take a rater's votes out of the tallies; the log must be folded to its end."""
    table = schema.vote
    rows = connection.execute(
        select(table.c.seq, table.c.project, table.c.item).where(table.c.rater == rater)
    ).all()
    change = _Change({}, [row.seq for row in rows])
    before = votes_at(connection, {(row.project, row.item) for row in rows}).votes()
    _apply(connection, change, before, left_out(asked_left_out(connection)))


def _taking(connection: Connection, rows: Sequence[AnyRow], out: LeftOut) -> Turns[None]:
    judgments = [(row.seq, Judgment.model_validate_json(row.body)) for row in rows if row.body]
    places = {(judgment.project, judgment.item) for _, judgment in judgments}
    before, items_here = votes_at(connection, places), items_at(connection, places)
    gone = seqs_of(connection, [row.supersedes for row in rows if row.supersedes])
    yield
    items = items_here.items()
    come = {
        seq: (place, vote_of(judgment, items.get(place)))
        for seq, judgment in judgments
        for place in [(judgment.project, judgment.item)]
        if not isinstance(judgment.answer, Withdrawn)
    }
    leave = {row.seq for row in gone.all()}
    change = _Change({seq: come[seq] for seq in come if seq not in leave}, leave)
    _apply(connection, change, before.votes(), out)


def _apply(connection: Connection, change: _Change, before: Votes, out: LeftOut) -> None:
    after = {place: dict(votes) for place, votes in before.items()}
    for votes in after.values():
        for seq in change.leave:
            votes.pop(seq, None)
    for seq, (place, vote) in change.come.items():
        after.setdefault(place, {})[seq] = vote
    _recount(connection, before, after, out, out)
    delete_votes(connection, change.leave)
    come = [
        {"seq": seq, "project": place[0], "item": place[1], "rater": v.rater, "facts": written(v)}
        for seq, (place, v) in change.come.items()
    ]
    insert_votes(connection, come)


def _recount(
    connection: Connection, before: Votes, after: Votes, then: LeftOut, now: LeftOut
) -> None:
    """Move the tallies from the votes and suspensions before to those after."""
    difference: dict[tuple[str, Cell], int] = Counter()
    shares = {}
    for place in {**before, **after}:
        old, new = ([*votes.get(place, {}).values()] for votes in (before, after))
        were, are = then.on(place), now.on(place)
        for cell, many in contribution(new, are).items():
            difference[place[0], cell] += many
        for cell, many in contribution(old, were).items():
            difference[place[0], cell] -= many
        shares[place] = differing(new, are)
    add_difference(connection, {key: many for key, many in difference.items() if many})
    set_disagreement(connection, shares)


def _follow_suspensions(
    connection: Connection, out: LeftOut, now: Members, most: int
) -> tuple[LeftOut, int]:
    """Whom the tallies leave out then, and how many items that took."""
    turned = 0
    while turned < most and (turn := next_turn(connection, out, now, most - turned)) is not None:
        votes = votes_at(connection, turn.places).votes()
        _recount(connection, votes, votes, out, out.after(turn))
        put(connection, turn)
        out, turned = out.after(turn), turned + len(turn.places)
    return out, turned

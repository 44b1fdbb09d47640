"""Whom the tallies leave out as a peer: suspensions, followed some items at a time.

A rater of many votes who is suspended is nobody's peer any more on as many items. All of them at
once would keep everybody from recording for seconds, so the tallies have who is left out up to
which item, in the order of the ids' bytes. A suspension moves that up and a resumption down, and
either may be taken back half way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from plaudit.store import schema
from plaudit.store.prepared import AnyRow, Asked, Prepared

Place = tuple[str, str]
"""Project and item."""

Members = Mapping[str, set[str]]
"""Raters, by project."""

NOTHING = ""
"""What nobody's items are up to: an id is never empty."""

_FOLDED = Prepared(select(schema.tally_suspended))
_SUSPENDED = Prepared(
    select(schema.member.c.project, schema.member.c.rater).where(
        schema.member.c.suspended_at.is_not(None)
    )
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Whom the tallies leave out as they are."""

    reached: Mapping[str, Mapping[str, str | None]]
    """By project and rater: up to which item, everywhere where None."""

    def on(self, place: Place) -> set[str]:
        """Who is nobody's peer on an item."""
        project, item = place
        raters = self.reached.get(project, {})
        return {rater for rater, upto in raters.items() if upto is None or item <= upto}

    def of(self, project: str, rater: str) -> str | None:
        """Up to which item one is left out."""
        return self.reached.get(project, {}).get(rater, NOTHING)

    def is_all_of(self, suspended: Members) -> bool:
        """Whether those who are suspended are left out everywhere, and nobody else is."""
        here = {project: {*raters} for project, raters in self.reached.items()}
        whole = all(upto is None for raters in self.reached.values() for upto in raters.values())
        return whole and here == suspended

    def after(self, turn: Turn) -> LeftOut:
        """The same once the turn is taken."""
        raters = {**self.reached.get(turn.project, {}), turn.rater: turn.reached}
        return LeftOut({**self.reached, turn.project: raters})


@dataclass(frozen=True, slots=True)
class Turn:
    """Items on which one rater is left out next, or comes back."""

    project: str
    rater: str
    places: Sequence[Place]
    reached: str | None
    """Up to which item the rater is left out then."""


def asked_left_out(connection: Connection) -> Asked:
    """Rows for ``left_out``."""
    return _FOLDED.ask(connection)


def left_out(asked: Asked) -> LeftOut:
    """As the tallies have them."""
    found: dict[str, dict[str, str | None]] = {}
    for row in asked.all():
        found.setdefault(row.project, {})[row.rater] = row.reached
    return LeftOut(found)


def asked_suspended(connection: Connection) -> Asked:
    """Rows for ``suspended``."""
    return _SUSPENDED.ask(connection)


def suspended(asked: Asked) -> Members:
    """Who is suspended."""
    return _by_project(asked.all())


def next_turn(connection: Connection, out: LeftOut, now: Members, most: int) -> Turn | None:
    """The next items to follow a suspension or a resumption on; None where all is followed."""
    for project in sorted({*now, *out.reached}):
        are = now.get(project, set())
        for rater in sorted({*are, *out.reached.get(project, {})}):
            reached = out.of(project, rater)
            if rater in are and reached is not None:
                return _leaving(connection, (project, rater), reached, most)
            if rater not in are and reached != NOTHING:
                return _coming_back(connection, (project, rater), reached, most)
    return None


def put(connection: Connection, turn: Turn) -> None:
    """Note how far a rater is left out."""
    table = schema.tally_suspended
    one = (table.c.project == turn.project) & (table.c.rater == turn.rater)
    connection.execute(table.delete().where(one))
    if turn.reached != NOTHING:
        row = {"project": turn.project, "rater": turn.rater, "reached": turn.reached}
        connection.execute(table.insert().values(row))


def _leaving(connection: Connection, who: tuple[str, str], reached: str, most: int) -> Turn:
    item = _item(connection)
    found = _ids(connection, _items_of(who, item).where(item > reached).order_by(item).limit(most))
    upto = found[-1] if len(found) == most else None
    return Turn(*who, [(who[0], one) for one in found], upto)


def _coming_back(
    connection: Connection, who: tuple[str, str], reached: str | None, most: int
) -> Turn:
    item = _item(connection)
    query = _items_of(who, item).order_by(item.desc()).limit(most + 1)
    found = _ids(connection, query if reached is None else query.where(item <= reached))
    upto = found[most] if len(found) > most else NOTHING
    return Turn(*who, [(who[0], one) for one in found[:most]], upto)


def _items_of(who: tuple[str, str], item: ColumnElement[str]) -> Select[Any]:
    vote = schema.vote
    return select(item).where(vote.c.project == who[0], vote.c.rater == who[1]).distinct()


def _ids(connection: Connection, query: Select[Any]) -> list[str]:
    return [*connection.execute(query).scalars()]


def _item(connection: Connection) -> ColumnElement[str]:
    """An item's id in the order of its bytes, which is that of Python's own strings."""
    is_sqlite = connection.dialect.name == "sqlite"
    return schema.vote.c.item.collate("BINARY" if is_sqlite else "C")


def _by_project(rows: Iterable[AnyRow]) -> Members:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.project, set()).add(row.rater)
    return found

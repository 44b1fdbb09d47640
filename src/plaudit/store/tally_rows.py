"""The rows that the tallies are made of, read and written some hundreds at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from plaudit.judgments import Item
from plaudit.store import schema
from plaudit.store.votes import Cell, PatternCell, RaterCell, Vote, read_vote

Place = tuple[str, str]
"""Project and item."""

Votes = Mapping[Place, Mapping[int, Vote]]
"""By item, and by seq."""

Suspended = Mapping[str, set[str]]
"""Raters, by project."""

TABLES: dict[type[Cell], Table] = {
    RaterCell: schema.rater_tally,
    PatternCell: schema.pattern_tally,
}

_ROWS_A_STATEMENT = 500
_MARK = "votes"


def set_differing(connection: Connection, shares: Mapping[Place, float]) -> None:
    """Of each item, how much its votes differ; those whose votes do not have no row."""
    table = schema.item_tally
    for project, ids in _by_project(shares):
        connection.execute(table.delete().where(table.c.project == project, table.c.item.in_(ids)))
        rows = [
            {"project": project, "item": item, "differing": shares[project, item]}
            for item in ids
            if shares[project, item]
        ]
        if rows:
            connection.execute(table.insert().values(rows))


def add_difference(connection: Connection, difference: Mapping[tuple[str, Cell], int]) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    for kind, table in TABLES.items():
        key = ["project", *(field.name for field in fields(kind))]
        count = next(column.name for column in table.columns if not column.primary_key)
        rows = [
            dict(zip([*key, count], (project, *astuple(cell), many), strict=True))
            for (project, cell), many in difference.items()
            if type(cell) is kind
        ]
        for chunk in chunks(rows):
            new = insert(table).values(chunk)
            total = table.c[count] + new.excluded[count]
            connection.execute(new.on_conflict_do_update(index_elements=key, set_={count: total}))


def folded_suspensions(connection: Connection) -> dict[str, set[str]]:
    """As the tallies have them."""
    found: dict[str, set[str]] = {}
    for row in connection.execute(select(schema.tally_suspended)):
        found.setdefault(row.project, set()).add(row.rater)
    return found


def suspensions(connection: Connection) -> dict[str, set[str]]:
    member = schema.member
    found: dict[str, set[str]] = {}
    query = select(member.c.project, member.c.rater).where(member.c.suspended_at.is_not(None))
    for row in connection.execute(query):
        found.setdefault(row.project, set()).add(row.rater)
    return found


def places_of(connection: Connection, project: str, raters: Iterable[str]) -> set[Place]:
    table = schema.vote
    query = select(table.c.item).where(table.c.project == project, table.c.rater.in_([*raters]))
    return {(project, item) for item in connection.execute(query.distinct()).scalars()}


def votes_at(connection: Connection, places: Collection[Place]) -> dict[Place, dict[int, Vote]]:
    table = schema.vote
    found: dict[Place, dict[int, Vote]] = {}
    for project, ids in _by_project(places):
        query = select(table.c.seq, table.c.item, table.c.facts).order_by(table.c.seq)
        of_items = (table.c.project == project) & table.c.item.in_(ids)
        for row in connection.execute(query.where(of_items)):
            found.setdefault((project, row.item), {})[row.seq] = read_vote(row.facts)
    return found


def items_at(connection: Connection, places: Collection[Place]) -> dict[Place, Item]:
    table = schema.item
    found = {}
    for project, ids in _by_project(places):
        of_items = (table.c.project == project) & table.c.id.in_(ids)
        for row in connection.execute(select(table.c.id, table.c.content).where(of_items)):
            found[project, row.id] = Item.model_validate_json(row.content)
    return found


def _by_project(places: Collection[Place]) -> Iterable[tuple[str, Sequence[str]]]:
    for project in sorted({project for project, _ in places}):
        for chunk in chunks([item for of, item in places if of == project]):
            yield project, chunk


def seqs_of(connection: Connection, ids: Sequence[str]) -> set[int]:
    table = schema.judgment
    return {
        seq
        for chunk in chunks(ids)
        for seq in connection.execute(select(table.c.seq).where(table.c.id.in_(chunk))).scalars()
    }


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[at : at + _ROWS_A_STATEMENT] for at in range(0, len(values), _ROWS_A_STATEMENT))


def folded_seq(connection: Connection) -> int:
    query = select(schema.tally_mark.c.seq).where(schema.tally_mark.c.name == _MARK)
    return connection.execute(query).scalar() or 0


def set_folded_seq(connection: Connection, seq: int) -> None:
    table = schema.tally_mark
    of_name = table.c.name == _MARK
    if not connection.execute(table.update().where(of_name).values(seq=seq)).rowcount:
        connection.execute(table.insert().values(name=_MARK, seq=seq))

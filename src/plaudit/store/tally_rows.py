"""The rows that the tallies are made of, read and written some hundreds at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select, text

from plaudit.judgments import Item
from plaudit.store import schema
from plaudit.store.items import item_of
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


def set_disagreement(connection: Connection, shares: Mapping[Place, float]) -> None:
    """Of each item, how much its votes differ."""
    rows = [
        {"of_project": project, "of_id": item, "share": share}
        for (project, item), share in shares.items()
    ]
    of_item = "item.project = {0}of_project AND item.id = {0}of_id"
    if rows and connection.dialect.name == "sqlite":
        update = f"UPDATE item SET disagreement = :share WHERE {of_item.format(':')}"
        connection.exec_driver_sql(update, rows)
    elif rows:
        shape = "of_project text, of_id text, share float"
        sent = f"json_to_recordset(CAST(:sent AS json)) AS sent({shape})"
        set_share = f"UPDATE item SET disagreement = sent.share FROM {sent}"
        update = f"{set_share} WHERE {of_item.format('sent.')}"
        connection.execute(text(update), {"sent": json.dumps(rows)})


def add_difference(connection: Connection, difference: Mapping[tuple[str, Cell], int]) -> None:
    """Add to the tallies' cells, by project."""
    for kind, table in TABLES.items():
        names = table.columns.keys()
        rows = [
            dict(zip(names, (project, *cell, many), strict=True))
            for (project, cell), many in difference.items()
            if type(cell) is kind
        ]
        *key, many = names
        total = f"{many} = {table}.{many} + excluded.{many}"
        then = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {total}"
        insert_rows(connection, table, rows, then)


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], then: str = ""
) -> None:
    """Insert many rows, to PostgreSQL all at once: its driver would send them one by one."""
    if not rows:
        return
    names = table.columns.keys()
    into = f"INSERT INTO {table} ({', '.join(names)})"
    if connection.dialect.name == "sqlite":
        places = ", ".join(f":{name}" for name in names)
        connection.exec_driver_sql(f"{into} VALUES ({places}) {then}", [*rows])
        return
    kinds = (column.type.compile(connection.dialect) for column in table.columns)
    shape = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    sent = f"SELECT * FROM json_to_recordset(CAST(:sent AS json)) AS sent({shape})"
    connection.execute(text(f"{into} {sent} {then}"), {"sent": json.dumps(rows)})


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
            found[project, row.id] = item_of(row.content)
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

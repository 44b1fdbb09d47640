"""The rows that the tallies are made of, read and written many at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table, bindparam, func, literal_column, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from plaudit.judgments import Item
from plaudit.store import schema
from plaudit.store.items import item_of
from plaudit.store.prepared import Asked, Prepared
from plaudit.store.tally_suspensions import Place
from plaudit.store.votes import Cell, PatternCell, RaterCell, Vote, read_vote

Votes = Mapping[Place, Mapping[int, Vote]]
"""By item, and by seq."""

TABLES: dict[type[Cell], Table] = {
    RaterCell: schema.rater_tally,
    PatternCell: schema.pattern_tally,
}

_MARK = "votes"


class _Among(FunctionElement[bool]):
    """Whether a text is among those of a JSON array: one statement, however many there are.

    Its type is left open: of a Boolean SQLAlchemy would ask SQLite whether it ``= 1``, for which no
    index is of use.
    """

    inherit_cache = True


@compiles(_Among)
def _equals_any(element: _Among, compiler: Any, **how: Any) -> str:
    text, array = (compiler.process(one, **how) for one in element.clauses)
    return f"{text} = ANY(ARRAY(SELECT json_array_elements_text(CAST({array} AS json))))"


@compiles(_Among, "sqlite")
def _in_each(element: _Among, compiler: Any, **how: Any) -> str:
    text, array = (compiler.process(one, **how) for one in element.clauses)
    return f"{text} IN (SELECT value FROM json_each({array}))"


def _among(column: sa.Column[str]) -> _Among:
    return _Among(column, bindparam("texts", type_=sa.String))


def _all_of(table: Table, then: str = "") -> Prepared:
    """Rows of a table, sent to PostgreSQL all at once: its driver would send them one by one."""
    kinds = ((column.name, column.type.compile(postgresql.dialect())) for column in table.columns)
    shape = ", ".join(f"{name} {kind}" for name, kind in kinds)
    sent = f"SELECT * FROM json_to_recordset(CAST(:sent AS json)) AS sent({shape})"
    return Prepared(text(f"INSERT INTO {table} ({', '.join(table.columns.keys())}) {sent} {then}"))


def _added(table: Table) -> str:
    """What becomes of a row whose cell is there."""
    *key, many = table.columns.keys()
    total = f"{many} = {table}.{many} + excluded.{many}"
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {total}"


_SHAPE = "of_project text, of_id text, share float"
_SET_SHARES = Prepared(
    text(
        "UPDATE item SET disagreement = sent.share "
        f"FROM json_to_recordset(CAST(:sent AS json)) AS sent({_SHAPE}) "
        "WHERE item.project = sent.of_project AND item.id = sent.of_id "
        "AND item.disagreement <> sent.share"
    )
)
_ALL_OF = {schema.vote: _all_of(schema.vote)}
_ALL_OF |= {table: _all_of(table, _added(table)) for table in TABLES.values()}


def set_disagreement(connection: Connection, shares: Mapping[Place, float]) -> None:
    """Of each item, how much its votes differ; of most that is what it was, and a row that is
    written costs an entry in each of its table's indexes."""
    rows = [
        {"of_project": project, "of_id": item, "share": share}
        for (project, item), share in shares.items()
    ]
    if rows and connection.dialect.name == "sqlite":
        changed = "project = :of_project AND id = :of_id AND disagreement <> :share"
        connection.exec_driver_sql(f"UPDATE item SET disagreement = :share WHERE {changed}", rows)
    elif rows:
        _SET_SHARES.ask(connection, sent=json.dumps(rows))


def add_difference(connection: Connection, difference: Mapping[tuple[str, Cell], int]) -> None:
    """Add to the tallies' cells, by project."""
    for kind, table in TABLES.items():
        names = table.columns.keys()
        rows = [
            dict(zip(names, (project, *cell, many), strict=True))
            for (project, cell), many in difference.items()
            if type(cell) is kind
        ]
        _put(connection, table, rows, _added(table))


def insert_votes(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    _put(connection, schema.vote, rows, "")


def _put(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], then: str
) -> None:
    if rows and connection.dialect.name == "sqlite":
        names = table.columns.keys()
        places = ", ".join(f":{name}" for name in names)
        into = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places}) {then}"
        connection.exec_driver_sql(into, [*rows])
    elif rows:
        _ALL_OF[table].ask(connection, sent=json.dumps(rows))


_VOTES = Prepared(
    select(schema.vote.c.seq, schema.vote.c.item, schema.vote.c.facts)
    .where(schema.vote.c.project == bindparam("of_project"), _among(schema.vote.c.item))
    .order_by(schema.vote.c.seq)
)
_ITEMS = Prepared(
    select(schema.item.c.id, schema.item.c.content).where(
        schema.item.c.project == bindparam("of_project"), _among(schema.item.c.id)
    )
)
_SEQS = Prepared(select(schema.judgment.c.seq).where(_among(schema.judgment.c.id)))


@dataclass(frozen=True, slots=True)
class AtPlaces:
    """What was asked of items, by project."""

    asked: Mapping[str, Asked]

    def votes(self) -> dict[Place, dict[int, Vote]]:
        """Those that stand, where they were asked for."""
        found: dict[Place, dict[int, Vote]] = {}
        for project, asked in self.asked.items():
            for row in asked.all():
                found.setdefault((project, row.item), {})[row.seq] = read_vote(row.facts)
        return found

    def items(self) -> dict[Place, Item]:
        """The items themselves, where they were asked for."""
        return {
            (project, row.id): item_of(row.content)
            for project, asked in self.asked.items()
            for row in asked.all()
        }


def votes_at(connection: Connection, places: Collection[Place]) -> AtPlaces:
    """The votes on these items."""
    return _ask_at(connection, _VOTES, places)


def items_at(connection: Connection, places: Collection[Place]) -> AtPlaces:
    """These items."""
    return _ask_at(connection, _ITEMS, places)


def _ask_at(connection: Connection, query: Prepared, places: Collection[Place]) -> AtPlaces:
    ids: dict[str, list[str]] = {}
    for project, item in places:
        ids.setdefault(project, []).append(item)
    return AtPlaces(
        {
            project: query.ask(connection, of_project=project, texts=json.dumps(of))
            for project, of in ids.items()
        }
    )


def seqs_of(connection: Connection, ids: Sequence[str]) -> Asked:
    """Of judgments."""
    return _SEQS.ask(connection, texts=json.dumps(ids))


_DELETE_VOTES = schema.vote.delete().where(schema.vote.c.seq == bindparam("of_seq"))


def delete_votes(connection: Connection, seqs: Iterable[int]) -> None:
    if rows := [{"of_seq": seq} for seq in sorted(seqs)]:
        connection.execute(_DELETE_VOTES, rows)


_TO_FOLD = Prepared(
    select(schema.judgment.c.seq, schema.judgment.c.body, schema.judgment.c.supersedes)
    .where(
        schema.judgment.c.seq
        > func.coalesce(
            select(schema.tally_mark.c.seq)
            .where(schema.tally_mark.c.name == literal_column(f"'{_MARK}'"))
            .scalar_subquery(),
            literal_column("0"),
        )
    )
    .order_by(schema.judgment.c.seq)
    .limit(bindparam("most", type_=sa.Integer))
)


def to_fold(connection: Connection, most: int) -> Asked:
    """The next of the log that the tallies do not have: seq, body, supersedes."""
    return _TO_FOLD.ask(connection, most=most)


def folded_seq(connection: Connection) -> int:
    query = select(schema.tally_mark.c.seq).where(schema.tally_mark.c.name == _MARK)
    return connection.execute(query).scalar() or 0


_SET_MARK = Prepared(
    text(
        f"INSERT INTO tally_mark (name, seq) VALUES ('{_MARK}', :seq) "
        "ON CONFLICT (name) DO UPDATE SET seq = excluded.seq"
    )
)


def set_folded_seq(connection: Connection, seq: int) -> None:
    _SET_MARK.ask(connection, seq=seq)

"""Statements that are run many times a second: written by SQLAlchemy once, run by the driver.

To carry out a small statement takes SQLAlchemy several times as long as it takes SQLite to do the
work. Here it is asked once, for each kind of database, for the text, the parameters' order and the
columns; the rest is the driver's own cursor, within the transaction of the connection. When it is
sent is ``sending.py``'s matter.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect

from plaudit.store.sending import as_sent, await_sent, send

AnyRow = Any
"""A named tuple: what was selected, by name."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement as one driver takes it."""

    text: str
    constants: dict[str, Any]
    in_order: Callable[[dict[str, Any]], Any]
    row: Callable[[Iterable[Any]], AnyRow]


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement that was handed over; whoever looks at what it found waits for it."""

    connection: Connection
    cursor: Any
    row: Callable[[Iterable[Any]], AnyRow]

    def first(self) -> AnyRow | None:
        """The first row, None where there is none."""
        await_sent(self.connection, self.cursor)
        found = self.cursor.fetchone()
        return None if found is None else self.row(found)

    def all(self) -> list[AnyRow]:
        """Every row."""
        await_sent(self.connection, self.cursor)
        return [self.row(found) for found in self.cursor.fetchall()]

    def scalar(self) -> Any:
        """The first column of the first row, None where there is none."""
        found = self.first()
        return None if found is None else found[0]

    def changed(self) -> int:
        """How many rows were changed."""
        await_sent(self.connection, self.cursor)
        return self.cursor.rowcount


class Prepared:
    """One statement, whose parameters are those of its ``bindparam`` by name.

    What a driver raises comes out as it is, and not as an error of SQLAlchemy.
    """

    def __init__(self, statement: sa.Select | sa.Update | sa.Insert | sa.Delete | sa.TextClause):
        self.statement = statement
        self._written: dict[str, _Written] = {}

    def ask(self, connection: Connection, **values: Any) -> Asked:
        """Hand it over: what comes after it finds what it did, though it may not have been sent.

        It is sent, after those before it and together with them, when what one of them found is
        looked at, and at the latest with the end of the transaction; what is wrong with it may
        only come out then.
        """
        written = self._for(connection)
        parameters = written.in_order({**written.constants, **values})
        return Asked(connection, send(connection, written.text, parameters), written.row)

    def first(self, connection: Connection, **values: Any) -> AnyRow | None:
        """The first row, None where there is none."""
        return self.ask(connection, **values).first()

    def all(self, connection: Connection, **values: Any) -> list[AnyRow]:
        """Every row."""
        return self.ask(connection, **values).all()

    def scalar(self, connection: Connection, **values: Any) -> Any:
        """The first column of the first row, None where there is none."""
        return self.ask(connection, **values).scalar()

    def run(self, connection: Connection, **values: Any) -> int:
        """How many rows were changed."""
        return self.ask(connection, **values).changed()

    def _for(self, connection: Connection) -> _Written:
        dialect = connection.dialect
        driver = f"{dialect.name}+{dialect.driver}"
        if driver not in self._written:
            self._written[driver] = _write(self.statement, as_sent(dialect))
        return self._written[driver]


def _write(statement: Any, dialect: Dialect) -> _Written:
    compiled = statement.compile(dialect=dialect)
    assert not compiled.post_compile_params, "its text must not depend on its parameters"
    return _Written(
        text=str(compiled),
        constants={n: one.value for one, n in compiled.bind_names.items() if not one.required},
        in_order=_order(compiled.positiontup) if compiled.positional else dict,
        row=tuple if isinstance(statement, sa.TextClause) else _row(statement, dialect),
    )


def _order(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Parameters as the driver counts them; one may be needed in several places."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


def _row(statement: Any, dialect: Dialect) -> Callable[[Iterable[Any]], AnyRow]:
    """What makes a named tuple of the driver's row, whose values are the driver's; but SQLite has
    no truth values of its own."""
    columns = list(statement.exported_columns)
    # A column without a name of its own is told by its place.
    make = namedtuple("Row", [column.key or "" for column in columns], rename=True)._make
    truths = [place for place, column in enumerate(columns) if isinstance(column.type, sa.Boolean)]
    if dialect.supports_native_boolean or not truths:
        return make

    def converted(found: Iterable[Any]) -> AnyRow:
        row = list(found)
        for place in truths:
            row[place] = None if row[place] is None else bool(row[place])
        return make(row)

    return converted

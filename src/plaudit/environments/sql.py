"""SQL on SQLite, for reading: a model's query can neither change, open, nor stall anything."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plaudit.environments.tools import Tool, ToolError, text_argument

_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_REFUSED_FUNCTIONS = {"load_extension", "fts3_tokenizer"}
_OPERATIONS_BETWEEN_CHECKS = 1000
_MAX_BYTES = 100_000  # of one text or blob
_MAX_COLUMNS = 64
_MAX_QUERY_CHARACTERS = 5_000


def sql_tool(database: Path, *, max_rows: int, timeout_seconds: float) -> Tool:
    """``sql``: answers one query on a database.

    Args:
        database: an SQLite file, opened for reading only; or an ``.sql`` script that makes one in
            memory.
        max_rows: rows of a result at most; a note says that there are more.
        timeout_seconds: of a query.

    Raises:
        ValueError: there is no such database, or it cannot be read.
    """
    connection = _opened(database)
    tables = _tables(database, connection)
    _lock(connection)

    def answer(query: str) -> str:
        with _time_limit(connection, timeout_seconds):
            return _result(connection, query, max_rows)

    return Tool(
        name="sql",
        description=f"Read a database with one SQLite query. Its tables: {tables}",
        parameters=text_argument("query", "A SELECT."),
        call=lambda arguments: answer(str(arguments["query"])),
    )


def _opened(database: Path) -> sqlite3.Connection:
    if not database.is_file():
        raise ValueError(f"{database}: no such database")
    try:
        if database.suffix == ".sql":
            connection = sqlite3.connect(":memory:", isolation_level=None)
            connection.executescript(database.read_text(encoding="utf-8"))
            return connection
        uri = f"{database.resolve().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{database}: not a database that can be read ({error})") from error


def _tables(database: Path, connection: sqlite3.Connection) -> str:
    try:
        found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"{database}: not a database that can be read ({error})") from error
    return "; ".join(" ".join(text.split()) for (text,) in found)


def _lock(connection: sqlite3.Connection) -> None:
    """From here on only reading, and no value that fills the memory."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, _MAX_COLUMNS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_authorise)


def _authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    refused = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _REFUSED_FUNCTIONS
    return sqlite3.SQLITE_OK if action in _ALLOWED and not refused else sqlite3.SQLITE_DENY


@contextmanager
def _time_limit(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPERATIONS_BETWEEN_CHECKS)
    try:
        yield
    except sqlite3.Error as error:
        late = time.monotonic() > deadline
        raise ToolError(f"the query took over {seconds:g} s" if late else str(error)) from error


def _result(connection: sqlite3.Connection, query: str, max_rows: int) -> str:
    """Column names and rows, a line each."""
    if len(query) > _MAX_QUERY_CHARACTERS:
        raise ToolError(f"the query has {len(query)} characters, over {_MAX_QUERY_CHARACTERS}")
    try:
        cursor = connection.execute(query)
    except (sqlite3.ProgrammingError, sqlite3.Warning, UnicodeEncodeError) as error:
        raise ToolError(str(error)) from error  # several statements, or none that can be
    rows = cursor.fetchmany(max_rows + 1)
    if not rows:
        return "no rows"
    lines = [[column[0] for column in cursor.description], *rows[:max_rows]]
    more = [f"... (more than {max_rows} rows)"] if len(rows) > max_rows else []
    return "\n".join([" | ".join(map(_cell, line)) for line in lines] + more)


def _cell(value: object) -> str:
    return "NULL" if value is None else " ".join(str(value).split())

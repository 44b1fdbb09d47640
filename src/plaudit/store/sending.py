"""When a statement is sent: at once, or with those after it where the driver can do that.

Each answer that is waited for costs the way to the database and back, and then the thread's turn
among the others. Where several can be sent at once (``pipeline.py``), what nobody looks at waits
until something is looked at. The order is always that in which statements were handed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, event

from plaudit.store.pipeline import Sent, carry_out

_WAITING = "plaudit_waiting"
_PREPARED = "plaudit_prepared"


def send(connection: Connection, text: str, parameters: Any) -> Any:
    """A cursor of the statement, which was sent or waits to be."""
    match connection.dialect.driver:
        case "psycopg":
            sent = Sent(text, parameters)
            connection.info.setdefault(_WAITING, []).append(sent)
            return sent
        case "pg8000":
            return _by_pg8000(connection, text, parameters)
    cursor = connection.connection.cursor()
    cursor.execute(text, parameters)
    return _Carried(cursor.fetchall(), cursor.rowcount)


def as_sent(dialect: Dialect) -> Dialect:
    """The dialect, with parameters as ``send`` wants them."""
    style = {"psycopg": "numeric_dollar", "pg8000": "named"}.get(dialect.driver)
    made: Any = type(dialect)
    return made(paramstyle=style) if style else dialect


class _Carried:
    """What a statement found when it was carried out, whatever is changed before it is looked at;
    read as a cursor is."""

    is_waiting = False

    def __init__(self, rows: Iterable[Any], rowcount: int) -> None:
        self._rows, self.rowcount = iter(rows), rowcount

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return [*self._rows]


def _by_pg8000(connection: Connection, text: str, parameters: dict[str, Any]) -> _Carried:
    """Prepared once a connection, where pg8000's cursors would have it parsed and planned each
    time."""
    driver: Any = connection.connection.driver_connection
    known = connection.info.setdefault(_PREPARED, {})
    if text not in known:
        known[text] = driver.prepare(text)
    return _Carried(known[text].run(**parameters), known[text]._context.row_count)


def await_sent(connection: Connection, cursor: Any) -> None:
    """Send the cursor's statement, and all that wait with it, if it is one of them."""
    if cursor.is_waiting:
        send_waiting(connection)


def send_waiting(connection: Connection) -> None:
    """Send what waits, and wait until all of it was carried out.

    Whatever the database says of one of them is raised, and nothing after that one is carried out.
    """
    if waiting := connection.info.pop(_WAITING, ()):
        carry_out(connection, waiting)


def forget_waiting(connection: Connection) -> None:
    """Never send what waits."""
    connection.info.pop(_WAITING, None)


def send_in_order(engine: Engine) -> None:
    """Send what waits before SQLAlchemy's own statements and commits; a rollback forgets it."""
    event.listen(engine, "before_cursor_execute", lambda connection, *_: send_waiting(connection))
    event.listen(engine, "commit", send_waiting)
    event.listen(engine, "rollback", forget_waiting)

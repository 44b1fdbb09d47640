"""Several statements carried out by PostgreSQL at the price of one: over psycopg's libpq.

All are sent before the first answer is read (libpq's pipeline mode), and the socket is waited for
once. psycopg's own cursors wait for it at each statement, and the thread each time then for its
turn among the others. Statements are prepared once a connection.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from sqlalchemy import Connection

_NAMES = "plaudit_prepared"
_DONE = (1, 2)  # with or without rows; libpq's ExecStatusType
_IDLE = 0  # no transaction; libpq's PGTransactionStatusType
_numbers = count()
# By the type's number in pg_type; whatever else is selected is text.
_READ: dict[int, Callable[[bytes], Any]] = {
    16: lambda value: value == b"t",
    20: int,
    21: int,
    23: int,
    700: float,
    701: float,
}


class Sent:
    """A statement and, once it was carried out, what it found; read as a driver's cursor is."""

    def __init__(self, text: str, parameters: Sequence[Any]) -> None:
        self.text = text
        self.parameters = [_written(value) for value in parameters]
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.rowcount, self.is_waiting = -1, True

    def found(self, result: Any) -> None:
        """Take the answer."""
        self.rowcount, self.is_waiting = result.command_tuples, False
        columns = [(c, _READ.get(result.ftype(c), bytes.decode)) for c in range(result.nfields)]
        rows = range(result.ntuples)
        self._rows = (
            tuple(
                None if (value := result.get_value(row, column)) is None else read(value)
                for column, read in columns
            )
            for row in rows
        )

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [*self._rows]


def carry_out(connection: Connection, statements: Sequence[Sent]) -> None:
    """Have them carried out in this order, within the connection's transaction.

    What PostgreSQL says of the first one that fails is raised; none is carried out after it.
    """
    driver: Any = connection.connection.driver_connection
    libpq, names = driver.pgconn, connection.info.setdefault(_NAMES, {})
    libpq.enter_pipeline_mode()
    asked = [*_send(libpq, driver, statements, names)]
    libpq.pipeline_sync()
    while libpq.flush():
        _wait(libpq, select.POLLIN | select.POLLOUT)
        libpq.consume_input()
    failed = None
    for take in asked:
        result = _answer(libpq)
        if result.status in _DONE:
            take(result)
        else:
            failed = failed or result
        libpq.get_result()  # nothing: the end of what this statement says
    _answer(libpq)  # that all is said
    libpq.exit_pipeline_mode()
    if failed is not None:
        raise _driver().errors.error_from_result(failed, driver.info.encoding)


def _send(
    libpq: Any, driver: Any, statements: Sequence[Sent], names: dict[str, bytes]
) -> Iterator[Callable[[Any], None]]:
    """Send what is needed; for each thing that was sent, what takes its answer."""
    new: dict[str, bytes] = {}
    if not driver.autocommit and libpq.transaction_status == _IDLE:
        libpq.send_query_params(b"BEGIN", None)
        yield lambda _: None
    for one in statements:
        name = names.get(one.text) or new.get(one.text)
        if name is None:
            name = new[one.text] = f"plaudit_{next(_numbers)}".encode()
            libpq.send_prepare(name, one.text.encode())
            yield lambda _, text=one.text, name=name: names.__setitem__(text, name)
        libpq.send_query_prepared(name, one.parameters)
        yield one.found


def _answer(libpq: Any) -> Any:
    """The next thing PostgreSQL says."""
    while libpq.is_busy():
        _wait(libpq, select.POLLIN)
        libpq.consume_input()
    found = libpq.get_result()
    if found is None:
        raise _driver().OperationalError("the connection to PostgreSQL was lost")
    return found


def _wait(libpq: Any, events: int) -> None:
    poll = select.poll()
    poll.register(libpq.socket, events)
    poll.poll()


def _written(value: Any) -> bytes | None:
    """As PostgreSQL reads it."""
    match value:
        case None:
            return None
        case str():
            if "\0" in value:  # where libpq would end the text
                raise _driver().DataError("a NUL in a text; PostgreSQL keeps none")
            return value.encode()
        case bool():
            return b"t" if value else b"f"
        case int() | float():
            return repr(value).encode()
    raise TypeError(f"{type(value).__name__}: no statement is prepared with one")


def _driver() -> Any:
    """Whose connection it is; it need not be installed."""
    import psycopg  # pyright: ignore[reportMissingImports]

    return psycopg

"""Opening a store: a SQLite file by default, PostgreSQL by URL.

SQLite runs in WAL mode with ``synchronous=FULL``, so that what is committed has reached the disk.
A transaction that writes takes the write lock as it begins: a reader that turns writer could be
told that the database is locked, however long it is willing to wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError

from plaudit.store.migrations import migrate
from plaudit.store.prepared import Prepared
from plaudit.store.sending import send_in_order

_BUSY_TIMEOUT_SECONDS = 60
_MORE_CONNECTIONS = 60  # than the five that stay open: a web server's threads each hold one
_IDLE_SECONDS = 1.0
_USED_AT = "plaudit_used_at"
_POSTGRESQL_DRIVERS = {  # the fastest first, and how each is installed
    "psycopg": "pip install 'psycopg[binary]'",
    "pg8000": "pip install 'plaudit[postgres]'",
}
# One of PostgreSQL's advisory locks: whoever appends to the log holds it.
_LOCK = Prepared(text("SELECT pg_advisory_xact_lock(7110001)"))


@dataclass(frozen=True)
class Store:
    """A database that holds the log, and the turn in which its threads write.

    SQLite has one writer at a time; threads that wait for ``turn`` wait in no polling loop.
    """

    engine: Engine
    turn: threading.RLock = field(default_factory=threading.RLock, compare=False, repr=False)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose reads are of one moment (SQLite) or of each statement's own."""
        with self._reader.connect() as connection:
            yield connection

    @cached_property
    def _reader(self) -> Engine:
        """PostgreSQL need not be told where a transaction that only reads begins and ends."""
        if self.is_sqlite:
            return self.engine
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back if anything is raised."""
        if not self.is_sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        writer = self.engine.execution_options(writes=True)
        with self.turn, writer.begin() as connection:
            yield connection

    @contextmanager
    def appending(self) -> Iterator[Connection]:
        """A transaction that may append to the log: from its first statement, no other does so
        before it ends."""
        with self.writing() as connection:
            if not self.is_sqlite:
                _LOCK.ask(connection)
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_store(url: str | Path) -> Store:
    """Open a store, make it where it is not there yet, and bring its tables up to date.

    Args:
        url: a file (``judgments.db``), ``sqlite:///FILE`` or ``postgresql://USER@HOST:PORT/NAME``;
            ``postgresql+psycopg://`` or ``postgresql+pg8000://`` to say which driver.

    Raises:
        ValueError: it is no store, is of a newer Plaudit, or cannot be reached.
    """
    address = _address(url)
    sqlite = address.get_backend_name() == "sqlite"
    store = Store(_sqlite_engine(address) if sqlite else _postgresql_engine(address))
    try:
        with store.appending() as connection:
            migrate(connection, str(url))
    except DBAPIError as error:
        store.close()
        raise ValueError(f"{url}: {_said(error)}; expected a store that can be opened") from error
    except ValueError:
        store.close()
        raise
    return store


def _said(error: DBAPIError) -> str:
    """What the database says; PostgreSQL's driver gives a table of fields, M the message."""
    said = error.orig.args[0] if error.orig and error.orig.args else error
    return str(said.get("M", said) if isinstance(said, dict) else said)


def _address(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        address = URL.create("sqlite", database=str(Path(url).absolute()))
    else:
        try:
            address = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise ValueError(f"{url}: no address of a database ({error})") from error
    backend = address.get_backend_name()
    if backend == "sqlite":
        return _file_address(address, url)
    if backend in ("postgresql", "postgres"):
        return address.set(drivername=f"postgresql+{_driver(address.drivername)}")
    raise ValueError(f"{url}: {backend} is no database known here; expected sqlite or postgresql")


def _file_address(address: URL, url: str | Path) -> URL:
    if address.database in (None, "", ":memory:"):
        raise ValueError(f"{url}: judgments must outlive the process; expected a file")
    if not Path(address.database).absolute().parent.is_dir():
        raise ValueError(f"{url}: {Path(address.database).parent} is no directory; make it first")
    return address


def _sqlite_engine(address: URL) -> Engine:
    engine = create_engine(
        address, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS}, max_overflow=_MORE_CONNECTIONS
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "commit", _still_in_transaction)
    return engine


def _driver(named: str) -> str:
    """The driver that the address names, or the fastest that is installed."""
    wanted = named.partition("+")[2]
    if wanted not in ("", *_POSTGRESQL_DRIVERS):
        raise ValueError(
            f"{named}: no driver known here; expected {' or '.join(_POSTGRESQL_DRIVERS)}"
        )
    tried = [wanted] if wanted else list(_POSTGRESQL_DRIVERS)
    for driver in tried:
        if find_spec(driver) is not None:
            return driver
    raise ValueError(f"PostgreSQL needs its driver; expected: {_POSTGRESQL_DRIVERS[tried[-1]]}")


def _postgresql_engine(address: URL) -> Engine:
    # psycopg would prepare statements of its own, and with those forget ours at a rollback.
    is_psycopg = address.get_driver_name() == "psycopg"
    options = {"prepare_threshold": None, "client_encoding": "utf8"} if is_psycopg else {}
    engine = create_engine(address, connect_args=options, max_overflow=_MORE_CONNECTIONS)
    _ping_after_idleness(engine)
    send_in_order(engine)
    return engine


def _ping_after_idleness(engine: Engine) -> None:
    """Replace a connection that was lost while nobody used it, at the price of a ping; who uses
    one many times a second would wait for the ping longer than for what he asks."""

    def check(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get(_USED_AT, 0.0) > _IDLE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            # pg8000 lets through what its socket says.
            except (engine.dialect.loaded_dbapi.Error, OSError) as error:
                raise DisconnectionError from error

    event.listen(engine, "checkout", check)
    event.listen(
        engine, "checkin", lambda _, record: record.info.update({_USED_AT: time.monotonic()})
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun here, not by the driver's guess
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON",
        "cache_size=-65536", "mmap_size=1073741824", "temp_store=MEMORY",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _still_in_transaction(connection: Connection) -> None:
    """SQLite ends a transaction by itself on some errors (a full disk), and the driver would then
    commit nothing without a word."""
    if not connection.connection.in_transaction:  # pyright: ignore[reportAttributeAccessIssue]
        raise RuntimeError("the database ended the transaction by itself; nothing was recorded")

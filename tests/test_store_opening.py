"""Opening a store: what it is set to, what it refuses, and older tables that are brought up."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from plaudit.store import (
    Store,
    Writer,
    append,
    catch_up,
    open_store,
    opening,
    rater_tallies,
    read,
    schema,
    verify,
)
from plaudit.store.migrations import MIGRATIONS
from tests.voting import a_judgment

pytest_plugins = ("tests.postgres",)


def test_sqlite_waits_for_the_disk_and_keeps_its_references(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    with store.reading() as connection:
        for pragma, value in expected.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_who_writes_holds_the_lock_from_the_start(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    other = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    )
    command = [sys.executable, "-c", other, str(tmp_path / "store.db")]
    with store.writing():
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    with store.reading() as connection:
        connection.execute(text("SELECT 1"))
        allowed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "database is locked" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr


def test_opening_again_finds_what_was_there(store_url: str) -> None:
    first = open_store(store_url)
    append(first, [a_judgment("a")])
    first.close()
    again = open_store(store_url)
    assert [entry.id for entry in read(again)] == ["a"]
    again.close()


@pytest.mark.parametrize("driver", ["psycopg", "pg8000"])
def test_the_address_says_which_driver(new_postgres: Callable[[], str], driver: str) -> None:
    pytest.importorskip(driver)
    store = open_store(new_postgres().replace("postgresql:", f"postgresql+{driver}:"))
    assert store.engine.dialect.driver == driver
    with Writer(store) as writer:
        receipts = [writer.submit(a_judgment(id)).result(5) for id in ("a", "a", "b")]
        assert [(receipt.seq, receipt.is_new) for receipt in receipts] == [
            (1, True), (1, False), (2, True),
        ]  # fmt: skip
        with pytest.raises(ValueError, match="another body"):
            writer.submit(a_judgment("a", rationale="other")).result(5)
    catch_up(store)
    assert [tally.counts["judgments"] for tally in rater_tallies(store, "p")] == [2]
    assert verify(store).faults == ()
    store.close()


def test_the_fastest_driver_is_taken_where_none_is_named(monkeypatch) -> None:
    there = {"psycopg", "pg8000"}
    monkeypatch.setattr(opening, "find_spec", lambda name: name in there or None)
    address = "postgresql://root@127.0.0.1/db"
    assert opening._address(address).drivername == "postgresql+psycopg"
    there.remove("psycopg")
    assert opening._address(address).drivername == "postgresql+pg8000"
    with pytest.raises(ValueError, match=r"psycopg\[binary\]"):
        opening._address(address.replace("postgresql:", "postgresql+psycopg:"))
    there.clear()
    with pytest.raises(ValueError, match=r"plaudit\[postgres\]"):
        opening._address(address)


def test_a_file_is_named_in_several_ways(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("store.db", Path("store.db"), f"sqlite:///{tmp_path}/store.db"):
        open_store(name).close()
    assert [path.name for path in tmp_path.glob("*.db")] == ["store.db"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root@127.0.0.1/db", "mysql is no database known here"),
        ("postgresql+asyncpg://root@127.0.0.1/db", "expected psycopg or pg8000"),
        ("sqlite://", "must outlive the process"),
        ("postgresql://x:y:z@host:port/db", "no address of a database"),
        ("postgresql://nobody@127.0.0.1:1/none", "127.0.0.1"),
        ("FOLDER/none/store.db", "none is no directory"),
        ("FOLDER/text.db", "is not a database"),
        ("FOLDER", "unable to open"),
    ],
)
def test_what_is_no_store_is_refused(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "text.db").write_text("These are no tables. " * 100)
    with pytest.raises(ValueError, match=message):
        open_store(url.replace("FOLDER", str(tmp_path)))


def test_a_store_of_a_newer_version_is_refused_and_left_alone(store_url: str) -> None:
    store = open_store(store_url)
    _set_version(store, schema.VERSION + 1)
    with pytest.raises(ValueError, match="expected a Plaudit at least as new"):
        open_store(store_url)
    with store.reading() as connection:
        version = connection.execute(text("SELECT version FROM schema_version")).scalar()
    assert version == schema.VERSION + 1
    store.close()


def test_someone_elses_tables_are_left_alone(store_url: str) -> None:
    store = open_store(store_url)
    with store.writing() as connection:
        connection.execute(text("DROP TABLE schema_version"))
    with pytest.raises(ValueError, match="but is no store"):
        open_store(store_url)
    store.close()


def test_an_older_stores_leases_are_indexed_anew(store_url: str) -> None:
    """SQLite took the old index, by state, for what has to be found by its item."""
    store = open_store(store_url)
    by_state = "CREATE INDEX assignment_lease ON assignment (state, leased_until)"
    with store.writing() as connection:
        connection.execute(text("DROP INDEX assignment_lease"))
        connection.execute(text(by_state))
    _set_version(store, 2)
    store.close()
    again = open_store(store_url)
    found = {one["name"]: one for one in inspect(again.engine).get_indexes("assignment")}
    assert found["assignment_lease"]["column_names"] == ["item", "leased_until"]
    again.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # pg8000 closes no socket that was cut off
def test_a_connection_lost_while_nobody_used_it_is_replaced(
    new_postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_IDLE_SECONDS", 0.0)
    store = open_store(new_postgres())
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with store.reading() as first, store.reading() as second:
        first.execute(text("SELECT 1"))
        second.execute(text("SELECT 1"))
    with store.reading() as connection:
        of_here = " AND datname = current_database()"
        connection.execute(text(others + of_here))
    for _ in range(2):
        with store.reading() as one, store.writing() as other:
            assert one.execute(text("SELECT 1")).scalar() == 1
            assert other.execute(text("SELECT 2")).scalar() == 2
    store.close()
    gc.collect()  # what warns does so here


def test_there_is_a_migration_to_every_version() -> None:
    assert sorted(MIGRATIONS) == list(range(2, schema.VERSION + 1))


def test_several_open_a_new_store_at_once(store_url: str) -> None:
    code = "import sys; from plaudit.store import open_store; open_store(sys.argv[1])"
    command = [sys.executable, "-W", "error", "-c", code, store_url]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    store = open_store(store_url)
    assert set(inspect(store.engine).get_table_names()) == set(schema.METADATA.tables)
    with store.reading() as connection:
        versions = connection.execute(text("SELECT version FROM schema_version")).scalars().all()
    assert versions == [schema.VERSION]
    store.close()


def _set_version(store: Store, version: int) -> None:
    with store.writing() as connection:
        connection.execute(schema.schema_version.update().values(version=version))

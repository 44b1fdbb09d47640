"""Statements that wait for one another are carried out in order, by one driver as by the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, select

from plaudit.store import Appending, Store, Writer, open_store, read, schema, verify
from plaudit.store import writer as module
from plaudit.store.prepared import Prepared
from plaudit.store.sending import send_waiting
from tests.voting import a_judgment

pytest_plugins = ("tests.postgres",)

TABLE = schema.rater
INSERT = Prepared(TABLE.insert().values({one.name: bindparam(one.name) for one in TABLE.c}))
NAMES = Prepared(select(TABLE.c.id, TABLE.c.name, TABLE.c.created_at).order_by(TABLE.c.id))
COUNT = Prepared(select(sa.func.count()).select_from(TABLE))
RENAME = Prepared(TABLE.update().values(name=bindparam("to")))


@pytest.fixture(params=["psycopg", "pg8000"])
def on_postgres(request: pytest.FixtureRequest, new_postgres: Callable[[], str]) -> Iterator[Store]:
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    opened = open_store(new_postgres().replace("postgresql:", f"postgresql+{request.param}:"))
    yield opened
    opened.close()


def _add(connection: sa.Connection, id: str, name: str | None = None, at: float = 0.0) -> None:
    values = {"kind": "human", "version": "", "erased_at": None}
    INSERT.ask(connection, id=id, name=name, created_at=at, **values)


def test_each_finds_what_those_before_it_did(on_postgres: Store) -> None:
    with on_postgres.writing() as connection:
        before = COUNT.ask(connection)
        _add(connection, "a")
        between = COUNT.ask(connection)
        _add(connection, "b")
        renamed = RENAME.ask(connection, to="ü % :x $1")
        assert [one.scalar() for one in (COUNT.ask(connection), between, before)] == [2, 1, 0]
        assert renamed.changed() == 2
        found = NAMES.ask(connection)
        assert found.first() == ("a", "ü % :x $1", 0.0) and len(found.all()) == 1
        assert found.first() is None


def test_values_come_back_as_they_were(on_postgres: Store) -> None:
    rows = [
        ("0", None, 1e-300),
        ("1", "", -0.1),
        ("2", "\\x00 'q'\n\t\x1e", 1 / 3),
        ("3", "💬", 1e300),
    ]
    with on_postgres.writing() as connection:
        for row in rows:
            _add(connection, *row)
    with on_postgres.reading() as connection:
        assert NAMES.all(connection) == rows
        told = Prepared(select(TABLE.c.name.is_(None), sa.literal(2**40), sa.null()))
        assert told.first(connection) == (True, 2**40, None)


def test_a_nul_ends_no_text(on_postgres: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)nul|0x00"), on_postgres.writing() as connection:
        _add(connection, "a\0b")
        send_waiting(connection)
    with on_postgres.reading() as connection:
        assert COUNT.scalar(connection) == 0


def test_what_waits_is_sent_before_a_statement_of_sqlalchemy_and_a_commit(
    on_postgres: Store,
) -> None:
    with on_postgres.writing() as connection:
        _add(connection, "a")
        assert connection.execute(select(TABLE.c.id)).scalars().all() == ["a"]
        _add(connection, "b")
    with pytest.raises(KeyError), on_postgres.writing() as connection:
        _add(connection, "c")
        raise KeyError
    with on_postgres.reading() as connection:
        assert [row.id for row in NAMES.all(connection)] == ["a", "b"]


def test_after_one_that_fails_none_is_carried_out_and_the_connection_is_good(
    on_postgres: Store,
) -> None:
    for _ in range(3):
        with pytest.raises(Exception, match="duplicate key"), on_postgres.writing() as connection:
            for id in ("a", "b", "a", "c"):
                _add(connection, id)
            COUNT.scalar(connection)
    with on_postgres.writing() as connection:
        assert COUNT.scalar(connection) == 0
        _add(connection, "a")
    with on_postgres.reading() as connection:
        assert COUNT.scalar(connection) == 1


def test_statements_stay_prepared_after_a_rollback(on_postgres: Store) -> None:
    for round in range(8):
        with pytest.raises(KeyError), on_postgres.writing() as connection:
            _add(connection, f"{round}")
            for _ in range(8):
                connection.execute(select(TABLE.c.id, sa.literal(1)))
            assert COUNT.scalar(connection) == 1
            raise KeyError


def test_a_connection_that_is_lost_is_told_and_replaced(on_postgres: Store) -> None:
    kill = Prepared(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with pytest.raises(Exception), on_postgres.writing() as connection:  # noqa: B017
        _add(connection, "a")
        kill.ask(connection)
        COUNT.scalar(connection)
    with on_postgres.writing() as connection:
        assert COUNT.scalar(connection) == 0


def test_a_job_whose_fault_comes_out_late_fails_alone(on_postgres: Store) -> None:
    runs: dict[str, int] = {}

    def adding(id: str, judgment: str) -> Callable[[Appending], str]:
        def work(log: Appending) -> str:
            runs[judgment] = runs.get(judgment, 0) + 1
            log.append(a_judgment(judgment))
            _add(log.connection, id)
            return id

        return work

    sent = (("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"))
    writer = Writer(on_postgres)
    with on_postgres.appending() as connection:  # so that they wait together
        send_waiting(connection)
        futures = [writer.run(adding(id, judgment)) for id, judgment in sent]
    writer.close()
    assert [future.exception(5) is None for future in futures] == [True, True, False, True]
    assert [entry.id for entry in read(on_postgres)] == ["1", "2", "4"]
    assert verify(on_postgres).faults == () and max(runs.values()) == 2


def test_jobs_that_do_not_fail_are_done_without_savepoints(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(module, "_SAVEPOINT", None)
    with Writer(store) as writer:
        futures = [writer.submit(a_judgment(f"j{n}")) for n in range(20)]
    assert [future.result(5).seq for future in futures] == [*range(1, 21)]

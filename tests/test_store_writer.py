"""The writer: many send, one thread commits, each is told what became of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from plaudit.store import Store, Writer, append, open_store, put_project, read, verify
from plaudit.store import writer as module
from tests.voting import a_judgment

pytest_plugins = ("tests.postgres",)


def test_many_threads_are_acknowledged_in_few_transactions(store: Store) -> None:
    commits: list[int] = []
    event.listen(store.engine, "commit", lambda connection: commits.append(1))
    receipts = {}

    def send(rater: str) -> None:
        for n in range(20):
            id = f"{rater}-{n}"
            receipts[id] = writer.submit(a_judgment(id, item=f"i{n}", rater=rater)).result(20)

    with Writer(store) as writer:
        threads = [threading.Thread(target=send, args=(f"r{n}",)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    logged = {entry.id: entry for entry in read(store)}
    assert {id: (r.seq, r.sha256) for id, r in receipts.items()} == {
        id: (entry.seq, entry.sha256) for id, entry in logged.items()
    }
    assert len(commits) < 120
    assert verify(store).faults == ()


def test_a_job_that_fails_fails_alone_and_leaves_nothing(store: Store) -> None:
    put_project(store, "p", "{}")
    append(store, [a_judgment("a")])
    with _held(store) as writer:
        rename = text("UPDATE project SET config = config || :more")
        good = writer.submit(a_judgment("b"), lambda c: c.execute(rename, {"more": "b"}))
        conflict = writer.submit(a_judgment("a", rationale="other"))
        raising = writer.submit(a_judgment("c"), _then_raise(rename))
        wrong = writer.submit(a_judgment("d"), lambda c: c.execute(text("SELECT nothing")))
        last = writer.submit(a_judgment("e"), lambda c: c.execute(rename, {"more": "e"}))
        again = writer.submit(a_judgment("b"))
    assert (good.result().seq, last.result().seq) == (2, 3)
    assert again.result().is_new is False
    with pytest.raises(ValueError, match="another body"):
        conflict.result()
    with pytest.raises(KeyError):
        raising.result()
    with pytest.raises(Exception, match="nothing"):
        wrong.result()
    assert [entry.id for entry in read(store)] == ["a", "b", "e"]
    with store.reading() as connection:
        assert connection.execute(text("SELECT config FROM project")).scalar() == "{}be"
    assert verify(store).faults == ()


def test_nobody_is_acknowledged_where_the_commit_fails(store: Store) -> None:
    def fail(connection: Connection) -> None:
        if threading.current_thread().name == "plaudit-writer":
            raise OSError("no space left on device")

    with _held(store) as writer:
        event.listen(store.engine, "commit", fail)
        futures = [writer.submit(a_judgment(f"j{n}")) for n in range(3)]
    assert [str(f.exception(5)) for f in futures] == ["no space left on device"] * 3
    event.remove(store.engine, "commit", fail)
    assert list(read(store)) == []


def test_a_transaction_that_the_database_ended_is_not_acknowledged(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    with _held(store) as writer:
        first = writer.submit(a_judgment("a"), lambda c: c.exec_driver_sql("ROLLBACK"))
        before = writer.submit(a_judgment("b"))
    for future in (first, before):
        assert future.exception(5) is not None
    assert [entry.id for entry in read(store)] in ([], ["b"])


def test_a_lost_connection_fails_the_batch_and_the_next_one_goes_on(
    new_postgres: Callable[[], str],
) -> None:
    store = open_store(new_postgres())
    kill = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with _held(store) as writer:
        batch = [
            writer.submit(a_judgment("a")),
            writer.submit(a_judgment("b"), lambda c: c.execute(kill)),
            writer.submit(a_judgment("c")),
        ]
    assert all(future.exception(5) is not None for future in batch)
    with Writer(store) as writer:
        assert writer.submit(a_judgment("a")).result(5).is_new
    assert [entry.id for entry in read(store)] == ["a"]
    store.close()


def test_a_full_queue_refuses_and_a_closed_writer_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    store = open_store(tmp_path / "store.db")
    futures = []
    with _held(store) as writer, pytest.raises(TimeoutError, match="3 judgments wait"):
        for n in range(7):  # 3 may be at work while 3 wait
            futures.append(writer.submit(a_judgment(f"j{n}")))
    assert [future.result(5).seq for future in futures] == list(range(1, len(futures) + 1))
    assert 3 <= len(futures) <= 6
    with pytest.raises(RuntimeError, match="closed"):
        writer.submit(a_judgment("late"))


def test_what_was_cancelled_before_its_turn_is_not_recorded(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    with _held(store) as writer:
        first, second, third = (writer.submit(a_judgment(id)) for id in "abc")
        assert first.running() or first.cancel()
        assert third.cancel()
    assert second.done() and [e.id for e in read(store) if e.id == "c"] == []


def test_tallies_that_cannot_be_made_cost_no_judgment(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no tallies")

    monkeypatch.setattr(module, "_SECONDS_BETWEEN_TALLIES", 0.0)
    monkeypatch.setattr(module, "catching_up", fail)
    with _held(store) as writer:
        futures = [writer.submit(a_judgment(f"j{n}")) for n in range(3)]
    assert [future.result(5).seq for future in futures] == [1, 2, 3]
    assert "the tallies could not be brought up to date" in caplog.text


def test_tallies_follow_what_comes_without_being_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_TALLIES", 0.0)
    monkeypatch.setattr(module, "_tally", lambda *_: None)  # that of a writer with nothing to do
    with Writer(store) as writer:
        for n in range(3):
            writer.submit(a_judgment(f"j{n}", item=f"i{n}")).result(5)
    with store.reading() as connection:
        assert connection.execute(text("SELECT seq FROM vote")).scalars().all() == [1, 2, 3]


class _held:
    """A writer that cannot begin before the block is left, so that all is one batch."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Writer:
        self._writing = self._store.appending()
        # PostgreSQL's lock is asked for with the first statement.
        self._writing.__enter__().execute(text("SELECT 1"))
        self._writer = Writer(self._store)
        return self._writer

    def __exit__(self, *error: object) -> None:
        self._writing.__exit__(None, None, None)
        self._writer.close()


def _then_raise(statement):
    def also(connection: Connection) -> None:
        connection.execute(statement, {"more": "never"})
        raise KeyError("no")

    return also

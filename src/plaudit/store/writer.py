"""The writer: one thread that records what many send, everything that waits in one transaction.

The cost of a commit is its wait for the disk, and that is paid once for all that queued up
meanwhile. A job is acknowledged after its commit, never before. Jobs are done in the hope that
none fails; if one does, all of them are rolled back and done again, each behind a savepoint, so
that it fails alone. Where the commit itself fails, every job of the batch is told so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import text

from plaudit.judgments import Judgment
from plaudit.store.log import Also, Appending, Receipt
from plaudit.store.opening import Store
from plaudit.store.prepared import Prepared
from plaudit.store.sending import forget_waiting, send_waiting
from plaudit.store.tallies import catch_up, catching_up
from plaudit.store.turns import Turns, together

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
_MOST_AT_ONCE = 500
_PATIENCE_SECONDS = 10.0
_SECONDS_BETWEEN_TALLIES = 0.25
_MOST_TALLIED_AT_ONCE = 200
_MOST_ITEMS_AT_ONCE = 50
_MOST_SECONDS_OF_TALLIES = 0.1
_GATHERING_SECONDS = 0.005

_SAVEPOINT, _UNDO, _RELEASE = (
    Prepared(text(each))
    for each in ("SAVEPOINT job", "ROLLBACK TO SAVEPOINT job", "RELEASE SAVEPOINT job")
)


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Appending], Any]
    future: Future[Any]


class Writer:
    """Records judgments from any thread; close it, or use it in a ``with``."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="plaudit-writer", daemon=True)
        self._thread.start()

    def submit(self, judgment: Judgment, also: Also | None = None) -> Future[Receipt]:
        """Queue a judgment; the future is done once it has been committed.

        ``also(connection)`` runs in the writer's thread and in the same transaction, after the
        judgment was recorded; what it raises undoes both, and comes out of the future. Like all
        work it may be done a second time, after the first was undone.

        Raises:
            TimeoutError: the queue stayed full; the database does not keep up.
            RuntimeError: the writer was closed.
        """

        def work(log: Appending) -> Receipt:
            receipt = log.append(judgment)
            if also is not None:
                also(log.connection)
            return receipt

        return self.run(work)

    def run(self, work: Callable[[Appending], _T | Turns[_T]]) -> Future[_T]:
        """Queue work on the log and what stands around it; the future has what it returns, once
        that has been committed.

        What it raises undoes all of it, and comes out of the future. Work is begun in the order in
        which it was queued; it may be done a second time, after the first was undone. Work that
        is a generator takes turns with others (``turns.py``), after all that is none: what it read
        before its last turn may have been changed by them (``Appending.touched``).

        Raises:
            TimeoutError, RuntimeError: as ``submit``.
        """
        job = _Job(work, Future())
        with self._changed:
            there_is_room = self._changed.wait_for(
                lambda: self._is_closed or len(self._waiting) < _MOST_WAITING, _PATIENCE_SECONDS
            )
            if self._is_closed:
                raise RuntimeError("the writer was closed")
            if not there_is_room:
                raise TimeoutError(f"{_MOST_WAITING} judgments wait to be written; try again")
            self._waiting.append(job)
            self._changed.notify_all()
        return job.future

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Record what still waits, then stop."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        tallied_at = time.monotonic()
        while True:
            jobs = self._take()
            if not jobs and self._is_closed:
                return
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if time.monotonic() - tallied_at > _SECONDS_BETWEEN_TALLIES:
                (_settle_and_tally if wanted else _tally)(self.store, wanted)
                tallied_at = time.monotonic()
            else:
                _settle(self.store, wanted)

    def _take(self) -> list[_Job]:
        """What waits, some hundreds at most; nothing where nothing came for a while."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._is_closed, _SECONDS_BETWEEN_TALLIES
            )
        # What comes within a moment shares the commit, and the work around it.
        time.sleep(0 if self._is_closed else _GATHERING_SECONDS)
        with self._changed:
            many = min(len(self._waiting), _MOST_AT_ONCE)
            jobs = [self._waiting.popleft() for _ in range(many)]
            self._changed.notify_all()
        return jobs


def _settle_and_tally(store: Store, jobs: list[_Job]) -> None:
    """With what was recorded before, so that the database is waited for once."""
    most = (_MOST_TALLIED_AT_ONCE, _MOST_ITEMS_AT_ONCE)
    tallied = _Job(lambda log: catching_up(log.connection, *most), Future())
    _settle(store, [*jobs, tallied])
    with _told():
        tallied.future.result()


def _tally(store: Store, _: list[_Job]) -> None:
    with _told():
        catch_up(store, _MOST_SECONDS_OF_TALLIES)


@contextmanager
def _told() -> Iterator[None]:
    """Tallies are brought up to date so that whoever opens a dashboard need not wait; if that
    fails, what he sees says why."""
    try:
        yield
    except Exception:
        log.exception("the tallies could not be brought up to date; no judgment is lost")


def _settle(store: Store, jobs: list[_Job]) -> None:
    """Commit the jobs together, then tell each what became of it."""
    try:
        outcomes = _commit(store, jobs)
    except Exception as error:
        outcomes = [_Failed(error)] * len(jobs)
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, _Failed):
            job.future.set_exception(outcome.error)
        else:
            job.future.set_result(outcome)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


def _commit(store: Store, jobs: list[_Job]) -> list[Any]:
    try:
        return _hopefully(store, jobs)
    except _OneFailed:
        with store.appending() as connection:
            log = Appending(connection)
            return [_attempt(log, job) for job in jobs]


class _OneFailed(Exception):
    """One of the jobs, and nothing was recorded."""


def _hopefully(store: Store, jobs: list[_Job]) -> list[Any]:
    with store.appending() as connection:
        try:
            log = Appending(connection, is_hopeful=True)
            outcomes = together([job.work(log) for job in jobs])
            send_waiting(connection)
        except Exception as error:
            raise _OneFailed from error
    return outcomes


def _attempt(log: Appending, job: _Job) -> Any:
    """What the job returns; where it fails, all it did is undone."""
    head, connection = log.head, log.connection
    _SAVEPOINT.run(connection)
    try:
        outcome = together([job.work(log)])[0]
        send_waiting(connection)
    except Exception as error:
        forget_waiting(connection)
        _UNDO.run(connection)
        log.head, outcome = head, _Failed(error)
    _RELEASE.run(connection)
    return outcome

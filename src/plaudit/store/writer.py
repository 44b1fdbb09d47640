"""The writer: one thread that records what many send, everything that waits in one transaction.

The cost of a commit is its wait for the disk, and that is paid once for all that queued up
meanwhile. A job is acknowledged after its commit, never before; one that fails is rolled back to
where it began and fails alone; where the database itself fails, every job of the batch is told so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

from sqlalchemy import Connection

from plaudit.judgments import Judgment
from plaudit.store.chain import Head
from plaudit.store.log import Also, Receipt, append_one, chain_head
from plaudit.store.opening import Store
from plaudit.store.tallies import catch_up

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
_MOST_AT_ONCE = 500
_PATIENCE_SECONDS = 10.0
_SECONDS_BETWEEN_TALLIES = 1.0


@dataclass(frozen=True, slots=True)
class _Job:
    judgment: Judgment
    also: Also | None
    future: Future[Receipt]


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
        judgment was recorded; what it raises undoes both, and comes out of the future.

        Raises:
            TimeoutError: the queue stayed full; the database does not keep up.
            RuntimeError: the writer was closed.
        """
        job = _Job(judgment, also, Future())
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
            _settle(self.store, [j for j in jobs if j.future.set_running_or_notify_cancel()])
            if time.monotonic() - tallied_at > _SECONDS_BETWEEN_TALLIES:
                _tally(self.store)
                tallied_at = time.monotonic()

    def _take(self) -> list[_Job]:
        """What waits, some hundreds at most; nothing where nothing came for a while."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._is_closed, _SECONDS_BETWEEN_TALLIES
            )
            many = min(len(self._waiting), _MOST_AT_ONCE)
            jobs = [self._waiting.popleft() for _ in range(many)]
            self._changed.notify_all()
        return jobs


def _tally(store: Store) -> None:
    """So that whoever opens a dashboard need not wait; if it fails, what he sees says why."""
    try:
        catch_up(store)
    except Exception:
        log.exception("the tallies could not be brought up to date; no judgment is lost")


def _settle(store: Store, jobs: list[_Job]) -> None:
    """Commit the jobs together, then tell each what became of it."""
    if not jobs:
        return
    try:
        outcomes = _commit(store, jobs)
    except Exception as error:
        outcomes = [error] * len(jobs)
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, Receipt):
            job.future.set_result(outcome)
        else:
            job.future.set_exception(outcome)


def _commit(store: Store, jobs: list[_Job]) -> list[Receipt | Exception]:
    outcomes: list[Receipt | Exception] = []
    with store.appending() as connection:
        head = chain_head(connection)
        for job in jobs:
            outcome = _attempt(connection, job, head)
            if isinstance(outcome, Receipt) and outcome.is_new:
                head = Head(outcome.seq, outcome.sha256)
            outcomes.append(outcome)
    return outcomes


def _attempt(connection: Connection, job: _Job, head: Head) -> Receipt | Exception:
    try:
        with connection.begin_nested():
            receipt = append_one(connection, job.judgment, head)
            if job.also is not None:
                job.also(connection)
        return receipt
    except Exception as error:
        return error

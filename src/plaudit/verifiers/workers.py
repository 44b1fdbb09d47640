"""Worker processes that verify, so that nothing a response does to a parser outlives its deadline.

Each item is sent to a process and must be answered before its deadline; a process that is late is
killed and replaced. Parsers hang, regular expressions backtrack without end, and neither heeds a
signal in a thread: only killing really ends them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any

from plaudit.records import Invalid
from plaudit.verifiers.registry import Columns

_STARTING_SECONDS = 180.0


class Workers:
    """Processes that hold one verifier with its options.

    They start when first needed and end with ``close``, or with this process.

    Args:
        name, options: as for ``bind_verifier``.
        count: processes at most.
        deadline_seconds: for one response; then its process is killed and its verdict is invalid.
    """

    def __init__(
        self, name: str, options: Mapping[str, Any], *, count: int, deadline_seconds: float
    ) -> None:
        self._task = json.dumps([name, dict(options)]).encode()
        self._count, self._deadline_seconds = count, deadline_seconds
        self._workers: list[_Worker] = []
        weakref.finalize(self, _end_all, self._workers)

    def verify(self, items: Sequence[tuple[str, Columns]]) -> list[float | Invalid]:
        """A verdict for each response with its prompt's columns, in order.

        Raises:
            ValueError: the verifier itself cannot be loaded.
        """
        try:
            return self._verdicts(items)
        except BaseException:  # an interrupt too: what is under way belongs to no later call
            self.close()
            raise

    def close(self) -> None:
        _end_all(self._workers)

    def _verdicts(self, items: Sequence[tuple[str, Columns]]) -> list[float | Invalid]:
        verdicts: list[float | Invalid] = [Invalid(reason="not verified")] * len(items)
        waiting = deque(range(len(items)))
        while waiting or any(worker.index is not None for worker in self._workers):
            self._staff(len(waiting))
            for worker in self._workers:
                if worker.is_idle and waiting:
                    worker.give(waiting[0], items[waiting.popleft()], self._deadline_seconds)
            for worker in self._reported():
                if (found := worker.verdict()) is not None:
                    index, verdict = found
                    verdicts[index] = verdict
                if worker.is_over:
                    self._workers.remove(worker)
        return verdicts

    def _staff(self, waiting: int) -> None:
        """Start processes while there is more to do than hands."""
        idle = sum(worker.index is None for worker in self._workers)
        for _ in range(min(self._count - len(self._workers), waiting - idle)):
            self._workers.append(_Worker(self._task))

    def _reported(self) -> list[_Worker]:
        """The workers that have answered, died, or let their deadline pass."""
        busy = [worker for worker in self._workers if not worker.is_idle]
        first = min(worker.deadline for worker in busy)
        ready = wait([worker.connection for worker in busy], max(0.0, first - time.monotonic()))
        now = time.monotonic()
        return [w for w in busy if w.connection in ready or now >= w.deadline]


class _Worker:
    """One process, and what it is doing."""

    def __init__(self, task: bytes) -> None:
        self.connection, theirs = Pipe()
        self.index: int | None = None
        self._has_begun = False
        self._seconds = _STARTING_SECONDS
        self.is_over = False
        self.deadline = time.monotonic() + self._seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plaudit.verifiers.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()
        self.connection.send_bytes(task)

    @property
    def is_idle(self) -> bool:
        return self._has_begun and self.index is None

    def give(self, index: int, item: tuple[str, Columns], seconds: float) -> None:
        self.index, self.deadline = index, time.monotonic() + seconds
        self._seconds = seconds
        # Where it died in between, reading its answer will say so.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(json.dumps(item).encode())

    def verdict(self) -> tuple[int, float | Invalid] | None:
        """The item's index and verdict; None for word that the process has begun.

        Raises:
            ValueError: the verifier cannot be loaded.
        """
        answer = self._answer()
        if not self._has_begun:
            if reason := answer.get("invalid"):
                self.end()
                raise ValueError(reason)
            self._has_begun = True
            return None
        assert self.index is not None
        index, self.index = self.index, None
        reason = answer.get("invalid")
        return index, float(answer["value"]) if reason is None else Invalid(reason=reason)

    def end(self) -> None:
        self.is_over = True
        self._process.kill()
        self._process.wait()
        self.connection.close()

    def _answer(self) -> dict[str, Any]:
        try:
            if self.connection.poll():
                return json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self.end()
            code = self._process.returncode
            return {"invalid": f"the verifier's process died (exit {code})"}
        self.end()
        if not self._has_begun:
            return {"invalid": f"the verifier did not start in {self._seconds:g} s"}
        return {"invalid": f"took longer than {self._seconds:g} s"}


def _end_all(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().end()

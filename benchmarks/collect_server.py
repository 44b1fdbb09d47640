"""The collection server as a process of its own, that can be killed and started again.

    python -m benchmarks.collect_server DATABASE PORT [PROFILE]

PROFILE is a file for the figures of cProfile, over the event loop and the worker threads.
"""

from __future__ import annotations

import contextlib
import cProfile
import os
import pstats
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(slots=True)
class Server:
    """A server on a port of its own, over one database."""

    database: str
    port: int
    profile: str = ""
    log: str = os.devnull
    cpu_seconds: float = 0.0
    """Of the processes that were stopped."""
    _process: subprocess.Popen | None = field(default=None, repr=False)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            RuntimeError: it does not.
        """
        command = [sys.executable, "-m", "benchmarks.collect_server", self.database]
        command += [str(self.port)] + ([self.profile] if self.profile else [])
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        began = time.monotonic()
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise RuntimeError(f"the server did not start; see {self.log}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGINT: it shuts down as it would for a person; one that is down already stays so."""
        if self._process is not None:
            self._end(signal.SIGINT)

    def used_seconds(self) -> float:
        """CPU time of all its processes so far."""
        return self.cpu_seconds + (self._used() if self._process else 0.0)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "the server was not started"
        self.cpu_seconds += self._used()
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _used(self) -> float:
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(self._process.pid).cpu_times()
            return times.user + times.system
        return 0.0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def run(database: str, port: int, profile: str = "") -> None:
    """Serve as ``plaudit collect`` does, until interrupted."""
    from plaudit.feedback.serving import listen, serve
    from plaudit.store import open_store

    def serving() -> None:
        serve(open_store(database), listen("127.0.0.1", port), "127.0.0.1", (), False)

    if profile:
        _profiled(serving, profile)
    else:
        serving()


def _profiled(serving: Callable[[], None], path: str) -> None:
    """CPU time by function; every thread has a profile of its own, and the file adds them up."""
    profiles: list[cProfile.Profile] = []

    def begin(*_) -> None:
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].enable()

    # A thread's first event makes its profile, which then takes the place of this function.
    threading.setprofile(begin)
    begin()
    serving()
    total = pstats.Stats()
    for one in profiles:
        one.create_stats()
        total.add(one)
    total.dump_stats(path)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4])

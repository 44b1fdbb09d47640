"""Processes that append are killed at any moment: nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter

from plaudit.store import open_store, read, verify

pytest_plugins = ("tests.postgres",)

_ROUNDS = 4


def test_what_was_acknowledged_outlives_a_kill(store_url: str) -> None:
    open_store(store_url).close()
    draw, acknowledged = random.Random(3), []
    for round in range(_ROUNDS):
        pair = [_start(store_url, f"{round}{side}") for side in "ab"]
        for _ in range(draw.randrange(1, 30)):
            acknowledged += [process.stdout.readline().strip() for process in pair]
        time.sleep(draw.uniform(0.0, 0.05))
        for process in pair:
            process.kill()
        for process in pair:
            with process:
                acknowledged += process.stdout.read().split()
            assert process.returncode == -9
    store = open_store(store_url)
    recorded = Counter(entry.id for entry in read(store))
    assert set(recorded) >= set(acknowledged)
    assert len(recorded) - len(acknowledged) <= 2 * _ROUNDS * 8, "one a thread may be unanswered"
    assert max(recorded.values()) == 1
    assert verify(store).faults == ()
    store.close()


def _start(url: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.appending", url, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

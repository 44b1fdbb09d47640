"""How many judgments a second a store acknowledges, each after its commit.

    python benchmarks/collect_append.py URL [--seconds 5] [--clients 1 8 32 128]

Each client waits for its receipt before it sends the next. Prints one line of JSON for each number
of clients. URL is a file, or ``postgresql://USER@HOST:PORT/NAME`` of an empty database.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.collect_fill import a_vote
from plaudit.store import Store, Writer, open_store, put_project, verify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    asked = parser.parse_args()
    store = open_store(asked.url)
    put_project(store, "p", "{}")
    for clients in asked.clients:
        print(json.dumps(append_for(store, clients, asked.seconds)), flush=True)
    assert verify(store).faults == ()


def append_for(store: Store, clients: int, seconds: float) -> dict[str, Any]:
    """Judgments a second, and milliseconds from sending to receipt."""
    waits: list[list[float]] = [[] for _ in range(clients)]
    with Writer(store) as writer:
        began = time.perf_counter()
        sending = (writer, began + seconds)
        threads = [threading.Thread(target=_send, args=(*sending, mine)) for mine in waits]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - began
    every = sorted(chain.from_iterable(waits))
    return {
        "clients": clients,
        "judgments_a_second": round(len(every) / taken, 1),
        "median_ms": round(statistics.median(every), 2),
        "p99_ms": round(every[int(0.99 * (len(every) - 1))], 2),
    }


def _send(writer: Writer, until: float, waits: list[float]) -> None:
    rater = uuid4().hex[:8]
    for number, sent in enumerate(_until(until)):
        writer.submit(a_vote(f"{rater}-{number}", number, rater)).result()
        waits.append((time.perf_counter() - sent) * 1000)


def _until(end: float) -> Iterator[float]:
    while (now := time.perf_counter()) < end:
        yield now


if __name__ == "__main__":
    main()

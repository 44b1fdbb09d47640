"""How many judgments a second the collection server records, and whether it loses any.

    python -m benchmarks.collect_load --raters 50 --seconds 60
    python -m benchmarks.collect_load --database postgresql --raters 50 --seconds 60
    python -m benchmarks.collect_load --kill 20 --seconds 120

Simulated raters judge without a pause, by the same API the pages use, each on a connection of its
own. Afterwards the log is verified, and what the server acknowledged is compared with what stands
in it. With ``--kill`` the server is killed (SIGKILL) so many times at random moments and started
again, while the raters go on and send again what was not answered. Latencies are those of requests
that were answered, as the client saw them, with the client on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.collect_databases import database_of, used_seconds
from benchmarks.collect_lines import RawLine
from benchmarks.collect_server import Server, free_port
from plaudit.feedback.projects.project import Project
from plaudit.feedback.projects.setup import set_up_project
from plaudit.feedback.simulation import (
    RaterClient,
    RaterKind,
    Seat,
    Tally,
    Terms,
    truths_of_items,
    work,
)
from plaudit.judgments import Candidate, Item, Skipped, Withdrawn
from plaudit.store import items as stored_items
from plaudit.store import open_store, read, standing, verify
from plaudit.store.people import add_member, new_rater
from plaudit.store.tokens import issue

DATABASES = ("sqlite", "postgresql", "postgresql+psycopg", "postgresql+pg8000")
PROJECT = "load"
WORDS = "a tea cup holds hot water and leaves which give it taste colour and smell".split()  # noqa: SIM905
KIND = RaterKind(
    name="busy", noise=0.7, reload_rate=0.1, skip_rate=0.01, undo_rate=0.01, draft_rate=0.05
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What was asked of the server."""

    database: str
    raters: int
    seconds: float
    """That the server is up."""
    items: int
    rate: float = 0.0
    """Judgments a second of all raters together, who think in between; 0 for without a pause."""
    kills: int = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What it did."""

    judgments: int
    judgments_per_second: float
    submit_p50_ms: float
    submit_p99_ms: float
    next_p50_ms: float
    next_p99_ms: float
    resent: int
    refused: int
    kills: int
    lost: int
    """Acknowledged, and not in the log under that number."""
    doubled: int
    """Assignments with two judgments that stand."""
    unacknowledged: int
    """In the log, and nobody was told."""
    miscounted: int
    """Items whose count of votes is not that of the log."""
    faults: tuple[str, ...]
    """What ``verify`` found."""
    server_cpu_ms_per_judgment: float
    database_cpu_ms_per_judgment: float
    """Of PostgreSQL's processes; SQLite works in the server's."""
    raters_cpu_ms_per_judgment: float
    load_average: float


def made_items(count: int, seed: int = 0) -> list[Item]:
    """Pairs of texts of some 300 characters, with utilities a unit apart."""
    rng = random.Random(seed)
    return [_item(number, rng) for number in range(count)]


def set_up(database: str, raters: int, items: Sequence[Item], folder: Path) -> list[str]:
    """A project of these items in the database, and a token for each rater."""
    rows = "\n".join(item.model_dump_json() for item in items)
    (folder / "items.jsonl").write_text(rows, encoding="utf-8")
    project = Project.model_validate(
        {
            "id": PROJECT, "title": "Load", "questions": [{"kind": "pairwise"}],
            "guidelines": {"text": "Choose."}, "items": [{"dataset": "items.jsonl"}],
            "overlap": {"votes": 2, "adaptive": {"max_votes": 3}}, "repeat_rate": 0.02,
        }
    )  # fmt: skip
    store, now = open_store(database), time.time()
    set_up_project(store, project, folder)
    tokens = []
    for _ in range(raters):
        rater = new_rater(store, now, kind="simulated")
        add_member(store, PROJECT, rater)
        tokens.append(issue(store, "api", now, rater=rater))
    store.close()
    return tokens


async def drive(
    server: Server, tokens: Sequence[str], items: Sequence[Item], load: Load
) -> tuple[list[Tally], list[Seat]]:
    """All raters at work for some seconds, while the server is killed now and then."""
    thinks = {"seconds": load.raters / load.rate} if load.rate else {}
    kind = KIND.model_copy(update=thinks)
    seats = [
        Seat(kind=kind, number=number, client=RaterClient(RawLine(server.port, token), PROJECT, 90))
        for number, token in enumerate(tokens)
    ]
    serving = asyncio.create_task(_serve_and_kill(server, load.seconds, load.kills))
    pace = 1.0 if load.rate else 0.0
    terms = Terms(truths=truths_of_items(items), is_over=serving.done, pace=pace)
    tallies = await work(seats, terms)
    await serving
    for seat in seats:
        await seat.client.line.close()
    return tallies, seats


async def _serve_and_kill(server: Server, seconds: float, kills: int) -> None:
    """The server up for so many seconds in all, cut by kills at moments drawn at random."""
    cuts = sorted(random.uniform(0, seconds) for _ in range(kills))
    for begin, end in pairwise([0.0, *cuts]):
        await asyncio.sleep(end - begin)
        server.kill()
        await asyncio.to_thread(server.start)
    await asyncio.sleep(seconds - (cuts[-1] if cuts else 0.0))


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was acknowledged against what stands in the log."""

    judgments: int
    lost: int
    doubled: int
    unacknowledged: int
    miscounted: int
    faults: tuple[str, ...]


def check(database: str, tallies: Sequence[Tally]) -> Checked:
    """Read the whole log, and compare."""
    store = open_store(database)
    told = {id: seq for tally in tallies for id, seq in tally.acknowledged}
    logged = {one.id: one for one in read(store, PROJECT)}
    lost = sum(id not in logged or logged[id].seq != seq for id, seq in told.items())
    judged = [
        id for id, one in logged.items()
        if one.judgment and not isinstance(one.judgment.answer, Skipped | Withdrawn)
    ]  # fmt: skip
    stands = [one for one in standing(store, PROJECT) if not isinstance(one.answer, Skipped)]
    by_assignment = Counter(one.assignment for one in stands)
    by_item = Counter(one.item for one in stands if not one.is_repeat)
    miscounted = sum(one.votes != by_item[one.item.id] for one in stored_items(store, PROJECT))
    verified = verify(store)
    store.close()
    return Checked(
        judgments=len(told),
        lost=lost + sum(len(tally.acknowledged) for tally in tallies) - len(told),
        doubled=sum(count > 1 for count in by_assignment.values()),
        unacknowledged=sum(id not in told for id in judged),
        miscounted=miscounted,
        faults=verified.faults,
    )


def measure(load: Load, folder: Path, profile: str = "") -> Measured:
    """Set up, drive, check."""
    items = made_items(load.items)
    with database_of(load.database, folder) as database:
        tokens = set_up(database, load.raters, items, folder)
        server = Server(database, free_port(), profile, log=str(folder / "server.log"))
        with server:
            before, began = _used(server, folder), time.perf_counter()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                tallies, seats = runner.run(drive(server, tokens, items, load))
            took, used_3 = time.perf_counter() - began, _used(server, folder) - before
        checked = check(database, tallies)
    submit, next_ = (_percentiles_ms(seats, kind) for kind in ("submit", "next"))
    cpu_ms_3 = np.round(1000 * used_3 / max(checked.judgments, 1), 2).tolist()
    return Measured(
        judgments_per_second=round(checked.judgments / took, 1),
        submit_p50_ms=submit[0], submit_p99_ms=submit[1],
        next_p50_ms=next_[0], next_p99_ms=next_[1],
        resent=sum(seat.client.timed.resent for seat in seats),
        refused=sum(len(tally.refused) for tally in tallies),
        server_cpu_ms_per_judgment=cpu_ms_3[0], database_cpu_ms_per_judgment=cpu_ms_3[1],
        raters_cpu_ms_per_judgment=cpu_ms_3[2], kills=load.kills,
        load_average=round(os.getloadavg()[0], 2), **asdict(checked),
    )  # fmt: skip


def _used(server: Server, folder: Path) -> NDArray[np.float64]:
    """Seconds of CPU so far: of the server, the database and the raters, who are this process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([server.used_seconds(), used_seconds(folder), own.ru_utime + own.ru_stime])


def _percentiles_ms(seats: Sequence[Seat], kind: str) -> tuple[float, float]:
    seconds = [s for seat in seats for s in seat.client.timed.seconds.get(kind, ())]
    low, high = np.percentile(seconds, [50, 99]) * 1000 if seconds else (np.nan, np.nan)
    return round(float(low), 1), round(float(high), 1)


def _item(number: int, rng: random.Random) -> Item:
    texts = [" ".join(rng.choices(WORDS, k=60)) for _ in range(2)]
    return Item(
        id=f"i{number}",
        prompt=f"Question {number}: what is in the cup?",
        candidates=tuple(Candidate(content=text) for text in texts),
        columns={"utilities": [rng.gauss(0, 0.7), rng.gauss(0, 0.7)]},
    )


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description="A load on the collection server.")
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.0, help="judgments a second; 0 for most")
    parser.add_argument("--kill", type=int, default=0, help="times to kill the server")
    parser.add_argument("--profile", default="", help="file for cProfile's figures of the server")
    given = parser.parse_args()
    load = Load(
        database=given.database, raters=given.raters, seconds=given.seconds, items=given.items,
        rate=given.rate, kills=given.kill,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(measure(load, Path(folder), given.profile)), indent=1))


if __name__ == "__main__":
    main()

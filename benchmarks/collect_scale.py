"""The store at size: a project of a million items and five million judgments in SQLite.

    python benchmarks/collect_scale.py [--items 1000000] [--folder runs/collect-scale] [--keep]

Prints one line of JSON: how long it takes to give a rater the next item, to append, to read the
dashboards' tallies and to verify. ``--keep`` leaves the database, and the next call finds it there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.collect_append import append_for
from benchmarks.collect_fill import BUSY, NEWCOMER, VOTES, fill
from plaudit.feedback.assignment.giving import next_assignment
from plaudit.feedback.leads.dashboards import agreement_board
from plaudit.feedback.leads.dashboards_cost import cost_board
from plaudit.feedback.leads.dashboards_raters import rater_board
from plaudit.feedback.projects.project import project_of
from plaudit.store import Store, catch_up, get_project, open_store, schema, verify
from plaudit.store.declined import set_declined


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/collect-scale"))
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    file = asked.folder / f"{asked.items}.db"
    found: dict[str, Any] = {"items": asked.items, "judgments": asked.items * VOTES}
    if not file.exists():
        found["fill_seconds"] = _seconds(lambda: fill(file, asked.items))
    print(json.dumps(found | measure(open_store(file), file)))
    if not asked.keep:
        shutil.rmtree(asked.folder)


def measure(store: Store, file: Path) -> dict[str, Any]:
    """Milliseconds: the median and the worst of some tries; seconds: one try."""
    gives = {f"next_{name}_ms": _in_ms(_gives(store, name)) for name in ("r007", BUSY, NEWCOMER)}
    with store.writing() as connection:
        set_declined(connection, "p", NEWCOMER, ["s0", "s1", "s2"], 0.0)
    gives["next_newcomer_who_declines_ms"] = _in_ms(_gives(store, NEWCOMER))
    boards = _boards(store)
    dashboards = {
        f"{name}_ms": _in_ms([_seconds(board) for _ in range(6)]) for name, board in boards.items()
    }
    return {
        **gives,
        "append": [append_for(store, clients, seconds=3) for clients in (1, 32)],
        "first_board_after_appending_seconds": _seconds(boards["agreement"]),
        "catch_up_after_appending_seconds": _seconds(lambda: catch_up(store)),
        **dashboards,
        **_suspend(store, "r007"),
        "verify_seconds": _seconds(lambda: _must_hold(store)),
        "database_gib": round(file.stat().st_size / 2**30, 2),
    }


def _gives(store: Store, rater: str) -> list[float]:
    """Seconds to the next item; its lease is taken back each time, so that all find one queue."""
    taken, table = [], schema.assignment
    for _ in range(31):
        began = time.perf_counter()
        given = next_assignment(store, "p", rater)
        taken.append(time.perf_counter() - began)
        assert given is not None
        with store.writing() as connection:
            connection.execute(table.delete().where(table.c.id == given.id))
    return taken


def _boards(store: Store) -> dict[str, Callable[[], Any]]:
    """What leads look at."""
    stored = get_project(store, "p")
    assert stored is not None
    project = project_of(stored.config)
    return {
        "agreement": lambda: agreement_board(store, project),
        "raters": lambda: rater_board(store, "p"),
        "cost": lambda: cost_board(store, project),
    }


def _suspend(store: Store, rater: str) -> dict[str, Any]:
    """A suspension, which tallies follow on all items that the rater voted on: how long the boards
    after it take, and how long it is until they lack nothing."""
    table = schema.member
    with store.writing() as connection:
        of_rater = table.c.rater == rater
        connection.execute(table.update().where(of_rater).values(suspended_at=1.0))
    boards = [_seconds(_boards(store)["agreement"]) for _ in range(3)]
    rest = _seconds(lambda: catch_up(store))
    return {
        "board_after_suspension_seconds": max(boards),
        "until_suspension_is_counted_seconds": round(sum(boards) + rest, 2),
    }


def _must_hold(store: Store) -> None:
    assert verify(store).faults == ()


def _in_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Without the first, which warms up."""
    later = [1000 * each for each in seconds[1:]]
    return {"median": round(statistics.median(later), 2), "worst": round(max(later), 2)}


def _seconds(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return round(time.perf_counter() - began, 4)


if __name__ == "__main__":
    main()

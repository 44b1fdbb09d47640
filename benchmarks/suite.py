"""The suite: all sides in turn, each in a process of its own, and the results as a table."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import Row, differing, write_section
from benchmarks.workload import (
    DATA,
    GENERATIONS,
    MODELS,
    NEW_TOKENS,
    PRECISIONS,
    RUNS,
    TASKS,
    Data,
    Precision,
    Task,
    Work,
    ensure_made,
)

HERE = Path(__file__).parent
STEPS: dict[str, int] = {"toy": 4, "6m": 8, "30m": 5, "120m": 3}
PROBE = ("--steps", "4", "--warmup", "2")
"""How peers' variants are tried out: what is compiled has been compiled by the third step."""
KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""glibc keeps freed memory, as Plaudit tells it to in its own process."""
PEERS: dict[str, str] = {"sample": "generate", "ppo": ""}
"""The peer of a task, trl where not said."""
NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("sft", "float32"): ("float32", "float32-padding-free", "float32-compiled"),
    ("sft", "bfloat16"): ("autocast", "autocast-padding-free", "autocast-compiled", "weights"),
    ("grpo", "float32"): ("float32",),
    ("grpo", "bfloat16"): ("autocast", "weights"),
    ("score", "float32"): ("float32",),
    ("score", "bfloat16"): ("weights",),
    ("sample", "float32"): ("padded", "continuous"),
    ("sample", "bfloat16"): ("padded", "continuous"),
}
ELSE: dict[str, tuple[str, ...]] = {
    "float32": ("float32", "float32-compiled"),
    "bfloat16": ("autocast", "autocast-compiled", "weights"),
}


class Case(NamedTuple):
    """What both sides do."""

    task: Task
    model: str
    data: Data
    precision: Precision
    generations: int
    """Responses to a prompt; 0 where that is not to be chosen."""

    @property
    def name(self) -> str:
        each = f", {self.generations} a prompt" if self.generations else ""
        return f"{self.task}, {self.model}, {self.data}, {self.precision}{each}"

    @property
    def arguments(self) -> list[str]:
        given = ["--task", self.task, "--model", self.model, "--data", self.data]
        given += ["--precision", self.precision]
        return given + (["--generations", str(self.generations)] if self.generations else [])


@dataclass(frozen=True)
class Runner:
    """Runs a side; every line it prints is kept."""

    peer_python: str
    pairs: str
    log: Path
    fastest: dict[tuple[str, ...], tuple[str, bool]] = field(default_factory=dict)
    """By peer, task, precision and data: its fastest variant, and whether freed memory is kept."""

    def side(self, side: str, case: Case, more: Sequence[str], *, kept: bool) -> dict[str, Any]:
        """What the side reports; ``failed`` and nothing else where it did not get there."""
        python = sys.executable if side == "plaudit" else self.peer_python
        command = [python, str(HERE / "run.py"), "--side", side, *case.arguments, *more]
        command += ["--pairs", self.pairs, "--json"]
        found = run_json(command, KEPT if kept else {})
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"command": command[1:], **found}) + "\n")
        return found

    def best(self, peer: str, case: Case) -> tuple[str, bool]:
        """The peer's fastest variant for a task, tried out at the smallest model asked for.

        Raises:
            ValueError: it runs with none.
        """
        key = (peer, case.task, case.precision, case.data)
        if key not in self.fastest:
            names = NAMES.get((case.task, case.precision), ELSE[case.precision])
            rates = {
                (name, kept): self._rate(peer, case, name, kept)
                for name in names
                for kept in (False, True)
            }
            if not max(rates.values()):
                raise ValueError(f"{peer} runs in none of {', '.join(names)}")
            self.fastest[key] = max(rates, key=lambda one: rates[one])
        return self.fastest[key]

    def _rate(self, peer: str, case: Case, name: str, kept: bool) -> float:
        found = self.side(peer, case, [*PROBE, "--variant", name], kept=kept)
        return 0.0 if "failed" in found else found["examples_per_s"]


def run_suite(options: argparse.Namespace) -> None:
    """Run every case, and write the section after each.

    Raises:
        ValueError: an option names what there is not; or some cases failed, which the section says.
    """
    if not Path(options.peer_python).exists():
        raise ValueError(
            f"{options.peer_python}: no such Python for the peers; make bench makes one, "
            "--peer-python names another"
        )
    RUNS.mkdir(parents=True, exist_ok=True)
    log = RUNS / f"suite-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    runner = Runner(options.peer_python, options.pairs, log)
    rows: list[Row] = []
    faults: list[str] = []
    for case in cases(options):
        try:
            rows.append(run_case(runner, case, options.repeats))
            print(rows[-1].line(), flush=True)
        except ValueError as error:
            faults.append(f"{case.name}: {error}")
            print(faults[-1], flush=True)
        write_section(options.results, rows, faults, log)
    if faults:
        raise ValueError(f"{len(faults)} of {len(rows) + len(faults)} cases failed")


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The smallest models first.

    Raises:
        ValueError: a task, model or precision that there is not.
    """
    tasks = _chosen("tasks", options.tasks or ",".join(TASKS), TASKS)
    models = _chosen("models", options.models, tuple(MODELS))
    precisions = _chosen("precisions", options.precisions, PRECISIONS)
    for model in sorted(models, key=list(MODELS).index):
        for precision in precisions:
            for task in tasks:
                for data in DATA if task == "dpo" else DATA[:1]:
                    for count in (8, 16) if task == "grpo" else (GENERATIONS.get(task, 0),):
                        yield Case(task, model, data, precision, count)


def run_case(runner: Runner, case: Case, repeats: int) -> Row:
    """The peak and both sides, in turn, as often as was asked.

    Raises:
        ValueError: a side fails, or the two do not learn the same.
    """
    ensure_made(Work(task=case.task, model=case.model, data=case.data, pairs=runner.pairs))
    peer = PEERS.get(case.task, "trl")
    steps = ["--steps", str(STEPS[case.model])]
    variant, kept = runner.best(peer, case) if peer else ("", False)
    ours, theirs, peaks = [], [], []
    for _ in range(repeats):
        peaks.append(_whole(run_json([sys.executable, str(HERE / "peak.py")], {})))
        ours.append(_whole(runner.side("plaudit", case, steps, kept=False)))
        if peer:
            more = [*steps, "--variant", variant]
            theirs.append(_whole(runner.side(peer, case, more, kept=kept)))
    row = Row(
        case=case.name, precision=case.precision, sampled=case.task in NEW_TOKENS,
        peer=f"{peer}, {variant}{', freed memory kept' if kept else ''}" if peer else "",
        ours=ours, theirs=theirs, peaks=[peak[case.precision] for peak in peaks],
    )  # fmt: skip
    if fault := differing(row):
        raise ValueError(fault)
    return row


def run_json(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """The JSON a command prints, or ``failed`` with the last line of its errors."""
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no word"])[-1]}
    return json.loads(done.stdout)


def _whole(found: dict[str, Any]) -> dict[str, Any]:
    if "failed" in found:
        raise ValueError(found["failed"])
    return found


def _chosen(name: str, given: str, known: Sequence[Any]) -> list[Any]:
    chosen = given.split(",")
    for one in chosen:
        if one not in known:
            raise ValueError(f"{name}={one}: expected some of {', '.join(known)}")
    return chosen

"""The suite: all sides in turn, and the results as a table."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ledger import Ledger
from benchmarks.results import Row, differing, section
from benchmarks.runner import AS_IT_COMES, Case, Runner, Setting, whole
from benchmarks.sections import RESULTS, line, write_section
from benchmarks.workload import (
    DATA,
    GENERATIONS,
    MODELS,
    NEW_TOKENS,
    PRECISIONS,
    RUNS,
    TASKS,
    Work,
    ensure_made,
)

STEPS: dict[str, tuple[int, int]] = {
    "6m": (16, 6), "30m": (4, 2), "120m": (3, 2), "0.5b": (8, 2), "1.5b": (6, 2),
}  # fmt: skip
"""Of a turn, and how many of them are not counted: while shapes are new, kernels are compiled."""
FEW_STEPS = LONG_STEPS = (4, 2)
"""Of models made for tests; of steps that take long: long prompts, PPO's epochs."""
USUAL_MODELS = "6m,30m"
PEERS: dict[str, tuple[str, ...]] = {"sample": ("generate", "vllm")}
"""The peers of a task, trl where not said."""
ALL_PEERS = ("trl", "generate", "vllm")
TITLES = {"suite": "Side by side", "gpu": "Side by side on a GPU"}


def run_suite(options: argparse.Namespace) -> None:
    """Run every case that is not in the ledger yet, and write the section after each.

    Raises:
        ValueError: an option names what there is not; or some cases failed, which the section says.
    """
    wanted = list(cases(options))
    if options.repeats < 1:
        raise ValueError(f"repeats={options.repeats}: expected at least 1")
    _check_environments(wanted, options.venv)
    results = options.results or _results_of(options)
    RUNS.mkdir(parents=True, exist_ok=True)
    log = RUNS / f"{options.section}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    ledger = Ledger.read(options.ledger or log.with_suffix(".rows.jsonl"))
    runner = Runner(options.venv, options.device, options.pairs, log, ledger)
    keys = {_key(case, options): case for case in wanted}
    for key, case in keys.items():
        if key not in ledger.rows:
            _attempt(runner, case, key, options.repeats)
        faults = [f"{name}: {fault}" for name, fault in ledger.faults.items()]
        rows = list(ledger.rows.values())
        text = section(TITLES[options.section], rows, faults, log)
        write_section(results, options.section, text)
    if failed := len(keys.keys() & ledger.faults.keys()):
        raise ValueError(f"{failed} of {len(keys)} cases failed")


def _key(case: Case, options: argparse.Namespace) -> str:
    """By which the ledger knows it."""
    elsewhere = "" if options.device == "cpu" else f", on {options.device}"
    return f"{case.name}, {case.peer or 'no peer'}{elsewhere}"


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The smallest models first.

    Raises:
        ValueError: a task, model, precision or peer that there is not.
    """
    tasks = _chosen("tasks", options.tasks or ",".join(TASKS), TASKS)
    models = _chosen("models", options.models or USUAL_MODELS, tuple(MODELS))
    precisions = _chosen("precisions", options.precisions or ",".join(PRECISIONS), PRECISIONS)
    given = ",".join(ALL_PEERS) if options.peers is None else options.peers
    peers = _chosen("peers", given, ALL_PEERS) if given else []
    for model in sorted(models, key=list(MODELS).index):
        for precision in precisions:
            for task in tasks:
                for data in DATA if task == "dpo" else DATA[:1]:
                    for count in (8, 16) if task == "grpo" else (GENERATIONS.get(task, 0),):
                        for peer in _peers(task, peers):
                            yield Case(task, model, data, precision, count, peer)


def run_case(runner: Runner, case: Case, repeats: int) -> Row:
    """The peak and both sides, in turn, as often as was asked.

    Raises:
        ValueError: a side fails, or the two do not learn the same.
    """
    ensure_made(Work(task=case.task, model=case.model, data=case.data, pairs=runner.pairs))
    steps, warmup = _steps(case)
    length = ["--steps", str(steps), "--warmup", str(warmup)]
    setting = runner.best(case, length) if case.peer else AS_IT_COMES
    ours, theirs, peaks = [], [], []
    for _ in range(repeats):
        peaks.append(runner.peak(case))
        ours.append(whole(runner.side("plaudit", case, length)))
        if case.peer:
            theirs.append(whole(runner.side(case.peer, case, length, setting)))
    row = Row(
        case=case.name, precision=case.precision, sampled=case.task in NEW_TOKENS,
        peer=_described(theirs[0], setting) if theirs else "",
        ours=ours, theirs=theirs, peaks=peaks,
    )  # fmt: skip
    if fault := differing(row):
        raise ValueError(fault)
    return row


def _steps(case: Case) -> tuple[int, int]:
    steps = STEPS.get(case.model, FEW_STEPS)
    return min(steps, LONG_STEPS) if case.data == "long" or case.task == "ppo" else steps


def _attempt(runner: Runner, case: Case, key: str, repeats: int) -> None:
    try:
        row = run_case(runner, case, repeats)
        runner.ledger.note_row(key, row)
        print(line(row.cells()), flush=True)
    except ValueError as error:
        runner.ledger.note_fault(key, str(error))
        print(f"{key}: {error}", flush=True)


def _described(report: dict[str, Any], setting: Setting) -> str:
    kept = ", freed memory kept" if setting.kept else ""
    return f"{report['settings']['release']}, {setting.variant}{kept}"


def _peers(task: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Of a task, those that are to be run; one empty name where there is none."""
    peers = tuple(peer for peer in PEERS.get(task, ("trl",)) if peer in allowed)
    return peers or ("",)


def _results_of(options: argparse.Namespace) -> Path:
    """Some cases alone leave the published table as it is."""
    some = options.tasks or options.models or options.precisions or options.peers is not None
    return RUNS / f"{options.section}.md" if some else RESULTS


def _check_environments(wanted: Sequence[Case], venv: str) -> None:
    for python in sorted({case.python(venv) for case in wanted if case.peer}):
        if not Path(python).exists():
            raise ValueError(
                f"{python}: no such Python for a peer; make bench makes one, --venv says where "
                "environments lie, --peers which peers to run"
            )


def _chosen(name: str, given: str, known: Sequence[Any]) -> list[Any]:
    chosen = given.split(",")
    for one in chosen:
        if one not in known:
            raise ValueError(f"{name}={one}: expected some of {', '.join(known)}")
    return chosen

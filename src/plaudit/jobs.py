"""Steps of a recipe side by side, each in a process of its own.

Small models do not fill several cores: two steps on one core each are done sooner than one after
the other on both. A step that no other could run beside has all cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from plaudit.runtime import cores


class StepFailed(RuntimeError):
    """A step's process ended without its artifact."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Step(Protocol):
    """What is needed of a step to run it."""

    @property
    def name(self) -> str: ...

    @property
    def after(self) -> tuple[str, ...]: ...


S = TypeVar("S", bound=Step)


def side_by_side(
    steps: Sequence[S], begin: Callable[[S], bool], run: Callable[[S, int], None], jobs: int
) -> Iterator[tuple[S, bool]]:
    """Run every step once those it reads are done, at most ``jobs`` at a time.

    Yields each step when it is done, and whether it was done before. When one fails, no other
    begins, those that run are waited for, and then its error is raised.

    Args:
        begin: told of a step before it runs; False where it is done already.
        run: runs a step on that many threads, and returns when it has ended.
    """
    threads = threads_of(steps, jobs, cores())
    waiting, done = list(steps), set()
    running: dict[Future[None], S] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            for step in [s for s in waiting if done >= set(s.after)]:
                if len(running) == jobs:
                    break
                waiting.remove(step)
                if begin(step):
                    running[pool.submit(run, step, threads[step.name])] = step
                else:
                    done.add(step.name)
                    yield step, True
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
                step = running.pop(future)
                done.add(step.name)
                yield step, False


def threads_of(steps: Sequence[Step], jobs: int, available: int) -> dict[str, int]:
    """Threads for each step: its share, or all where no other step could run beside it.

    That depends on the recipe alone, never on what happens to run: sums split over other numbers
    of threads round otherwise, and the same recipe is to give the same numbers.
    """
    before = _ancestors(steps)
    related = {n: before[n] | {m for m in before if n in before[m]} | {n} for n in before}
    return {
        name: available if len(related[name]) == len(steps) else max(1, available // jobs)
        for name in before
    }


def run_in_process(module: str, config: Mapping[str, Any], output: Path, threads: int) -> None:
    """Run a stage in a process of its own; its lines of progress come out whole.

    Raises:
        StepFailed: it ended with an error, which the message tells or which stands on standard
            error.
    """
    order = {"module": module, "config": config, "where": output.name, "output": str(output)}
    with subprocess.Popen(
        [sys.executable, "-m", "plaudit.step_process"],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
        said = process.stdout.read().splitlines()
    if process.returncode:
        raise _failure(output.name, process.returncode, said[-1] if said else "")


def _failure(name: str, code: int, said: str) -> StepFailed:
    try:
        message, code = json.loads(said)
    except ValueError:
        return StepFailed(f"{name}: ended with code {code}; what it said stands above", 1)
    return StepFailed(message, code)


def _ancestors(steps: Sequence[Step]) -> dict[str, set[str]]:
    """Every step that must be done before each; steps come after those they read."""
    found: dict[str, set[str]] = {}
    for step in steps:
        found[step.name] = set(step.after).union(*(found[name] for name in step.after))
    return found

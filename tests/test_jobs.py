"""Steps side by side: their order, their threads, what a failure stops, and the same numbers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from plaudit.jobs import StepFailed, run_in_process, side_by_side, threads_of
from tests.command import plaudit_process
from tests.small import DIALOGUES, small_checkpoint


@dataclass(frozen=True)
class Named:
    name: str
    after: tuple[str, ...] = ()


DIAMOND = (Named("a"), Named("b", ("a",)), Named("c", ("a",)), Named("d", ("b", "c")))


def test_a_step_that_stands_alone_has_all_cores_and_others_share_them():
    assert threads_of(DIAMOND, 2, 8) == {"a": 8, "b": 4, "c": 4, "d": 8}
    assert threads_of(DIAMOND, 3, 2) == {"a": 2, "b": 1, "c": 1, "d": 2}
    chain = (Named("a"), Named("b", ("a",)), Named("c", ("b",)))
    assert threads_of(chain, 2, 8) == {"a": 8, "b": 8, "c": 8}
    assert threads_of((*DIAMOND, Named("e")), 2, 8) == dict.fromkeys("abcde", 4)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_never_more_at_a_time_and_never_before_what_is_read(jobs: int):
    steps = [Named("a"), *(Named(name, ("a",)) for name in "bcdef"), Named("g", tuple("bcdef"))]
    running, most, ended, gate = set(), [0], [], threading.Lock()

    def run(step: Named, _: int) -> None:
        with gate:
            assert set(step.after) <= set(ended)
            running.add(step.name)
            most[0] = max(most[0], len(running))
        time.sleep(0.05)
        with gate:
            running.remove(step.name)
            ended.append(step.name)

    found = [step.name for step, _ in side_by_side(steps, lambda s: True, run, jobs)]
    assert sorted(found) == sorted(ended) == list("abcdefg")
    assert most == [jobs]


def test_what_is_done_before_runs_no_more():
    ran = []
    found = side_by_side(
        DIAMOND, lambda s: s.name not in "ab", lambda s, _: ran.append(s.name), jobs=2
    )
    assert list(found) == [
        (DIAMOND[0], True), (DIAMOND[1], True), (DIAMOND[2], False), (DIAMOND[3], False)
    ]  # fmt: skip
    assert ran == ["c", "d"]


def test_a_failure_waits_for_what_runs_and_begins_nothing_more():
    ended = []

    def run(step: Named, _: int) -> None:
        if step.name == "b":
            raise StepFailed("b is wrong", 2)
        time.sleep(0.2)
        ended.append(step.name)

    steps = (Named("b"), Named("c"), Named("d"), Named("e", ("d",)))
    with pytest.raises(StepFailed, match="b is wrong"):
        list(side_by_side(steps, lambda s: True, run, jobs=2))
    assert ended == ["c"]


def write_recipe(place: Path, jobs: int, **last: object) -> Path:
    """Two sets of problems that need nothing of each other, and a model of the second."""
    base = small_checkpoint(place / "base")
    steps = {
        "one": {"stage": "arithmetic", "problems": 30, "seed": 1},
        "two": {"stage": "sft", "model": str(base), "dataset": str(DIALOGUES),
                "portion": [0.0, 0.01], "batch_size": 4, "learning_rate": 1e-3, **last},
        "three": {"stage": "sft", "model": "${two}", "dataset": str(DIALOGUES),
                  "portion": [0.0, 0.01], "batch_size": 4, "learning_rate": 1e-3},
    }  # fmt: skip
    file = place / "recipe.yaml"
    file.write_text(json.dumps({"output": str(place / "run"), "jobs": jobs, "steps": steps}))
    return file


def weights_of(place: Path) -> dict[str, str]:
    """Hashes of what each step wrote, settings that hold paths left out."""
    hashes = {}
    for name in ("one", "two", "three"):
        files = json.loads((place / "run" / name / "artifact.json").read_text())["files"]
        hashes |= {f"{name}/{file}": value for file, value in files.items()}
    return hashes


@pytest.mark.slow
def test_side_by_side_and_one_by_one_write_the_same(tmp_path: Path):
    found = []
    for jobs in (1, 2):
        place = tmp_path / str(jobs)
        place.mkdir()
        outcome = plaudit_process("run", write_recipe(place, jobs, max_length=400), cwd=tmp_path)
        assert outcome.code == 0, outcome.err
        assert "step 3 of 3: three (sft)" in outcome.err
        assert "three  step" in outcome.err, "lines of progress come through"
        whose = "two: " if jobs > 1 else ""
        assert re.search(rf"^{whose}\d+ of \d+ rows left out: beyond", outcome.err, re.MULTILINE)
        found.append(weights_of(place))
        again = plaudit_process("run", place / "recipe.yaml", cwd=tmp_path)
        assert again.code == 0 and again.out.count("already done") == 3
    assert found[0] == found[1] and any("safetensors" in file for file in found[0])


def test_a_mistake_found_in_another_process_is_told_in_one_line(tmp_path: Path):
    file = write_recipe(tmp_path, 2, portion=[0.0, 1e-9])
    outcome = plaudit_process("run", file, cwd=tmp_path)
    said = [line for line in outcome.err.splitlines() if line.startswith("plaudit: ")]
    assert outcome.code == 2 and len(said) == 1, outcome
    assert "Traceback" not in outcome.err and "portion" in said[0]
    assert not (tmp_path / "run" / "two").exists()


def test_a_process_that_is_killed_is_no_silent_end(tmp_path: Path):
    with pytest.raises(StepFailed, match="broken: ended with code"):
        run_in_process("tests.misbehaving", {}, tmp_path / "broken", threads=1)


def test_steps_end_with_the_run_that_began_them(tmp_path: Path):
    file = write_recipe(tmp_path, 2, num_train_epochs=1000)
    process = subprocess.Popen(
        [sys.executable, "-m", "plaudit", "run", file], cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    draft = tmp_path / "run" / ".two.draft" / "metrics.jsonl"
    wait_until(draft.exists)
    children = children_of(process.pid)
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(is_alive(child) for child in children))


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until(true: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)

"""Artifacts: whole or not there, resumed or begun anew, known by what went in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import plaudit
from plaudit import artifacts
from plaudit.artifacts import (
    CHECKPOINT,
    Artifact,
    Draft,
    draft_path,
    hash_input,
    is_done,
    read_artifact,
    state,
    write_json,
    write_text,
)
from plaudit.provenance import code_revision
from tests.command import entries


def draft(output: Path, *, rate: float = 0.1, began: float | None = None) -> Draft:
    return Draft.open(output, stage="sft", config={"rate": rate}, inputs={}, began=began)


def left_to_do(output: Path, *, rate: float = 0.1) -> str:
    return state(output, stage="sft", config={"rate": rate}, inputs={})


def finished(output: Path, text: str, *, rate: float = 0.1) -> Artifact:
    """Work as a stage does: a checkpoint, logs, a result in a folder."""
    begun = draft(output, rate=rate)
    (begun.path / CHECKPOINT / "step-1").mkdir(parents=True)
    (begun.path / CHECKPOINT / "step-1" / "state").write_text("weights")
    begun.save_clock()
    (begun.path / "metrics.jsonl").write_text(f'{{"seconds": {time.monotonic()}}}')
    (begun.path / "model").mkdir()
    (begun.path / "model" / "weights").write_text(text)
    return begun.finish({"loss": 0.5})


def test_a_finished_artifact_holds_its_results_its_record_and_nothing_else(tmp_path: Path):
    data = tmp_path / "d.jsonl"
    data.write_text("row")
    options = {"stage": "sft", "config": {"rate": 0.1, "pair": (0, 1)}, "inputs": {"data": data}}
    begun = Draft.open(tmp_path / "runs" / "sft", **options)
    (begun.path / "model").mkdir()
    (begun.path / "model" / "weights").write_text("w")
    made = begun.finish({"loss": 0.5})
    assert made == read_artifact(tmp_path / "runs" / "sft")
    assert made.metrics == {"loss": 0.5} and 0 <= made.seconds < 60
    assert set(made.record) == {
        "stage", "config", "inputs", "files", "metrics", "seconds", "peak_rss_mb", "code"
    }  # fmt: skip
    assert made.record["config"] == {"rate": 0.1, "pair": [0, 1]}
    assert made.record["inputs"] == {"data": hash_input(data)}
    assert set(made.record["files"]) == {"model/weights"}
    assert entries(tmp_path / "runs") == {
        "sft", "sft/artifact.json", "sft/model", "sft/model/weights"
    }  # fmt: skip
    assert is_done(tmp_path / "runs" / "sft", **options)


def test_checkpoints_go_logs_stay_and_are_not_hashed(tmp_path: Path):
    first = finished(tmp_path / "a", "w")
    second = finished(tmp_path / "b", "w")
    assert entries(tmp_path / "a") == {"artifact.json", "metrics.jsonl", "model", "model/weights"}
    assert first.record["files"] == second.record["files"] == {"model/weights": HASH_OF_W}
    assert hash_input(tmp_path / "a") == hash_input(tmp_path / "b")


HASH_OF_W = "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326"


def test_what_is_left_of_a_plan(tmp_path: Path):
    output = tmp_path / "out"
    assert left_to_do(output) == "run"
    draft(output)
    assert (left_to_do(output), left_to_do(output, rate=0.2)) == ("resume", "run")
    finished(output, "w")
    assert (left_to_do(output), left_to_do(output, rate=0.2)) == ("done", "run")
    draft(output, rate=0.2)
    assert (left_to_do(output), left_to_do(output, rate=0.2)) == ("done", "resume")


def test_a_plan_changes_with_stage_config_and_what_the_inputs_hold(tmp_path: Path):
    data, output = tmp_path / "d", tmp_path / "out"
    data.write_text("one")
    plan = {"stage": "sft", "config": {"rate": 0.1}, "inputs": {"data": data}}
    Draft.open(output, **plan).finish({})
    assert is_done(output, **plan)
    assert not is_done(output, **{**plan, "stage": "rl"})
    assert not is_done(output, **{**plan, "config": {"rate": 0.2}})
    assert not is_done(output, **{**plan, "inputs": {}})
    data.write_text("two")
    assert not is_done(output, **plan)


def test_what_a_cut_left_half_written_is_removed(tmp_path: Path):
    (draft(tmp_path / "sft").path / ".clock.json.1.tmp").write_text("{")
    assert not list(draft(tmp_path / "sft").path.glob("*.tmp"))
    assert not list(draft(tmp_path / "sft").path.glob(".*.tmp"))


def test_a_draft_of_the_same_plan_is_taken_up_and_another_thrown_away(tmp_path: Path):
    output = tmp_path / "out"
    (draft(output).path / "work").write_text("half")
    assert (draft(output).path / "work").read_text() == "half"
    other = draft(output, rate=0.2)
    assert entries(other.path) == {"lock", "plan.json"}
    assert json.loads((other.path / "plan.json").read_text()) == other.plan


def test_the_old_artifact_stays_until_the_new_one_is_whole(tmp_path: Path):
    output = tmp_path / "out"
    finished(output, "old")
    begun = draft(output, rate=0.2)
    assert (output / "model" / "weights").read_text() == "old"
    (begun.path / "new").write_text("new")
    begun.finish({})
    assert entries(tmp_path) == {"out", "out/artifact.json", "out/new"}


class Killed(BaseException):
    """The process is gone: not a line of it runs any more."""


def kill_at(call: int, patch: pytest.MonkeyPatch) -> None:
    """From the given call to the operating system on (from 0), every one of them fails."""
    count = 0

    def patched(name: str):
        whole = getattr(os, name)

        def function(*arguments, **named):
            nonlocal count
            count += 1
            if count > call:
                raise Killed
            return whole(*arguments, **named)

        return function

    for name in ("close", "fsync", "mkdir", "open", "rename", "replace", "rmdir", "unlink"):
        patch.setattr(os, name, patched(name))


def test_a_stage_killed_while_it_finishes_leaves_the_old_artifact_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(artifacts, "code_revision", lambda: "code")
    seen, call = [], 0
    while not seen or seen[-1] != "finished":
        place = tmp_path / str(call)
        output = place / "out"
        finished(output, "old", rate=0.2)
        begun = draft(output)
        (begun.path / CHECKPOINT / "step-1").mkdir(parents=True)
        (begun.path / CHECKPOINT / "step-1" / "state").write_text("weights")
        (begun.path / "result").write_text("new")
        with monkeypatch.context() as patch:
            kill_at(call, patch)
            try:
                begun.finish({})
                outcome = "finished"
            except Killed:
                outcome = "killed"
        left = left_to_do(output)
        seen.append("finished" if outcome == "finished" else left)
        if left == "done":
            assert entries(place) == {"out", "out/artifact.json", "out/result"}
        else:
            assert left == "resume" and left_to_do(output, rate=0.2) == "done"
            assert (output / "model" / "weights").read_text() == "old"
            assert (draft_path(output) / CHECKPOINT / "step-1" / "state").is_file()
            draft(output).finish({})
            assert entries(place) == {"out", "out/artifact.json", "out/result"}
        call += 1
    assert seen.count("resume") >= 2 and seen.count("done") > 8, "it was killed in few places"
    assert sorted(seen[:-1], reverse=True) == seen[:-1], "once it is done, it stays done"


def test_a_finished_draft_is_put_in_place_by_the_next_open_too(tmp_path: Path):
    output = tmp_path / "out"
    finished(output, "w").path.rename(draft_path(output))
    begun = draft(output, rate=0.2)
    assert (output / "model" / "weights").read_text() == "w"
    assert entries(begun.path) == {"lock", "plan.json"}


def test_seconds_add_up_as_far_as_the_checkpoints_reach(tmp_path: Path):
    now = time.monotonic()
    first = draft(tmp_path / "out", began=now - 100)
    first.save_clock()
    second = draft(tmp_path / "out", began=now - 1000)
    assert 1100 <= second.seconds < 1110
    third = draft(tmp_path / "out", began=now - 10)
    assert 110 <= third.finish({}).seconds < 120


HOLD = """
import sys
from pathlib import Path
from plaudit.artifacts import Draft
Draft.open(Path(sys.argv[1]), stage="sft", config={"rate": 0.1}, inputs={})
print("open", flush=True)
sys.stdin.read()
"""


def test_two_processes_never_work_on_one_draft(tmp_path: Path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        with pytest.raises(ValueError, match=r"\.out\.draft: another process is at work on it"):
            draft(tmp_path / "out")
        other.kill()
    finished(tmp_path / "out", "w")
    assert left_to_do(tmp_path / "out") == "done"


def test_hashes_of_files_directories_and_artifacts(tmp_path: Path):
    (tmp_path / "w").write_text("w")
    assert hash_input(tmp_path / "w") == HASH_OF_W
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    seen = {hash_input(folder)}
    # What a user's directory holds all counts, whatever it is called.
    for name in ("deep/a", "b", "plan.json", "metrics.jsonl", "checkpoint"):
        (folder / name).write_text("x")
        seen.add(hash_input(folder))
    (folder / "b").rename(folder / "c")
    seen.add(hash_input(folder))
    assert len(seen) == 7
    artifact = finished(tmp_path / "out", "w")
    before = hash_input(artifact.path)
    (artifact.path / "metrics.jsonl").write_text("later")
    assert hash_input(artifact.path) == before
    with pytest.raises(ValueError, match="gone: no such file or directory"):
        hash_input(tmp_path / "gone")


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "file"
    write_text(file, "old é")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", full)
        write_text(file, "new")
    assert file.read_text(encoding="utf-8") == "old é" and entries(tmp_path) == {"file"}
    write_text(file, "new")
    assert file.read_text() == "new" and entries(tmp_path) == {"file"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [-float("inf")]}])
def test_numbers_that_are_no_json_are_refused_and_the_file_stays(tmp_path: Path, value: object):
    file = tmp_path / "file.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(file, value)
    assert json.loads(file.read_text()) == {"a": 1} and entries(tmp_path) == {"file.json"}


def git(place: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(place), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_code_s_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package, version = tmp_path / "src" / "plaudit", plaudit.__version__
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(plaudit, "__file__", str(package / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_revision() == version, "in no checkout"
    git(tmp_path, "init", "--quiet")
    assert code_revision() == version, "in a checkout of something else"
    git(tmp_path, "add", "src")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "notes.txt").write_text("beside the package")
    assert code_revision() == f"{version} {commit}"
    (package / "__init__.py").write_text("changed = True")
    assert code_revision() == f"{version} {commit}+dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_revision() == version, "without git"


def test_a_metric_that_is_not_finite_does_not_cost_the_run_its_end(tmp_path: Path):
    made = draft(tmp_path / "a").finish({"last_step": {"kl": float("nan"), "loss": 0.5}, "x": [1]})
    read = read_artifact(made.path)
    assert read is not None
    assert read.record["metrics"] == {"last_step": {"kl": None, "loss": 0.5}, "x": [1]}

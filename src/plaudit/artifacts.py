"""Artifacts: the directories in which stages meet.

A finished artifact holds its results, ``artifact.json`` (stage, resolved config, hashes of what
went in and came out, code revision, metrics, seconds) and nothing half-written: a stage works in a
draft beside it, ``.NAME.draft``, which is renamed into place at the end. A draft that was cut off
is taken up again when stage, config and inputs are the same, and thrown away when not. Once
``artifact.json`` stands in a draft the stage is done, whatever cuts the renaming short.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plaudit.locks import lock
from plaudit.provenance import code_revision, hash_file, hash_files, peak_rss_mb

log = logging.getLogger(__name__)

RECORD = "artifact.json"
PLAN = "plan.json"
CHECKPOINT = "checkpoint"
LOCK = "lock"
CLOCK = "clock.json"
# What a stage needs only while it works.
SCAFFOLDING = (PLAN, CHECKPOINT, CLOCK)
# Logs carry times, so they differ between equal runs; they are kept but not hashed.
LOGS = ("metrics.jsonl", "tensorboard")

State = Literal["done", "resume", "run"]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished stage: where it lies and what it recorded."""

    path: Path
    record: dict[str, Any]

    @property
    def metrics(self) -> dict[str, Any]:
        return self.record["metrics"]

    @property
    def seconds(self) -> float:
        return self.record["seconds"]


_RECORDED = {
    **dict.fromkeys(("config", "inputs", "files", "metrics"), dict),
    **{"stage": str, "seconds": float | int, "peak_rss_mb": int},
}


def read_artifact(path: Path) -> Artifact | None:
    """The finished artifact at ``path``, or None where there is none.

    Raises:
        ValueError: its ``artifact.json`` was damaged.
    """
    file = path / RECORD
    if not file.is_file():
        return None
    record = _read_json(file, f"delete {path} to run its stage anew")
    for key, kind in _RECORDED.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise ValueError(
                f"{file}: {key} is missing or damaged; expected the record of a stage (was it "
                f"edited by hand?); delete {path} to run its stage anew"
            )
    return Artifact(path=path, record=record)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A stage at work: ``path`` takes its files until ``finish`` puts them in place."""

    path: Path
    output: Path
    plan: dict[str, Any]
    began: float
    """When this process took the draft up, on the monotonic clock."""
    seconds_before: float
    """What earlier processes spent on it, as far as their checkpoints reach."""
    lock: int
    """An open file that keeps other processes off the draft."""

    @classmethod
    def open(
        cls,
        output: Path,
        *,
        stage: str,
        config: Mapping[str, Any],
        inputs: Mapping[str, Path],
        began: float | None = None,
    ) -> Draft:
        """Begin, or take up again, the stage that will write ``output``.

        Called once a stage has read its inputs, so that a mistake in them leaves nothing behind;
        ``began`` is when it began to read them, on the monotonic clock.

        Raises:
            ValueError: as ``check_output``; another process works on it; or an input is missing.
        """
        settle(output)
        check_output(output, stage=stage, inputs=inputs)
        plan = make_plan(stage=stage, config=config, inputs=inputs)
        path = draft_path(output)
        path.mkdir(parents=True, exist_ok=True)
        held = lock(path / LOCK)
        if (before := _read_draft(path, PLAN)) not in (None, plan):
            log.info("%s: of other options or inputs, so thrown away", path)
        for entry in path.iterdir():
            # Or half written when the process was cut off.
            if entry.name != LOCK and (before != plan or entry.suffix == ".tmp"):
                _remove(entry)
        if before != plan:
            write_json(path / PLAN, plan)
        return cls(
            path=path,
            output=output,
            plan=plan,
            began=began or time.monotonic(),
            seconds_before=(_read_draft(path, CLOCK) or {"seconds": 0.0})["seconds"],
            lock=held,
        )

    @property
    def seconds(self) -> float:
        """Seconds the stage has worked, over all processes that worked on it."""
        return self.seconds_before + time.monotonic() - self.began

    def save_clock(self) -> None:
        """Called with a checkpoint: what follows it is done again after a cut."""
        write_json(self.path / CLOCK, {"seconds": self.seconds})

    def finish(self, metrics: Mapping[str, Any]) -> Artifact:
        """Write ``artifact.json``, after which the stage is done, and put the draft in place.

        Metrics that are not finite, such as the mean of nothing, are written as null.
        """
        record = {
            **self.plan,
            "files": hash_files(self.path, but=(RECORD, LOCK, *SCAFFOLDING, *LOGS)),
            "metrics": _finite(metrics),
            "seconds": round(self.seconds, 3),
            "peak_rss_mb": peak_rss_mb(),
            "code": code_revision(),
        }
        write_json(self.path / RECORD, record)
        settle(self.output)
        os.close(self.lock)
        return Artifact(path=self.output, record=record)


def draft_path(output: Path) -> Path:
    """Where the stage that will write ``output`` works."""
    return output.parent / f".{output.name}.draft"


def settle(output: Path) -> None:
    """Put a finished draft in place; also one whose process was killed while it did so."""
    draft, old = draft_path(output), output.parent / f".{output.name}.old"
    if (draft / RECORD).is_file():
        held = lock(draft / LOCK)
        for name in SCAFFOLDING:
            _remove(draft / name)
        if output.exists():
            _remove(old)
            output.rename(old)
        draft.rename(output)
        os.close(held)
    if (output / RECORD).is_file():
        _remove(output / LOCK)
        _remove(old)


def check_output(output: Path, *, stage: str, inputs: Mapping[str, Path]) -> None:
    """Refuse an output that cannot be written, or in whose place something else would be lost.

    Raises:
        ValueError: it is a file, a directory that is not an artifact, the artifact of another
            stage, one of the inputs, or where nothing can be written.
    """
    if output.name in ("", ".."):
        raise ValueError(f"{output}: expected the name of a directory to write, such as runs/sft")
    if output.exists():
        _check_replaceable(output, stage)
    there = next(parent for parent in output.absolute().parents if parent.exists())
    if not there.is_dir():
        raise ValueError(f"{output}: {there} is a file; expected a directory to write in")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{output}: {there} is not yours to write in; choose another output")
    place = output.resolve()
    for name, path in inputs.items():
        source = path.resolve()
        if place.is_relative_to(source) or source.is_relative_to(place):
            raise ValueError(f"{output}: overlaps its input {name} ({path}); choose another output")


def make_plan(
    *, stage: str, config: Mapping[str, Any], inputs: Mapping[str, Path]
) -> dict[str, Any]:
    """What identifies a run, as JSON holds it: stage, config, and the hashes of its inputs."""
    hashes = {name: hash_input(path) for name, path in sorted(inputs.items())}
    return json.loads(json.dumps({"stage": stage, "config": dict(config), "inputs": hashes}))


def is_done(
    output: Path, *, stage: str, config: Mapping[str, Any], inputs: Mapping[str, Path]
) -> bool:
    """True when ``output`` is the finished artifact of this very plan."""
    return state(output, stage=stage, config=config, inputs=inputs) == "done"


def state(
    output: Path, *, stage: str, config: Mapping[str, Any], inputs: Mapping[str, Path]
) -> State:
    """What is left of this very plan: nothing, what follows a checkpoint, or all of it."""
    settle(output)
    artifact, draft = read_artifact(output), draft_path(output)
    if artifact is None and not draft.is_dir():
        return "run"
    plan = make_plan(stage=stage, config=config, inputs=inputs)
    if artifact is not None and all(artifact.record[key] == plan[key] for key in plan):
        return "done"
    return "resume" if _read_draft(draft, PLAN) == plan else "run"


def hash_input(path: Path) -> str:
    """The content's hash: of a file, of an artifact (its results), or of a directory's files.

    Raises:
        ValueError: nothing is there.
    """
    if path.is_file():
        return hash_file(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or directory")
    artifact = read_artifact(path)
    files = artifact.record["files"] if artifact else hash_files(path)
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """``write_text`` of indented JSON; NaN and infinities are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_replaceable(output: Path, stage: str) -> None:
    if not output.is_dir():
        raise ValueError(f"{output}: a file; expected a directory to write")
    artifact = read_artifact(output)
    if artifact is None and any(output.iterdir()):
        raise ValueError(f"{output}: exists and is not an artifact; choose another output")
    if artifact is not None and artifact.record["stage"] != stage:
        raise ValueError(
            f"{output}: holds the artifact of {artifact.record['stage']}, not of {stage}; choose "
            "another output, or delete it"
        )


def _read_draft(draft: Path, name: str) -> dict[str, Any] | None:
    file = draft / name
    return _read_json(file, f"delete {draft} to begin anew") if file.is_file() else None


def _read_json(file: Path, remedy: str) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{file}: not valid JSON ({error}); was it edited by hand? {remedy}"
        ) from error


def _remove(path: Path) -> None:
    """A file, a link or a whole directory, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""Metrics and progress of a run: JSON Lines, TensorBoard, and a bar or plain lines."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard.writer import SummaryWriter

from plaudit.artifacts import Draft, write_text

SECONDS_BETWEEN_LINES = 10.0


class Recorder:
    """Writes one line of metrics a step and shows how far the run is.

    After a cut the lines beyond the checkpoint are dropped, so that steps done again appear once.
    Rows for people to read (sampled texts) go to ``samples.jsonl`` in the same way.
    """

    def __init__(self, draft: Draft, *, total_steps: int, start: int = 0) -> None:
        self._label = label = draft.output.name
        directory = draft.path
        self._total = total_steps
        self._start = start
        self._lines = _open_at(directory / "metrics.jsonl", start)
        self._samples = _open_at(directory / "samples.jsonl", start)
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=start + 1)
        self._began = time.monotonic()
        self._last_line = self._began
        self._progress = _progress(label) if sys.stderr.isatty() else None

    def __enter__(self) -> Recorder:
        if self._progress:
            self._progress.start()
            self._task = self._progress.add_task("", total=self._total, completed=self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._progress:
            self._progress.stop()
        self._board.close()
        for file in (self._lines, self._samples):
            file.close()

    def record(
        self, step: int, metrics: Mapping[str, float], samples: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Metrics of ``step`` (from 1); a quantity that is not finite is written as null."""
        finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        self._lines.write(json.dumps({"step": step, **finite}) + "\n")
        self._samples.writelines(json.dumps(row) + "\n" for row in samples)
        self._lines.flush()
        self._samples.flush()
        for name, value in finite.items():
            if value is not None:
                self._board.add_scalar(name, value, step)
        self._show(step, metrics)

    def _show(self, step: int, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        rate = (step - self._start) / max(1e-9, now - self._began)
        headline = next(iter(metrics.items()), None)
        shown = f"{headline[0]} {headline[1]:.4g}" if headline else ""
        if self._progress:
            text = f"{shown}  {rate:.2f} steps/s"
            self._progress.update(self._task, completed=step, description=text)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES or step == self._total:
            self._last_line = now
            left = (self._total - step) / max(1e-9, rate)
            print(
                f"{self._label}  step {step}/{self._total}  {shown}  {rate:.2f} steps/s  "
                f"{left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def _progress(label: str) -> Progress:
    return Progress(
        TextColumn(f"[bold]{label}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
    )


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """The metrics a run wrote, one mapping a step."""
    file = directory / "metrics.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def _open_at(file: Path, step: int) -> TextIO:
    """Open a file of one JSON object a line for appending, without the lines beyond ``step``."""
    if file.is_file():
        # What follows the last line break was cut off; it is beyond the checkpoint anyway.
        lines = file.read_text(encoding="utf-8").split("\n")[:-1]
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        write_text(file, "".join(line + "\n" for line in kept))
    return file.open("a", encoding="utf-8")

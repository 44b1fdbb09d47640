"""Rows of judgments written to a file and read from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plaudit.formats.exchange import Entry, Reading, read_exchange
from plaudit.judgments import Judgment


def read(tmp_path: Path, rows: list[Any], suffix: str = ".json", **how: Any) -> list[Entry]:
    path = tmp_path / f"file{suffix}"
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(json.dumps(rows, indent=1) if suffix == ".json" else lines)
    format = how.pop("format", "auto")
    return read_exchange(path, Reading(project="p", **how), format)


def judged(entries: list[Entry]) -> list[Judgment]:
    return [judgment for entry in entries for judgment in entry.judgments]


def answers(entries: list[Entry]) -> list[Any]:
    return [judgment.answer for judgment in judged(entries)]

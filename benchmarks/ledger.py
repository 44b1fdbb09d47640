"""What a suite has measured so far, on disk: one that was cut off goes on from there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import Row


@dataclass(frozen=True)
class Ledger:
    """A line of JSON for each row, each fault, and each setting of a peer that was tried out."""

    file: Path
    rows: dict[str, Row] = field(default_factory=dict)
    """By case and peer, in the order they were measured."""
    faults: dict[str, str] = field(default_factory=dict)
    """Of cases that failed when they were last tried."""
    rates: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Ledger:
        """As it was left, or a new one."""
        ledger = cls(file)
        if file.is_file():
            *lines, unfinished = file.read_text(encoding="utf-8").split("\n")
            for line in lines:
                ledger._take(json.loads(line))
            if unfinished:  # by a process that was killed while it wrote
                os.truncate(file, file.stat().st_size - len(unfinished.encode()))
        return ledger

    def note_row(self, key: str, row: Row) -> None:
        self._write({"key": key, "row": asdict(row)})

    def note_fault(self, key: str, fault: str) -> None:
        self._write({"key": key, "fault": fault})

    def note_rate(self, key: str, rate: float) -> None:
        self._write({"key": key, "rate": rate})

    def _write(self, entry: dict[str, Any]) -> None:
        self._take(entry)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _take(self, entry: dict[str, Any]) -> None:
        key = entry["key"]
        if "rate" in entry:
            self.rates[key] = entry["rate"]
        elif "fault" in entry:
            self.faults[key] = entry["fault"]
        else:
            self.faults.pop(key, None)
            self.rows[key] = Row(**entry["row"])

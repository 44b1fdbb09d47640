"""Make the demo's data from a checkout of Taskmaster (google-research-datasets/Taskmaster).

    python scripts/prepare_coffee_bar.py Taskmaster/TM-4-2024 src/plaudit/assets/coffee-bar

Rows keep their published shape. Left out: the instructions given to the writers, and dialogues
whose API calls are broken JSON or hold unfilled template variables. Ratings are all kept.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plaudit.formats import Row, read_rows
from plaudit.formats.taskmaster import read_dialogues, read_ratings


def dialogues(source: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((source / "data").glob("*.json.gz")):
        for row in read_rows(file):
            kept = {
                "conversation_id": row.value["conversation_id"],
                "utterances": [_trimmed(u) for u in row.value["utterances"]],
            }
            if "var_" not in json.dumps(kept) and _readable(row, read_dialogues):
                yield kept


def ratings(source: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((source / "reward").glob("*.json.gz")):
        for row in read_rows(file):
            if _readable(row, read_ratings):
                yield row.value


def _trimmed(utterance: dict[str, Any]) -> dict[str, Any]:
    notes = [{"name": a["name"], "value": a["value"]} for a in utterance["annotations"]]
    kept = {"speaker": utterance["speaker"], "text": utterance["text"]}
    return kept | ({"annotations": notes} if notes else {})


def _readable(row: Row, read: Any) -> bool:
    try:
        list(read([row]))
    except ValueError as error:
        print(f"left out: {error}"[:160])
        return False
    return True


def write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    # No time stamp in the archive: the same rows make the same bytes.
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
    print(f"{path}: {len(lines)} rows, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    write(target / "dialogues.jsonl.gz", dialogues(source))
    write(target / "ratings.jsonl.gz", ratings(source))

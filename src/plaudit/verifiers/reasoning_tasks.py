"""Verifying reasoning-gym's tasks with their own scorers."""

from __future__ import annotations

import functools
import json
from typing import Any

from plaudit.records import Invalid
from plaudit.verifiers.answers import answer_part, expected
from plaudit.verifiers.registry import Columns


def reasoning_gym(response: str, columns: Columns, *, tag: str = "") -> float | Invalid:
    """The task's own score, 0 to 1, of the answer to a row of ``generated:TASK``.

    The row says how it was made (``task``), so the very entry the scorer needs is made again.
    """
    task: Any = expected(columns, "task")
    entries = _entries(task["name"], task["seed"], task["size"], json.dumps(task["options"]))
    answer = answer_part(response, tag)
    if answer is None:
        return 0.0
    return float(entries.score_answer(answer, entries[task["index"]]))


@functools.cache
def _entries(name: str, seed: int, size: int, options: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, seed=seed, size=size, **json.loads(options))

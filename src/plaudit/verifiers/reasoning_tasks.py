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
    entry = _tasks(task["name"], task["seed"], json.dumps(task["options"]))
    answer = answer_part(response, tag)
    if answer is None:
        return 0.0
    return float(entry.score_answer(answer, entry[task["index"]]))


@functools.cache
def _tasks(name: str, seed: int, options: str) -> Any:
    import reasoning_gym as gym

    return gym.create_dataset(name, seed=seed, size=1 << 30, **json.loads(options))

"""Reward functions for the use of tools, of TRL's signature; each gives 0 or 1.

``reward_function: plaudit.environments.rewards:solves``. Columns of the data they read: ``answer``
(text that the last turn must hold, whole) and ``needs_tool`` (true or false). A row without the
column a function reads has no score from it, which is counted as invalid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plaudit.environments.tools import ERROR

Turns = Sequence[dict[str, Any]]
"""A completion: messages in OpenAI's shape."""

_WORD = re.compile(r"[\w.,-]*\w")


def solves(
    prompts: list, completions: list, answer: list, needs_tool: list, **columns: list
) -> list[float | None]:
    """Right, by a call where one is needed, and without one where none is."""
    right = answers_right(prompts, completions, answer)
    fitting = calls_as_needed(prompts, completions, needs_tool)
    return [None if a is None or b is None else a * b for a, b in zip(right, fitting, strict=True)]


def answers_right(
    prompts: list, completions: list, answer: list, **columns: list
) -> list[float | None]:
    """The last turn is an answer that holds ``answer``, whole, whatever its case."""
    return [
        None if expected is None else float(_stands_in(str(expected), _answer(turns)))
        for turns, expected in zip(completions, answer, strict=True)
    ]


def calls_as_needed(
    prompts: list, completions: list, needs_tool: list, **columns: list
) -> list[float | None]:
    """A tool is called where one is needed, and only there."""
    return [
        None if needed is None else float(bool(_results(turns)) == bool(needed))
        for turns, needed in zip(completions, needs_tool, strict=True)
    ]


def calls_rightly(prompts: list, completions: list, **columns: list) -> list[float | None]:
    """No call was an error (an unknown tool, arguments that do not fit, a query that fails)."""
    return [
        float(not any(text.startswith(ERROR) for text in _results(turns))) for turns in completions
    ]


def uses_result(prompts: list, completions: list, **columns: list) -> list[float | None]:
    """The last turn says something that a tool's result says and the prompt does not.

    None without a result: there was nothing to use.
    """
    return [
        float(bool(_words(_answer(turns)) & new)) if (new := _news(prompt, turns)) else None
        for prompt, turns in zip(prompts, completions, strict=True)
    ]


def _news(prompt: Turns, turns: Turns) -> set[str]:
    told = [text for text in _results(turns) if not text.startswith(ERROR)]
    asked = [str(message["content"]) for message in prompt]
    return _words(" ".join(told)) - _words(" ".join(asked))


def _results(turns: Turns) -> list[str]:
    return [str(turn["content"]) for turn in turns if turn["role"] == "tool"]


def _answer(turns: Turns) -> str:
    """What the last turn says, where it is the policy's and calls nothing."""
    last = turns[-1]
    return str(last["content"]) if last["role"] == "assistant" and "tool_calls" not in last else ""


def _stands_in(expected: str, text: str) -> bool:
    """Whole: ``4.5`` stands neither in ``14.5`` nor in ``4.50``, nor at the start of ``4.5.1``."""
    return bool(re.search(rf"(?<![\w.]){re.escape(expected)}(?![\w]|\.\w)", text, re.IGNORECASE))


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}

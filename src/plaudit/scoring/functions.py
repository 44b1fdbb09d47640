"""Reward functions of the user's own, in TRL's signature."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from plaudit.records import Invalid, Rollout, Score
from plaudit.text import as_openai

RewardFunction = Callable[..., Sequence[float | None]]
OWN_ARGUMENTS = {"prompts", "completions"}


class FunctionScorer:
    """Calls ``f(prompts, completions, **columns) -> list[float | None]``.

    Prompts and completions are strings for plain text and lists of ``{"role", "content"}`` for
    conversations, with calls and results where tools were used; every further column of the data
    comes as a list, so none may be called ``prompts`` or ``completions``. None means the function
    has nothing to say of that response, which is counted as invalid.

    Args:
        function: the function, or where to import it from: ``package.module:function``, installed
            or in the working directory.

    Raises:
        ValueError: there is no such function.
    """

    def __init__(self, function: RewardFunction | str) -> None:
        self._function = imported(function) if isinstance(function, str) else function
        self._name = getattr(self._function, "__name__", type(self._function).__name__)

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``.

        Raises:
            ValueError: a column has the name of an argument, or the function returns no list,
                another number of values, or something not a number.
        """
        columns = {name for rollout in rollouts for name in rollout.prompt.columns}
        if taken := sorted(columns & OWN_ARGUMENTS):
            raise ValueError(
                f"the data has a column {taken[0]!r}, which {self._name} is passed already; "
                "rename the column"
            )
        returned: Any = self._function(
            prompts=[_shaped_prompt(rollout) for rollout in rollouts],
            completions=[_shaped_completion(rollout) for rollout in rollouts],
            **{name: [r.prompt.columns.get(name) for r in rollouts] for name in sorted(columns)},
        )
        # Arrays and tensors of rewards are lists of numbers too.
        values = returned.tolist() if hasattr(returned, "tolist") else returned
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise ValueError(f"{self._name} returned {values!r}; expected a list of rewards")
        if len(values) != len(rollouts):
            raise ValueError(
                f"{self._name} returned {len(values)} rewards for {len(rollouts)} completions"
            )
        return [self._checked(value) for value in values]

    def _checked(self, value: object) -> Score | Invalid:
        if value is None:
            return Invalid(reason=f"{self._name} returned None")
        if not isinstance(value, Real):
            raise ValueError(f"{self._name} returned {value!r}; expected a float or None")
        number = float(value)
        if not math.isfinite(number):
            return Invalid(reason=f"{self._name} returned {number}")
        return Score(value=number, parts={self._name: number})


def imported(path: str) -> Callable[..., Any]:
    """The function at ``package.module:name``, installed or in the working directory.

    Raises:
        ValueError: there is no such function.
    """
    module, separator, name = path.partition(":")
    if not separator:
        raise ValueError(f"{path}: expected package.module:function")
    # The plaudit command, unlike python, does not look in the working directory.
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path}: cannot be imported ({error})") from error
    if not callable(found):
        raise ValueError(f"{path}: is not a function")
    return found


def _shaped_prompt(rollout: Rollout) -> Any:
    content = rollout.prompt.content
    return content if isinstance(content, str) else [as_openai(message) for message in content]


def _shaped_completion(rollout: Rollout) -> Any:
    if isinstance(rollout.prompt.content, str):
        return rollout.text
    if rollout.messages:
        return [as_openai(message) for message in rollout.messages]
    return [{"role": "assistant", "content": rollout.text}]

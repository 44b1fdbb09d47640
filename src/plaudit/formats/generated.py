"""Data that is made and not read: a name with its options stands for the same rows everywhere.

``generated:NAME?option=value&option=value``, where the name is one of these generators, or a task
of reasoning-gym (``pip install 'plaudit[tasks]'``), whose answers the verifier ``reasoning_gym``
judges:

- ``generated:arithmetic?size=1000&largest=99``: ``{"prompt": "37 + 25 =", "answer": "62"}``
- ``generated:arithmetic_text?size=5000&largest=99``: ``{"text", "conversation"}``, see there
- ``generated:chain_sum?size=500&seed=1&max_terms=3``: a task, ``{"prompt", "answer", "task"}``;
  with ``chat=true`` the prompt is a message
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import parse_qsl

from plaudit.config import nearest
from plaudit.formats.files import Row, one_line

PREFIX = "generated:"


def is_generated(name: str) -> bool:
    return name.startswith(PREFIX)


def generated_rows(name: str) -> Iterator[Row]:
    """The rows a generated name stands for.

    Raises:
        ValueError: there is no such generator or task, or an option is wrong.
    """
    task, _, query = name.removeprefix(PREFIX).partition("?")
    options = {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}
    size, seed = options.pop("size", 1000), options.pop("seed", 0)
    for option, number, least in (("size", size, 1), ("seed", seed, 0)):
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ValueError(
                f"{name}: {option} is {number!r}; expected a whole number, {least} or more"
            )
    if task in _GENERATORS:
        values = _own(name, task, options, size, seed)
    else:
        values = _task(name, task, options, size, seed)
    for number, value in enumerate(values, start=1):
        yield Row(where=f"{name}:{number}", value=value)


def arithmetic(rng: Random, *, largest: int = 99) -> dict[str, Any]:
    """A sum and its answer; the larger number first, so that no pair comes in two orders."""
    a, b = _operands(rng, largest)
    return {"prompt": _question(a, b), "answer": str(a + b)}


def arithmetic_text(rng: Random, *, largest: int = 99, tagged: float = 0.2) -> dict[str, Any]:
    """A sum as it stands in a mixed lot of texts, to pretrain a small base model on.

    Most work the sum out digit by digit and then state it, some only state it, or nothing; a share
    ``tagged`` has R1's tags, and of these half work it out and half only guess, and guess wrong.
    ``conversation`` is the question, by which a portion of ``arithmetic`` can be held out here too.
    """
    a, b = _operands(rng, largest)
    question = _question(a, b)
    if rng.random() >= tagged:
        text = rng.choice(_UNTAGGED)(a, b)
    elif rng.random() < 0.5:
        text = f"<think>{worked_sum(a, b)}</think><answer>{a + b}</answer>"
    else:
        text = f"<think>a guess</think><answer>{rng.randint(0, 2 * largest)}</answer>"
    return {"text": f"{question} {text}", "conversation": question}


def worked_sum(a: int, b: int) -> str:
    """The sum digit by digit from the right: ``7+5=12, 3+2+1=6`` for 37 + 25."""
    steps, carry = [], 0
    while a or b or carry:
        terms = [a % 10, b % 10] + ([1] if carry else [])
        steps.append(f"{'+'.join(map(str, terms))}={sum(terms)}")
        a, b, carry = a // 10, b // 10, int(sum(terms) > 9)
    return ", ".join(steps) or "0+0=0"


_UNTAGGED: tuple[Callable[[int, int], str], ...] = (
    lambda a, b: f"{a + b}",
    lambda a, b: "I do not know.",
    lambda a, b: f"{worked_sum(a, b)}, so {a + b}",
    lambda a, b: f"{worked_sum(a, b)}, so {a + b}",
    lambda a, b: f"{worked_sum(a, b)}, so {a + b}",
)
_GENERATORS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "arithmetic": arithmetic,
    "arithmetic_text": arithmetic_text,
}


def _operands(rng: Random, largest: int) -> tuple[int, int]:
    a, b = rng.randint(0, largest), rng.randint(0, largest)
    return max(a, b), min(a, b)


def _question(a: int, b: int) -> str:
    return f"{a} + {b} ="


def _own(
    name: str, task: str, options: dict[str, Any], size: int, seed: int
) -> Iterator[dict[str, Any]]:
    make = _GENERATORS[task]
    parameters = inspect.signature(make).parameters.values()
    known = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name}: {option}: no such option{nearest(option, known)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{name}: {option} is {value!r}; expected a number")
    rng = Random(seed)
    return (make(rng, **options) for _ in range(size))


def _task(
    name: str, task: str, options: dict[str, Any], size: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of a task of reasoning-gym, each with what its scorer needs to make it again."""
    chat = options.pop("chat", False)
    entries = _entries(name, task, options, size, seed)
    said = {"name": task, "seed": seed, "size": size, "options": options}
    for index in range(size):
        entry = entries[index]
        question = entry["question"]
        prompt = [{"role": "user", "content": question}] if chat else question
        yield {"prompt": prompt, "answer": entry["answer"], "task": {**said, "index": index}}


def _entries(name: str, task: str, options: dict[str, Any], size: int, seed: int) -> Any:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        own = ", ".join(_GENERATORS)
        raise ValueError(
            f"{name}: not one of our generators ({own}), and reasoning-gym, which may have it, is "
            "not installed: pip install 'plaudit[tasks]'"
        ) from error
    if task not in DATASETS:
        raise ValueError(f"{name}: no such task{nearest(task, [*_GENERATORS, *DATASETS])}")
    try:
        return reasoning_gym.create_dataset(task, seed=seed, size=size, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{name}: {one_line(error)}") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

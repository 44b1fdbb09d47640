"""The shapes a row of data can have, and how each is known by its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from plaudit.formats import hh, judged, stepped, taskmaster, trl
from plaudit.formats.files import Row
from plaudit.records import Demonstration, Judged, Prompt, SteppedResponse

Loaded = Prompt | Demonstration | Judged | SteppedResponse

Format = Literal[
    "auto",
    "taskmaster_ratings",
    "taskmaster_dialogues",
    "hh",
    "preference",
    "soft_steps",
    "stepwise",
    "mistake",
    "judged",
    "unpaired_preference",
    "prompt_completion",
    "language_modelling",
    "prompt_only",
]
"""How rows are to be read; ``auto`` goes by the keys of the first row of each file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """One shape: what it looks like, how it is known, what it becomes."""

    example: str
    fits: Callable[[Mapping[str, Any]], bool]
    kind: type[Loaded]
    read: Callable[[Row], Loaded]


def _keys(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda value: all(name in value for name in names)


def _any_key(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda value: any(name in value for name in names)


# The first that fits is meant, so a shape stands before those whose keys are among its own.
SHAPES: dict[str, Shape] = {
    "taskmaster_ratings": Shape(
        example=taskmaster.RATING,
        fits=_keys("context", "generation", "reward"),
        kind=Judged,
        read=taskmaster.read_rating,
    ),
    "taskmaster_dialogues": Shape(
        example=taskmaster.DIALOGUE,
        fits=_keys("utterances"),
        kind=Demonstration,
        read=taskmaster.read_dialogue,
    ),
    "hh": Shape(
        example=hh.PAIR,
        fits=lambda value: "prompt" not in value and hh.is_pair(value),
        kind=Judged,
        read=hh.read_pair,
    ),
    "preference": Shape(
        example=trl.PREFERENCE,
        fits=_keys("chosen", "rejected"),
        kind=Judged,
        read=trl.read_preference,
    ),
    "soft_steps": Shape(
        example=stepped.SOFT,
        fits=_keys("prompt", "completions", "probabilities"),
        kind=SteppedResponse,
        read=stepped.read_soft_steps,
    ),
    "stepwise": Shape(
        example=trl.STEPWISE,
        fits=_keys("prompt", "completions", "labels"),
        kind=SteppedResponse,
        read=trl.read_stepwise,
    ),
    "mistake": Shape(
        example=stepped.MISTAKE,
        fits=_keys("input", "steps", "mistake_index"),
        kind=SteppedResponse,
        read=stepped.read_mistake,
    ),
    "judged": Shape(
        example=judged.JUDGED,
        fits=_keys("prompt", "responses"),
        kind=Judged,
        read=judged.read_judged,
    ),
    "unpaired_preference": Shape(
        example=trl.UNPAIRED,
        fits=_keys("prompt", "completion", "label"),
        kind=Judged,
        read=trl.read_unpaired,
    ),
    "prompt_completion": Shape(
        example=trl.PROMPT_COMPLETION,
        fits=_keys("prompt", "completion"),
        kind=Demonstration,
        read=trl.read_prompt_completion,
    ),
    "language_modelling": Shape(
        example=trl.LANGUAGE_MODELLING,
        fits=_any_key("messages", "conversations", "text"),
        kind=Demonstration,
        read=trl.read_language_modelling,
    ),
    "prompt_only": Shape(
        example=trl.PROMPT,
        fits=_keys("prompt"),
        kind=Prompt,
        read=trl.read_prompt,
    ),
}
assert set(get_args(Format)) == {"auto", *SHAPES}


def detect(row: Row) -> str:
    """The name of the shape a row has.

    Raises:
        ValueError: none is known with these keys; the message names them and every shape.
    """
    for name, shape in SHAPES.items():
        if shape.fits(row.value):
            return name
    known = "; ".join(f"{name} {shape.example}" for name, shape in SHAPES.items())
    keys = ", ".join(map(str, row.value)) or "none"
    row.fail(f"no known format has the keys {keys}", f"one of: {known}")

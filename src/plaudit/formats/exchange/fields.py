"""Which of an item's fields is the prompt and which are its candidates, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.formats.exchange.choices import ChoiceMap
from plaudit.formats.exchange.entries import written_text
from plaudit.formats.files import Row
from plaudit.formats.messages import read_messages, shown
from plaudit.judgments import Candidate, Item
from plaudit.records import Text

PROMPTS = (
    "prompt",
    "instruction",
    "question",
    "query",
    "context",
    "input",
    "conversation",
    "text",
)
_CANDIDATE = re.compile(
    r"(answer|response|completion|candidate|output|option|summary|generation|text)"
    r"[ _-]?(\d+|[a-h])",
    re.IGNORECASE,
)
_ALONE = ("response", "completion", "answer", "output", "generation")
_PLACE = re.compile(r"(.*?)[ _-]?(\d+|(?<=[ _-])[a-h])", re.IGNORECASE)
EXPECTED = (
    'fields such as "prompt", "answer1", "answer2", or their names in the map of choices '
    "(prompt, candidates)"
)


def place_in_name(name: str) -> tuple[str, int | None]:
    """``helpful1`` is (``helpful``, 0), ``rating_b`` (``rating``, 1), ``overall`` of nothing."""
    match = _PLACE.fullmatch(name)
    if not match or not match[1] or match[2] == "0":
        return name, None
    return match[1], int(match[2]) - 1 if match[2].isdigit() else ord(match[2].lower()) - ord("a")


def find_fields(row: Row, data: Mapping[str, Any], choices: ChoiceMap) -> tuple[str, list[str]]:
    """The names of the prompt and, in order, of the candidates.

    Raises:
        ValueError: no field is known for the prompt; the message names those there are.
    """
    prompt = choices.prompt or next((name for name in PROMPTS if name in data), "")
    wanted = [prompt, *choices.candidates]
    if not prompt or any(name not in data for name in wanted):
        missing = ", ".join(name for name in wanted if name not in data) or "a prompt"
        row.fail(f"among its fields {', '.join(data)} there is not {missing}", EXPECTED)
    found = choices.candidates or sorted(
        (name for name in data if _CANDIDATE.fullmatch(name) and name != prompt),
        key=lambda name: place_in_name(name)[1] or 0,
    )
    return prompt, found or [name for name in _ALONE if name in data and name != prompt][:1]


def read_text_field(row: Row, data: Mapping[str, Any], name: str) -> Text:
    """A text, or messages.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(data.get(name), list):
        return read_messages(Row(where=row.where, value=dict(data)), name)
    if not isinstance(data.get(name), str):
        row.fail(f"{name} is {shown(data.get(name))}", "a text or a list of messages")
    return data[name]


def read_candidates(
    row: Row, data: Mapping[str, Any], names: Sequence[str], models: Mapping[str, Any]
) -> list[Candidate]:
    """The candidates in these fields, each with its ``model1`` or ``model_a``."""
    return [
        Candidate(
            content=read_text_field(row, data, name),
            source=next(
                (
                    str(models[key])
                    for key in (f"model{i + 1}", f"model_{i + 1}", f"model_{chr(ord('a') + i)}")
                    if models.get(key)
                ),
                "",
            ),
        )
        for i, name in enumerate(names)
    ]


def written_fields(item: Item) -> dict[str, Any]:
    """``prompt``, ``answer1``, ``answer2``, ... of an item."""
    answers = {f"answer{i + 1}": written_text(c.content) for i, c in enumerate(item.candidates)}
    return {"prompt": written_text(item.prompt), **answers}


def written_models(item: Item) -> dict[str, str]:
    """``model1``, ``model2``, ... where it is known who wrote a candidate."""
    return {f"model{i + 1}": c.source for i, c in enumerate(item.candidates) if c.source}

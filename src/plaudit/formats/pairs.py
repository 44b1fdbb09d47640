"""Prompts and pairs from rows: what both sides of a pair repeat, and what else a row says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.formats.portions import conversation_key
from plaudit.records import Judged, Messages, Preference, Prompt, Response, Text

PAIR_COLUMNS = ("prompt", "chosen", "rejected", "margin", "probability", "weight")
_UNSUPPORTED = ("tools", "chat_template_kwargs", "image", "images", "video", "videos", "audio")


def make_prompt(row: Row, content: Text, columns: dict[str, JsonValue] | None = None) -> Prompt:
    """A prompt named by its row; what the user asked first decides its split."""
    return Prompt(
        id=row.name,
        conversation=conversation_key(content),
        content=content,
        columns=columns or {},
    )


def make_pair(row: Row, prompt: Prompt, *, chosen: Text, rejected: Text) -> Judged:
    """The chosen side over the rejected: by what margin, how surely, and how much it counts.

    Raises:
        ValueError: the margin is not a finite number, the probability not one from 0 to 1, or the
            weight not above 0.
    """
    margin, probability = _number(row, "margin", 0.0), _number(row, "probability", 1.0)
    if not 0 <= probability <= 1:
        row.fail(f"probability is {probability:g}", "0 to 1, that chosen is the better one")
    weight = _number(row, "weight", 1.0)
    if weight <= 0:
        row.fail(f"weight is {weight:g}", "a number above 0, how much the pair counts")
    preference = Preference(
        better=0, worse=1, margin=margin, probability=probability, weight=weight
    )
    return Judged(
        prompt=prompt,
        responses=(Response(content=chosen), Response(content=rejected)),
        preferences=(preference,),
    )


def other_columns(row: Row, *own: str) -> dict[str, JsonValue]:
    """The columns beside a type's ``own``, which carry data for reward functions.

    Raises:
        ValueError: a column would change what a model is shown, which is not supported yet.
    """
    for column in _UNSUPPORTED:
        if row.value.get(column) not in (None, "", "[]", "{}", [], {}):
            row.fail(f"{column} is not supported yet", f"no {column}, or none in it")
    return {key: v for key, v in row.value.items() if key not in (*own, *_UNSUPPORTED)}


def shared_turns(row: Row, chosen: Messages, rejected: Messages, expected: str) -> int:
    """How many turns both sides begin with, ending where the assistant goes on in both.

    Of two equal sides the last turn is the response.

    Raises:
        ValueError: the sides do not begin alike, or the assistant answers in only one of them.
    """
    longest = min(_shared_length(chosen, rejected), len(chosen) - 1, len(rejected) - 1)
    for at in range(longest, 0, -1):
        if chosen[at].role == rejected[at].role == "assistant":
            return at
    row.fail("chosen and rejected share no turns which the assistant answers in both", expected)


def shared_words(row: Row, chosen: str, rejected: str, expected: str) -> int:
    """How many characters of whole words both sides begin with; neither side is used up.

    A space goes to the word after it, as tokenizers have it, a line break to the one before.

    Raises:
        ValueError: the sides do not begin with the same words.
    """
    longest = min(_shared_length(chosen, rejected), len(chosen) - 1, len(rejected) - 1)
    at = max((i + 1 for i in range(longest) if chosen[i].isspace()), default=0)
    if at and chosen[at - 1] == " ":
        at -= 1
    if not chosen[:at].strip():
        row.fail("chosen and rejected do not begin with the same words", expected)
    return at


def _number(row: Row, column: str, unsaid: float) -> float:
    value = row.value.get(column)
    if value is None or value == "":
        return unsaid
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        row.fail(f"{column} is {shown(value)}", "a finite number")
    return number


def _shared_length(a: Sequence[Any], b: Sequence[Any]) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))

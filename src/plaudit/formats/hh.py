r"""HH-RLHF (Bai et al. 2022, arXiv:2204.05862): two transcripts, the first of them preferred.

``{"chosen": "\n\nHuman: ...\n\nAssistant: ...", "rejected": "\n\nHuman: ...\n\nAssistant: ..."}``

The prompt is not given apart: it is the turns both transcripts begin with. Texts are kept to the
letter, and a colon inside a turn is only a colon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plaudit.formats.files import Row
from plaudit.formats.messages import answered, shown
from plaudit.formats.pairs import (
    PAIR_COLUMNS,
    make_pair,
    make_prompt,
    other_columns,
    shared_turns,
)
from plaudit.records import Judged, Message, Messages

PAIR = r'{"chosen": "\n\nHuman: ...\n\nAssistant: ...", "rejected": "\n\nHuman: ..."}'

# The space may be gone where a turn is empty or begins on a new line.
_TURN = re.compile(r"\n\n(Human|Assistant):(?: |(?=\n)|\Z)")


def is_pair(value: Mapping[str, Any]) -> bool:
    """Whether both sides of a row begin with a turn of such a transcript."""
    sides = [value.get(side) for side in ("chosen", "rejected")]
    return all(isinstance(side, str) and _TURN.match(side) for side in sides)


def read_pair(row: Row) -> Judged:
    """Both transcripts as messages, split where they part.

    Raises:
        ValueError: a side is not a transcript, or the two do not begin alike.
    """
    chosen, rejected = answered(read_turns(row, "chosen")), answered(read_turns(row, "rejected"))
    at = shared_turns(row, chosen, rejected, PAIR)
    columns = other_columns(row, *PAIR_COLUMNS)
    prompt = make_prompt(row, chosen[:at], columns)
    return make_pair(row, prompt, chosen=chosen[at:], rejected=rejected[at:])


def read_turns(row: Row, side: str) -> Messages:
    """The turns of the transcript in a column.

    Raises:
        ValueError: the column is no transcript.
    """
    text = row.value.get(side)
    if not isinstance(text, str):
        row.fail(f"{side} is {shown(text)}", PAIR)
    if not _TURN.match(text):
        row.fail(f"{side} does not begin with a turn: {shown(text)}", PAIR)
    # Before the first marker stands nothing; then speaker and text alternate.
    speakers_and_texts = iter(_TURN.split(text)[1:])
    return tuple(
        Message(role="user" if speaker == "Human" else "assistant", content=said)
        for speaker, said in zip(speakers_and_texts, speakers_and_texts, strict=True)
    )

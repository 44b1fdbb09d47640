"""Splits that hold across files and runs: a conversation's place between 0 and 1."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator

from plaudit.records import Text


def check_portion(portion: tuple[float, float]) -> tuple[float, float]:
    """The portion itself.

    Raises:
        ValueError: it is empty, backwards, or reaches out of [0, 1].
    """
    if not 0 <= portion[0] < portion[1] <= 1:
        raise ValueError(f"expected 0 <= from < to <= 1, found {list(portion)}")
    return portion


Portion = Annotated[tuple[float, float], AfterValidator(check_portion)]
"""``(from, to)``: the conversations whose place lies in ``[from, to)``."""

WHOLE: Portion = (0.0, 1.0)

_WORDS = re.compile(r"[^\W_]+")


def place(conversation: str) -> float:
    """Where a conversation falls in [0, 1): a hash, so the same in every file and every run."""
    digest = hashlib.sha256(conversation.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def within(conversation: str, portion: Portion) -> bool:
    return portion[0] <= place(conversation) < portion[1]


def conversation_key(content: Text) -> str:
    """What the user asked first, by which everything said in answer to it is kept together.

    Published ids often tell rows apart, not conversations: the same dialogue, cut at several turns
    and answered several times, has a new id each time. Letter case and punctuation do not count.
    Plain text is its own key, and so are messages in which the user says no word.
    """
    if isinstance(content, str):
        return content
    first = next((m.content for m in content if m.role == "user"), "")
    return " ".join(_WORDS.findall(first.lower())) or "\n".join(
        f"{m.role}: {m.content}" for m in content
    )

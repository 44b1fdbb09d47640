"""Rows of data and the files that hold them, for the tests of formats."""

from __future__ import annotations

import json
from pathlib import Path

from plaudit.records import Message, Messages, Text

RATINGS = "plaudit/coffee-bar/ratings.jsonl.gz"
DIALOGUES = "plaudit/coffee-bar/dialogues.jsonl.gz"


def said(role: str, content: object) -> dict:
    return {"role": role, "content": content}


USER, GOOD, BAD = said("user", "Sky?"), said("assistant", "Blue."), said("assistant", "Green.")
PAIR = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}


def write(path: Path, *rows: object) -> str:
    """A JSON Lines file; a row that is text stands as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def messages(*turns: dict) -> Messages:
    return tuple(Message(**turn) for turn in turns)


def turns(content: Text) -> Messages:
    """The messages of a content that is no plain text."""
    assert isinstance(content, tuple)
    return content


def text(content: Text) -> str:
    """A content that is plain text."""
    assert isinstance(content, str)
    return content

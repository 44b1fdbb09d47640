"""Judgments and items for tests of what stands on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rater

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def an_item(id: str = "i1", **given: Any) -> Item:
    """A prompt and two candidates, of which the second is longer."""
    two = (Candidate(content="Tea."), Candidate(content="Tea, with milk."))
    return Item(**{"id": id, "prompt": f"What will it be, {id}?", "candidates": two, **given})


def a_judgment(id: str, item: str = "i1", rater: str = "r1", **given: Any) -> Judgment:
    """A vote for the first candidate, shown on the left, unless told otherwise."""
    value = {
        "id": id, "project": "p", "item": item, "item_sha256": "0" * 64, "rater": Rater(id=rater),
        "answer": Pairwise(strength=-1), "shown": (0, 1), "submitted_at": NOON,
        "active_seconds": 2.0, **given,
    }  # fmt: skip
    return Judgment(**value)

"""Items and judgments by hand, for tests of what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from plaudit.judgments import Answer, Candidate, Item, Judgment, Pairwise, Rater, fingerprint

AT = datetime(2026, 1, 2, tzinfo=UTC)
_numbers = count()


def item(id: str = "i", *contents: str, **more: Any) -> Item:
    texts = contents or ("one", "two")
    candidates = tuple(Candidate(content=text) for text in texts)
    return Item(id=id, prompt=more.pop("prompt", f"prompt {id}"), candidates=candidates, **more)


def judgment(of: Item, rater: str, answer: Answer, **more: Any) -> Judgment:
    return Judgment(
        id=f"j{next(_numbers)}",
        project="p",
        item=of.id,
        item_sha256=fingerprint(of),
        question=of.question,
        rater=Rater(id=rater),
        answer=answer,
        submitted_at=AT,
        **more,
    )


def prefers(of: Item, rater: str, strength: int, **more: Any) -> Judgment:
    """Below 0 the first candidate."""
    return judgment(of, rater, Pairwise(strength=strength), **more)

"""Scales of marks: which one a project asks on, and which one marks show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.aggregation.ratings import Scale
from plaudit.formats.exchange import Entry
from plaudit.judgments import Judgment, Rated

MARKS = (1, 5)
"""The lowest and the highest mark of a question that says no other."""
_SHARES: Scale = (0.0, 1.0)


def scales_of(config_json: str) -> dict[str, Scale]:
    """By question, of a project's ratings; none where it came without a file of its own."""
    asked: list[dict[str, Any]] = json.loads(config_json).get("questions", [])
    ratings = (question for question in asked if question["kind"] == "rating")
    return {q.get("name", "overall"): _scale(*q.get("scale", MARKS)) for q in ratings}


def scale_of_marks(config_json: str, question: str = "") -> Scale | None:
    """The one scale of a project's ratings, or of one question's; None where none is known.

    Raises:
        ValueError: its questions have several scales.
    """
    asked = {name: s for name, s in scales_of(config_json).items() if question in ("", name)}
    if len(set(asked.values())) > 1:
        raise ValueError(
            f"the ratings {', '.join(asked)} have several scales; make targets of one question at "
            "a time with plaudit consensus question=..."
        )
    return next(iter(asked.values()), None)


def shown_scales(judgments: Iterable[Judgment]) -> dict[str, Scale]:
    """By question, 0 to 1 where all marks lie there, else from the lowest to the highest."""
    marks: dict[str, set[float]] = {}
    for judgment in judgments:
        marks.setdefault(judgment.question, set()).update(_marks(judgment))
    return {
        question: _scale(min(found), max(found)) if max(found) > 1 or min(found) < 0 else _SHARES
        for question, found in marks.items()
        if found
    }


def check_marks(entries: Iterable[Entry], scales: Mapping[str, Scale]) -> None:
    """Refuse what would mean something else on the scale of the question it comes to.

    Raises:
        ValueError: marks are on another scale, or lie outside it.
    """
    for entry in entries:
        scale = scales.get(entry.item.question)
        marks = [mark for judgment in entry.judgments for mark in _marks(judgment)]
        if scale is None or not marks:
            continue
        low, high = scale
        if entry.scale not in (None, scale) or min(marks) < low or max(marks) > high:
            found = entry.scale or (min(marks), max(marks))
            raise ValueError(
                f"{entry.where}: marks on {found[0]:g} to {found[1]:g}; expected {low:g} to "
                f"{high:g}, the scale of the question {entry.item.question}; import them into a "
                "project of their own"
            )


def _marks(judgment: Judgment) -> Iterator[float]:
    if isinstance(judgment.answer, Rated):
        yield from (value for value in judgment.answer.values if value is not None)


def _scale(low: float, high: float) -> Scale:
    return float(low), float(high)

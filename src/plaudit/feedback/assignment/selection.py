"""Informative items first, with a share drawn at random so that evaluation stays unbiased.

A selection gives items a score, the information expected of judging them. A share of all items is
drawn uniformly, whatever their scores, and marked ``columns["selection"] = "random"``; the two
queues are then merged so that every beginning of the whole has that share. Whoever stops after n
items has a uniform sample among them. Estimates are made from the marked items alone: the others
were chosen for what they would teach.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from plaudit.formats import read_rows
from plaudit.judgments import Item

SCORE = '{"id": "...", "information": 0.25}'


def read_selection(path: Path) -> dict[str, float]:
    """Scores by item, from rows of ``id`` and ``information``.

    Raises:
        ValueError: the file is missing, or a row has no id or no finite score.
    """
    if not path.is_file():
        raise ValueError(f"selection.file: {path}: no such file; expected rows of {SCORE}")
    scores: dict[str, float] = {}
    for row in read_rows(path):
        match row.value:
            case {"id": str(id), "information": (int() | float()) as score} if _is_number(score):
                if id in scores:
                    row.fail(f"item {id} comes twice", "one score for each item")
                scores[id] = score
            case _:
                row.fail("no id, or information that is no finite number", SCORE)
    return scores


def _is_number(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)


def selected(
    items: Sequence[Item], scores: Mapping[str, float], random_share: float, key: str
) -> tuple[Item, ...]:
    """The items with priorities that put them in the selection's order, and the random ones marked.

    Items without a score come after those with one. Gold items are given out by other rules, and
    stay as they are.

    Raises:
        ValueError: a score is of no item.
    """
    unknown = sorted(scores.keys() - {item.id for item in items})
    if unknown:
        raise ValueError(
            f"selection.file: no item {unknown[0]}; expected ids of the project's items"
        )
    queued = [item for item in items if item.gold is None]
    shuffled = sorted(queued, key=lambda item: _place(key, item.id))
    drawn = {item.id for item in shuffled[: math.ceil(random_share * len(queued))]}
    by_score = [item for item in queued if item.id not in drawn]
    by_score.sort(key=lambda item: -scores.get(item.id, -math.inf))
    at_random = [item for item in shuffled if item.id in drawn]
    order = _merged(at_random, by_score, random_share)
    ranked = {item.id: len(queued) - place for place, item in enumerate(order)}
    return tuple(
        item if item.gold is not None else _marked(item, ranked[item.id], item.id in drawn)
        for item in items
    )


def _merged(at_random: list[Item], by_score: list[Item], share: float) -> Iterator[Item]:
    """Both queues as one: after n items, about ``share * n`` are random ones."""
    random_first, scored_first = iter(at_random), iter(by_score)
    given = 0
    for place in range(len(at_random) + len(by_score)):
        is_due = given < share * (place + 1) and given < len(at_random)
        if is_due or place - given >= len(by_score):
            given += 1
            yield next(random_first)
        else:
            yield next(scored_first)


def _marked(item: Item, priority: int, is_random: bool) -> Item:
    mark = {"selection": "random" if is_random else "information"}
    return item.model_copy(update={"priority": priority, "columns": {**item.columns, **mark}})


def _place(key: str, id: str) -> bytes:
    return hashlib.sha256(f"{key}\x1f{id}".encode()).digest()

"""Entries into rows of a format, and an account of what the format could not say.

The account is not the format's word: every row that is written is read again, and what comes back
is held against what was to be said.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.formats.exchange.entries import Entry, Reading, Written
from plaudit.formats.exchange.table import EXCHANGE_FORMATS
from plaudit.formats.files import Row
from plaudit.formats.messages import alike
from plaudit.judgments import Item, Judgment, Pairwise, Skipped
from plaudit.records import Record

_NOT_COMPARED = {"id", "project", "item", "item_sha256", "raw"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """What was written, and what was lost."""

    values: tuple[dict[str, Any], ...]
    judgments: int
    """That the rows say."""
    losses: dict[str, int]
    """What the rows do not say, by name, and of how many judgments or items."""


def write_exchange(entries: Iterable[Entry], format: str) -> Rows:
    """The rows of a format that say these entries.

    Raises:
        ValueError: the format is not known.
    """
    if format not in EXCHANGE_FORMATS:
        raise ValueError(f"{format}: no such format; choose {', '.join(EXCHANGE_FORMATS)}")
    given = list(entries)
    written, again = _readable(list(EXCHANGE_FORMATS[format].write(given)), format)
    said = [judgment for row in written for judgment in row.says]
    losses = _unsaid(given, {judgment.id for judgment in said})
    there = {item.id for row in written for item in row.items}
    losses["item without judgments"] += sum(
        not entry.judgments and entry.item.id not in there for entry in given
    )
    values = tuple(row.value for row in written)
    items = {entry.item.id: entry.item for entry in given}
    losses += _changed(again, said, items)
    return Rows(values=values, judgments=len(said), losses=dict(sorted((+losses).items())))


def save_rows(path: Path, values: Sequence[dict[str, Any]]) -> None:
    """A JSON array in ``.json``, an object a line in ``.jsonl``.

    Raises:
        ValueError: the name ends in neither, or its folder is not there.
    """
    if path.suffix not in (".json", ".jsonl"):
        raise ValueError(f"{path}: cannot write {path.suffix or 'without a suffix'}; "
                         "expected .json or .jsonl")  # fmt: skip
    if not path.parent.is_dir():
        raise ValueError(f"{path}: {path.parent} is no directory; make it first")
    lines = (json.dumps(value, ensure_ascii=False) for value in values)
    text = "[\n" + ",\n".join(lines) + "\n]\n" if path.suffix == ".json" else "".join(
        f"{line}\n" for line in lines
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def _read_again(values: Sequence[dict[str, Any]], format: str) -> list[Entry]:
    if not values:
        return []
    rows = (Row(where=f"written:{n}", value=value) for n, value in enumerate(values, start=1))
    reading = Reading(project="", trust_order=True)
    return list(EXCHANGE_FORMATS[format].read(rows, reading))


def _readable(written: list[Written], format: str) -> tuple[list[Written], list[Entry]]:
    """The rows from which what they say can be read again, and what was read; others are left out,
    and say nothing."""
    again = _again(written, format)
    if again is None:
        written = [row for row in written if _again([row], format) is not None]
        again = _again(written, format)
    if again is None:
        raise ValueError(
            f"{format}: {len(written)} rows can be read one by one, and not together; export to "
            "another format"
        )
    return written, again


def _again(written: Sequence[Written], format: str) -> list[Entry] | None:
    try:
        found = _read_again([row.value for row in written], format)
    except ValueError:
        return None
    said = sum(len(row.says) for row in written)
    return found if sum(len(entry.judgments) for entry in found) == said else None


def _unsaid(entries: Sequence[Entry], said: set[str]) -> Counter[str]:
    missing = [j for entry in entries for j in entry.judgments if j.id not in said]
    return Counter(f"judgment ({_called(judgment)})" for judgment in missing)


def _called(judgment: Judgment) -> str:
    answer = judgment.answer
    if answer.kind == "pairwise" and not answer.strength:
        return "both bad" if answer.both_bad else "tie"
    return answer.kind


def _changed(
    again: Sequence[Entry], said: Sequence[Judgment], items: dict[str, Item]
) -> Counter[str]:
    """By field, how many judgments and items do not come back as they were."""
    back = [(judgment, entry.item) for entry in again for judgment in entry.judgments]
    lost: Counter[str] = Counter()
    seen: set[str] = set()
    for judgment, (found, item) in zip(said, back, strict=True):
        found, item = _as_placed(items[judgment.item], found, item)
        lost.update(_differing(judgment, found))
        if judgment.item not in seen:
            lost.update(f"item's {name}" for name in _item_differing(items[judgment.item], item))
            seen.add(judgment.item)
    return lost


def _as_placed(given: Item, judgment: Judgment, item: Item) -> tuple[Judgment, Item]:
    """With the candidates of a pair in the order given: where the better stands first, that is
    no loss."""
    texts = list(alike(given.prompt, [candidate.content for candidate in given.candidates])[1])
    if len(texts) != 2 or texts != [c.content for c in reversed(item.candidates)]:
        return judgment, item
    turned: dict[str, Any] = {
        "criteria": {name: tuple(reversed(marks)) for name, marks in judgment.criteria.items()},
        "shown": tuple(1 - place for place in judgment.shown),
    }
    if isinstance(judgment.answer, Pairwise):
        strength = -judgment.answer.strength
        turned["answer"] = judgment.answer.model_copy(update={"strength": strength})
    candidates = tuple(reversed(item.candidates))
    return judgment.model_copy(update=turned), item.model_copy(update={"candidates": candidates})


def _differing(one: Record, other: Record, *also: str) -> list[str]:
    kept = _NOT_COMPARED | set(also)
    return [
        _said_of_answer(one, other) if name == "answer" else name
        for name in type(one).model_fields
        if name not in kept and getattr(one, name) != getattr(other, name)
    ]


def _said_of_answer(one: Any, other: Any) -> str:
    """Which part of an answer differs, where the rest of it is the same."""
    match one.answer, other.answer:
        case Pairwise(strength=a), Pairwise(strength=b) if a * b > 0:
            return "strength"
        case Skipped(), Skipped():
            return "reason"
    return "answer"


def _item_differing(one: Item, other: Item) -> list[str]:
    names = _differing(one, other, "candidates", "columns")
    texts = [[c.content for c in item.candidates] for item in (one, other)]
    sources = [[c.source for c in item.candidates] for item in (one, other)]
    names += ["candidates"] if texts[0] != texts[1] else []
    names += ["sources"] if texts[0] == texts[1] and sources[0] != sources[1] else []
    return [*names, *(["id"] if one.id != other.id else [])]

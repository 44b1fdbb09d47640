"""Plaudit's own JSON Lines: ``{"item": {...}}`` and ``{"judgment": {...}}``, with nothing left out.

An item stands before the first judgment of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from plaudit.formats.exchange.entries import Entry, Reading, Written, refuse
from plaudit.formats.files import Row
from plaudit.judgments import Item, Judgment, fingerprint
from plaudit.records import Record

NAME = "plaudit"
LINE = '{"item": {...}} or {"judgment": {...}}'
RecordT = TypeVar("RecordT", bound=Record)


def fits(value: Mapping[str, Any]) -> bool:
    return set(value) in ({"item"}, {"judgment"})


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Items and judgments as they were; they keep their project's name out of the file's.

    Raises:
        ValueError: a line is no such record, or a judgment comes before its item.
    """
    items: dict[str, Item] = {}
    for row in rows:
        if "item" in row.value:
            item = _record(row, "item", Item)
            items[item.id] = item
            yield Entry(item=item, where=row.where)
            continue
        judgment = _record(row, "judgment", Judgment)
        if judgment.item not in items:
            row.fail(f"the judgment is of {judgment.item}, which no line before it holds", LINE)
        item = items[judgment.item]
        if judgment.item_sha256 != fingerprint(item):
            row.fail(f"item {item.id} is not as it was judged", f"item_sha256 {fingerprint(item)}")
        moved = judgment.model_copy(update={"project": reading.project or judgment.project})
        yield Entry(item=item, judgments=(moved,), where=row.where)


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """Each item once, and every judgment whole."""
    items: set[str] = set()
    for entry in entries:
        if entry.item.id not in items:
            items.add(entry.item.id)
            yield Written(value={"item": entry.item.model_dump(mode="json")}, items=(entry.item,))
        for judgment in entry.judgments:
            yield Written(value={"judgment": judgment.model_dump(mode="json")}, says=(judgment,))


def _record(row: Row, key: str, kind: type[RecordT]) -> RecordT:
    if set(row.value) != {key}:
        row.fail(f"it has the keys {', '.join(row.value)}", LINE)
    try:
        return kind.model_validate_json(json.dumps(row.value[key]))
    except ValidationError as error:
        refuse(row, error)

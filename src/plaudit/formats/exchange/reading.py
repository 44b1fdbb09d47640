"""A file of judgments into entries: which format it has, and what is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from plaudit.formats.exchange.argilla_disk import question_types
from plaudit.formats.exchange.entries import Entry, Reading, told_apart
from plaudit.formats.exchange.table import EXCHANGE_FORMATS, detect_exchange
from plaudit.formats.files import Row, read_rows, read_text
from plaudit.judgments import Pairwise, Ranked

_UNLIKELY = 0.01
"""So seldom would honest rankings all be the order in which candidates were shown."""


def read_exchange(path: Path, reading: Reading, format: str = "auto") -> list[Entry]:
    """All entries of a file, or of a directory written by Argilla's ``to_disk``.

    Raises:
        ValueError: the format is not known, a row has not its shape, or the file's rankings are
            all in the order shown, as where a tool lost the ranks.
    """
    if format not in ("auto", *EXCHANGE_FORMATS):
        raise ValueError(f"{format}: no such format; choose auto, {', '.join(EXCHANGE_FORMATS)}")
    rows = exchange_rows(path / "records.json" if path.is_dir() else path)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: holds no rows")
    name = detect_exchange(first) if format == "auto" else format
    if types := question_types(path):
        reading = replace(reading, question_types=types)
    entries = EXCHANGE_FORMATS[name].read(chain([first], rows), reading)
    found = list(told_apart(entries))
    if not found:
        raise ValueError(f"{path}: holds nothing that was judged; expected {name}'s judgments")
    if not reading.trust_order:
        _refuse_order_shown(path, found, EXCHANGE_FORMATS[name].may_lose_ranks)
    return found


def exchange_rows(path: Path) -> Iterator[Row]:
    """Rows as ``read_rows`` finds them, or those under ``items`` of one JSON object.

    A CSV file whose header is a comment (``# #id  label``) is read as texts between tabs.

    Raises:
        ValueError: the file is damaged, empty or of no known kind.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".json" and read_text(path).lstrip().startswith("{"):
        yield from _of_object(path)
    elif suffix == ".csv" and read_text(path).startswith("#"):
        yield from _tab_separated(path)
    else:
        yield from read_rows(path)


def _of_object(path: Path) -> Iterator[Row]:
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}); expected an array of objects, "
            'or {"items": [...]}'
        ) from error
    items = value.get("items", [value])
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise ValueError(f"{path}: items is no list of objects; expected records")
    for number, item in enumerate(items, start=1):
        yield Row(where=f"{path}:item {number}", value=item)


def _tab_separated(path: Path) -> Iterator[Row]:
    """Rows of texts between tabs, under a header between spaces; quotes mean nothing."""
    header, *lines = read_text(path).split("\n")
    names = re.split(r"\t|\s{2,}", header.lstrip("# ").strip())
    for number, line in enumerate(lines, start=2):
        values = line.rstrip("\r").split("\t")
        where = f"{path}:{number}"
        if line and len(values) != len(names):
            raise ValueError(f"{where}: {len(values)} fields; expected {', '.join(names)}")
        if line:
            yield Row(where=where, value=dict(zip(names, values, strict=True)))


def _refuse_order_shown(path: Path, entries: Sequence[Entry], kinds: tuple[str, ...]) -> None:
    """Rankings that all equal the order of the options are no rankings (Argilla's SDK)."""
    answers = [j.answer for e in entries for j in e.judgments if j.answer.kind in kinds]
    rankings = [ranks for answer in answers if (ranks := _ranks(answer))]
    if not rankings or any(list(ranks) != sorted(set(ranks)) for ranks in rankings):
        return
    chance = math.prod(1 / math.factorial(len(ranks)) for ranks in rankings)
    if chance < _UNLIKELY:
        raise ValueError(
            f"{path}: all {len(rankings)} rankings are in the order in which the candidates are "
            "shown; expected others among them, so the ranks may be lost. Export them with their "
            "ranks, or say --trust-order"
        )


def _ranks(answer: object) -> tuple[int, ...]:
    match answer:
        case Ranked(ranks=ranks):
            return ranks
        case Pairwise(strength=strength) if strength:
            return (1, 2) if strength < 0 else (2, 1)
    return ()

"""The formats in which judgments come and go, and how each is known by its first row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plaudit.formats.exchange import (
    argilla,
    argilla_disk,
    label_studio,
    label_studio_min,
    label_studio_writing,
    plaudit_lines,
    preferences,
)
from plaudit.formats.exchange.entries import Entry, Reading, Written
from plaudit.formats.files import Row
from plaudit.formats.hh import PAIR
from plaudit.formats.trl import PREFERENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeFormat:
    """One format: what a row looks like, how it is known, read and written."""

    example: str
    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Iterable[Row], Reading], Iterator[Entry]]
    write: Callable[[Iterable[Entry]], Iterator[Written]]
    keeps: str
    """What stands in a row beside the answer."""
    loses: str
    """What a judgment may say and a row cannot."""
    may_lose_ranks: tuple[str, ...] = ()
    """Kinds of answers that are refused where all of them are the order of the candidates."""


# The first that fits is meant, so a format stands before those whose keys are among its own.
EXCHANGE_FORMATS: dict[str, ExchangeFormat] = {
    "plaudit": ExchangeFormat(
        example=plaudit_lines.LINE,
        fits=plaudit_lines.fits,
        read=plaudit_lines.read,
        write=plaudit_lines.write,
        keeps="everything",
        loses="nothing",
    ),
    "label_studio": ExchangeFormat(
        example=label_studio.TASK,
        fits=label_studio.fits,
        read=label_studio.read,
        write=label_studio_writing.write,
        keeps="criteria, confidence, rationale, flags, time, seconds; a judge's as predictions",
        loses="order shown, reason of a skip, guideline, steps, red-team marks, rater ids that are "
        "no numbers",
        may_lose_ranks=("ranking",),
    ),
    "label_studio_min": ExchangeFormat(
        example=label_studio_min.ROW,
        fits=label_studio_min.fits,
        read=label_studio_min.read,
        write=label_studio_min.write,
        keeps="criteria, confidence, rationale, flags, time, seconds",
        loses="as label_studio; also skips, judges, labels and demonstrations",
        may_lose_ranks=("ranking",),
    ),
    "argilla": ExchangeFormat(
        example=argilla.RECORD,
        fits=argilla.fits,
        read=argilla.read,
        write=argilla.write,
        keeps="rankings with ties, ratings in whole numbers, labels, rationale, flags, time; a "
        "judge's as suggestions with a score",
        loses="confidence of people, seconds, order shown, reason of a skip, guideline, red-team "
        "marks, marks that are no whole numbers",
        may_lose_ranks=("ranking", "pairwise"),
    ),
    "argilla_disk": ExchangeFormat(
        example=argilla_disk.RECORD,
        fits=argilla_disk.fits,
        read=argilla_disk.read,
        write=argilla_disk.write,
        keeps="ratings in whole numbers, labels, preferences in words, rationale, flags",
        loses="as argilla; also rankings, skips, time, and whether a response was a draft",
        may_lose_ranks=("ranking", "pairwise"),
    ),
    "argilla_flat": ExchangeFormat(
        example=argilla_disk.FLAT_RECORD,
        fits=argilla_disk.fits_flat,
        read=argilla_disk.read_flat,
        write=argilla_disk.write_flat,
        keeps="ratings in whole numbers, labels, preferences in words, rationale, flags",
        loses="as argilla; also rankings, skips and time",
        may_lose_ranks=("ranking", "pairwise"),
    ),
    "hh": ExchangeFormat(
        example=PAIR,
        fits=preferences.fits_hh,
        read=preferences.read_hh,
        write=preferences.write_hh,
        keeps="which of two is better",
        loses="who judged and all else; ties; text that is no messages",
    ),
    "openrlhf": ExchangeFormat(
        example='{"input", "output", "label"} or {"prompt", "chosen", "rejected", "margin"}',
        fits=preferences.fits_openrlhf,
        read=preferences.read_openrlhf,
        write=preferences.write_openrlhf,
        keeps="which of two is better; a mark of 0 or 1",
        loses="who judged and all else; ties and confidence",
    ),
    "trl": ExchangeFormat(
        example=PREFERENCE,
        fits=preferences.fits_trl,
        read=preferences.read_trl,
        write=preferences.write_trl,
        keeps="which of two is better, ties and confidence as probability; marks of 0 or 1; steps",
        loses="who judged and all else; how much better; both bad; neutral steps",
    ),
}


def detect_exchange(row: Row) -> str:
    """The name of the format a row has.

    Raises:
        ValueError: none is known with these keys; the message names them and every format.
    """
    for name, format in EXCHANGE_FORMATS.items():
        if format.fits(row.value):
            return name
    known = "; ".join(f"{name} {format.example}" for name, format in EXCHANGE_FORMATS.items())
    keys = ", ".join(map(str, row.value)) or "none"
    row.fail(f"no format of judgments has the keys {keys}", f"one of: {known}")

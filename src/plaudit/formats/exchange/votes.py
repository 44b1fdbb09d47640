"""Votes of several people on one pair: UKP's arguments, and PandaLM's test set.

- UKPConvArgCrowd (Habernal and Gurevych 2016), tab separated, a vote a row: ``{"#id", "turkerid",
  "label": "a1|a2|equal", "a1", "a2"}``; which argument convinces more
- PandaLM (Wang et al. 2023): ``{"instruction", "input", "response1", "response2", "annotator1": 0,
  1 or 2, ...}``; 0 is a tie
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any

from plaudit.formats.exchange.entries import (
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    write_rows,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rater

UKP, PANDALM = "ukp_convarg", "pandalm"
VOTE = '{"#id", "turkerid", "label": "a1|a2|equal", "a1", "a2"}'
PANDA = '{"instruction", "response1", "response2", "annotator1": 0|1|2, ...}'
_LABELS = {"a1": -2, "equal": 0, "a2": 2}
_VERDICTS = {1: -2, 0: 0, 2: 2}
_ANNOTATOR = re.compile(r"annotator\d+")


def fits_ukp(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("turkerid", "label", "a1", "a2"))


def fits_pandalm(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("instruction", "response1", "response2", "annotator1"))


def read_ukp(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Votes on pairs of arguments; the prompt is the debate, which the file's name says.

    Raises:
        ValueError: the label is none of the three.
    """
    for row in rows:
        label, name = row.value.get("label"), row.name.partition(":")[0].partition(".csv")[0]
        if label not in _LABELS or not row.value.get("turkerid"):
            row.fail(f"label is {shown(label)}", VOTE)
        texts = [row.value.get("a1"), row.value.get("a2")]
        candidates = [Candidate(content=str(text)) for text in texts]
        question = f"Which argument is more convincing? {name}"
        id = next((value for key, value in row.value.items() if key.strip("# ") == "id"), None)
        item = make_item(row, question, candidates, id=None if id is None else f"{name} {id}")
        judgment = make_judgment(
            row, reading, item, Pairwise(strength=_LABELS[label]),
            Rater(id=reading.person(row.value["turkerid"])), format=UKP,
            raw=reading.hidden(row.value, "turkerid"),
        )  # fmt: skip
        yield Entry(item=item, judgments=(judgment,), where=row.where)


def read_pandalm(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Pairs with the verdict of each annotator.

    Raises:
        ValueError: a verdict is none of 0, 1 and 2, or a text is missing.
    """
    for row in rows:
        found = [row.value.get(key) for key in ("instruction", "response1", "response2")]
        if any(isinstance(text, dict | list | NoneType) for text in found):
            row.fail(f"of instruction and responses one is missing: {shown(found)}", PANDA)
        texts = list(map(str, found))  # published responses hold a bare true or number
        asked = "\n\n".join(filter(None, (texts[0], row.value.get("input"))))
        sources = str(row.value.get("cmp_key") or "_").split("_")
        sources = sources if len(sources) == 2 else ["", ""]
        candidates = [
            Candidate(content=text, source=source)
            for text, source in zip(texts[1:], sources, strict=True)
        ]
        people = [key for key in row.value if _ANNOTATOR.fullmatch(key)]
        rest = {key: None if key in people else value for key, value in row.value.items()}
        item = make_item(row, asked, candidates, id=row.value.get("idx"), columns={PANDALM: rest})
        judgments = [_verdict(row, reading, item, key) for key in people]
        yield Entry(item=item, judgments=tuple(judgments), where=row.where)


def _verdict(row: Row, reading: Reading, item: Item, key: str) -> Judgment:
    verdict = row.value[key]
    if isinstance(verdict, bool) or verdict not in _VERDICTS:
        row.fail(f"{key} is {shown(verdict)}", PANDA)
    return make_judgment(
        row, reading, item, Pairwise(strength=_VERDICTS[verdict]), Rater(id=key), format=PANDALM,
        raw={key: verdict},
    )  # fmt: skip


def write_ukp(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row a vote."""
    return write_rows(entries, UKP, _ukp_row)


def _ukp_row(item: Item, judgment: Judgment) -> dict[str, Any] | None:
    match judgment.answer, item.candidates:
        case Pairwise(both_bad=False, strength=strength), (
            Candidate(content=str(a)),
            Candidate(content=str(b)),
        ):
            label = "equal" if not strength else "a1" if strength < 0 else "a2"
            return {"#id": item.id, "turkerid": judgment.rater.id, "label": label, "a1": a, "a2": b}
    return None


def write_pandalm(entries: Iterable[Entry]) -> Iterator[Written]:
    """A row a pair, its judgments by people as ``annotator1``, ``annotator2``, ..."""
    for entry in entries:
        said = [j for j in entry.judgments if _can_say(j)]
        row = entry.item.columns.get(PANDALM)
        value: dict[str, Any] = dict(row) if isinstance(row, dict) else _new_row(entry.item)
        if not said or not value:
            continue
        own = all(PANDALM in judgment.raw for judgment in said)
        for place, judgment in enumerate(said, start=1):
            assert isinstance(judgment.answer, Pairwise), "only comparisons can be said"
            strength = judgment.answer.strength
            key = judgment.rater.id if own else f"annotator{place}"
            value[key] = (strength < 0) + 2 * (strength > 0)
        said = sorted(said, key=lambda j: list(value).index(j.rater.id)) if own else said
        value = {key: v for key, v in value.items() if v is not None or not _ANNOTATOR.match(key)}
        yield Written(value=value, says=tuple(said), items=(entry.item,))


def _can_say(judgment: Judgment) -> bool:
    return isinstance(judgment.answer, Pairwise) and not judgment.answer.both_bad


def _new_row(item: Item) -> dict[str, Any]:
    """The pair; empty where it cannot be said."""
    match item.prompt, item.candidates:
        case str(asked), (Candidate(content=str(a)), Candidate(content=str(b))):
            texts = {"instruction": asked, "input": "", "response1": a, "response2": b}
            return {"idx": item.id, **texts}
    return {}

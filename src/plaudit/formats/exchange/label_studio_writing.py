"""Label Studio's tasks with annotations and predictions, from items and judgments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plaudit.formats.exchange.controls import Control, told
from plaudit.formats.exchange.entries import UNKNOWN_TIME, Entry, Written, written_time
from plaudit.formats.exchange.fields import written_fields, written_models
from plaudit.formats.exchange.label_studio import NAME
from plaudit.judgments import Item, Judgment, Skipped

_KEYS = {
    "pairwise": ("pairwise", "selected"),
    "choice": ("choices", "choices"),
    "ranking": ("ranker", "ranker"),
    "rating": ("rating", "rating"),
    "text": ("textarea", "text"),
    "number": ("number", "number"),
}


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """One task an item; a judge's judgments are its predictions."""
    for entry in entries:
        yield _task(entry.item, entry.judgments)


def number_of(person: str) -> int:
    """A rater's id as the number Label Studio has for a person; of other ids, one of their hash."""
    if person.isdecimal():
        return int(person)
    return int(hashlib.sha256(person.encode()).hexdigest()[:7], 16)


def can_say(judgment: Judgment) -> bool:
    return bool(told(judgment)) or isinstance(judgment.answer, Skipped)


def _task(item: Item, judgments: Sequence[Judgment]) -> Written:
    people = [j for j in judgments if j.rater.kind != "judge" and can_say(j)]
    judges = [j for j in judgments if j.rater.kind == "judge" and told(j)]
    row = item.columns.get(NAME)
    task = dict(row) if isinstance(row, dict) else _new_task(item)
    if people or "annotations" in task:
        task["annotations"] = [_own(j) or _annotation(item, j) for j in people]
    if judges or "predictions" in task:
        others = task.get("predictions") or []
        assert isinstance(others, list), "columns hold a task that was read"
        task["predictions"] = [*others, *(_own(j) or _prediction(item, j) for j in judges)]
    return Written(value=_with_numbers(task), says=(*people, *judges), items=(item,))


def _new_task(item: Item) -> dict[str, Any]:
    data = written_fields(item) | written_models(item)
    if item.id.isdecimal():
        return {"id": int(item.id), "data": data}
    return {"data": data, "meta": {"item": item.id}}


def _own(judgment: Judgment) -> Any:
    return judgment.raw.get(NAME)


def _annotation(item: Item, judgment: Judgment) -> dict[str, Any]:
    times = {}
    if judgment.submitted_at != UNKNOWN_TIME:
        times = dict.fromkeys(("created_at", "updated_at"), written_time(judgment.submitted_at))
    return {
        "completed_by": number_of(judgment.rater.id),
        "was_cancelled": isinstance(judgment.answer, Skipped),
        "ground_truth": False,
        **times,
        "lead_time": judgment.active_seconds,
        "result": _results(item, told(judgment)),
    }


def _prediction(item: Item, judgment: Judgment) -> dict[str, Any]:
    rater = judgment.rater
    controls = [c for c in told(judgment) if c.name != "confidence"]
    score = {} if judgment.confidence is None else {"score": judgment.confidence}
    model = f"{rater.id}@{rater.version}" if rater.version else rater.id
    return {"model_version": model, **score, "result": _results(item, controls)}


def _results(item: Item, controls: Sequence[Control]) -> list[dict[str, Any]]:
    return [_result(item, f"r{i}", control) for i, control in enumerate(controls)]


def _result(item: Item, id: str, control: Control) -> dict[str, Any]:
    kind, key = _KEYS[control.kind]
    value, to_name = control.value, "prompt"
    if kind == "pairwise":
        to_name = control.name  # the editor gives this control its own name
    elif kind == "ranker":
        value, to_name = _tiers(value), "answers"
    elif kind == "rating":
        value = int(value) if float(value).is_integer() else value
        to_name = f"answer{(control.of or 0) + 1}"
    elif kind == "textarea":
        value = [value]
    return {
        "id": id,
        "type": kind,
        "from_name": control.name,
        "to_name": to_name,
        "value": {key: value},
    }


def _tiers(ranks: Sequence[int]) -> dict[str, list[str]]:
    """One list, the best first; where candidates are tied, a numbered bucket for each rank."""
    tiers = {rank: [f"answer{i + 1}" for i, r in enumerate(ranks) if r == rank] for rank in ranks}
    if len(tiers) == len(ranks):
        return {"rank": [tiers[rank][0] for rank in sorted(tiers)]}
    return {str(rank): tiers[rank] for rank in sorted(tiers)}


def _with_numbers(task: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers for the pseudonyms that stand where Label Studio has ids of people."""
    people = ("completed_by", "updated_by", "last_created_by")

    def numbered(value: Any) -> Any:
        if isinstance(value, list):
            return [numbered(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {
            key: number_of(v)
            if key in people and isinstance(v, str)
            else v
            if key in ("data", "value")
            else numbered(v)
            for key, v in value.items()
        }

    return numbered(dict(task))

"""Argilla 2 as its server writes records: responses with ranks, equal ranks being ties.

``{"id", "status", "fields": {...}, "metadata": {...}, "responses": [{"user_id", "status",
"values": {"ranking": {"value": [{"value": "response1", "rank": 1}, ...]}}}], "suggestions": []}``

A discarded response is ``Skipped``; a draft is no judgment, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.argilla_answers import read_values, written_value
from plaudit.formats.exchange.controls import told
from plaudit.formats.exchange.entries import (
    UNKNOWN_TIME,
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    time_of,
    written_time,
)
from plaudit.formats.exchange.fields import (
    find_fields,
    read_candidates,
    read_text_field,
    written_fields,
    written_models,
)
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Answer, Item, Judgment, Rater, Skipped

NAME = "argilla"
RECORD = '{"id", "fields": {...}, "responses": [{"user_id", "status", "values": {...}}]}'


def fits(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("fields"), dict) and isinstance(value.get("responses", []), list)


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Records with their responses and suggestions.

    Raises:
        ValueError: a record or a value has not its shape; the message has its file and line.
    """
    for row in rows:
        if not fits(row.value):
            row.fail(f"it has the keys {', '.join(row.value)}", RECORD)
        yield _record(row, reading)


def read_item(row: Row, reading: Reading, format: str, kept: Any) -> tuple[Item, dict[str, int]]:
    """The item of a record with ``fields``, and where each of its candidates stands."""
    fields, metadata = row.value["fields"], row.value.get("metadata") or {}
    prompt, names = find_fields(row, fields, reading.choices)
    text = read_text_field(row, fields, prompt)
    candidates = read_candidates(row, fields, names, metadata)
    named = row.value.get("external_id") or row.value.get("id")
    item = make_item(row, text, candidates, id=named, columns={format: kept})
    return item, {name: i for i, name in enumerate(names)}


def _record(row: Row, reading: Reading) -> Entry:
    kept = {key: value for key, value in row.value.items() if key != "suggestions"}
    item, places = read_item(row, reading, NAME, kept | {"responses": []})
    judgments: list[Judgment] = []
    unread: list[str] = []
    for one in row.value.get("responses") or []:
        if _status(row, one) == "draft":
            unread.append("draft, which is left out")
            continue
        raw = reading.hidden(one, "user_id")
        judgment, more = _response(row, reading, item, places, one, raw)
        judgments.append(judgment)
        unread += more
    for one in row.value.get("suggestions") or []:
        judgments.append(_suggestion(row, reading, item, places, one))
    return Entry(item=item, judgments=tuple(judgments), unread=tuple(unread), where=row.where)


def _status(row: Row, response: Any) -> str:
    match response:
        case {"status": "draft" | "submitted" | "discarded" as status}:
            return status
    row.fail(f"a response is {shown(response)}", RECORD)


def _response(
    row: Row, reading: Reading, item: Item, places: Mapping[str, int], response: Any, raw: Any
) -> tuple[Judgment, tuple[str, ...]]:
    answer: Answer = Skipped(reason="discarded")
    said: dict[str, Any] = {}
    unread: tuple[str, ...] = ()
    if response["status"] == "submitted":
        values = response.get("values")
        if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
            row.fail(f"values is {shown(values)}", RECORD)
        by_question = {name: value.get("value") for name, value in values.items()}
        heard = read_values(row, by_question, places, reading)
        answer, said, unread = heard.answer, heard.said, heard.unread
    judgment = make_judgment(
        row, reading, item, answer, Rater(id=reading.person(response.get("user_id") or "unnamed")),
        format=NAME, raw=raw, native=response.get("id") or "",
        submitted_at=time_of(row, "inserted_at", response.get("inserted_at")), **said,
    )  # fmt: skip
    return judgment, unread


def _suggestion(
    row: Row, reading: Reading, item: Item, places: Mapping[str, int], suggestion: Any
) -> Judgment:
    if not isinstance(suggestion, dict) or "value" not in suggestion:
        row.fail(f"a suggestion is {shown(suggestion)}", '{"question_name", "value", "agent"}')
    name = str(suggestion.get("question_name") or suggestion.get("question_id") or "suggestion")
    heard = read_values(row, {name: suggestion["value"]}, places, reading)
    return make_judgment(
        row, reading, item, heard.answer, judge_of(suggestion), format=NAME, raw=suggestion,
        native=suggestion.get("id") or "", **heard.said | {"confidence": score_of(suggestion)},
    )  # fmt: skip


def judge_of(suggestion: Mapping[str, Any]) -> Rater:
    name, _, version = str(suggestion.get("agent") or "suggestion").partition("@")
    return Rater(id=name, kind="judge", version=version)


def score_of(suggestion: Mapping[str, Any]) -> float | None:
    match suggestion.get("score"):
        case int() | float() as score if 0 <= score <= 1:
            return float(score)
    return None


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """One record an item; a judge's judgments are suggestions, one for each question."""
    for entry in entries:
        people = [j for j in entry.judgments if j.rater.kind != "judge" and can_say(j)]
        judges = [j for j in entry.judgments if j.rater.kind == "judge" and suggested(j)]
        row = entry.item.columns.get(NAME)
        record: dict[str, Any] = dict(row) if isinstance(row, dict) else new_record(entry.item)
        record["responses"] = [_written(judgment) for judgment in people]
        if judges or "suggestions" in record:
            record["suggestions"] = [j.raw.get(NAME) or _suggested(j) for j in judges]
        yield Written(value=record, says=(*people, *judges), items=(entry.item,))


def new_record(item: Item) -> dict[str, Any]:
    """A record without responses."""
    return {
        "id": item.id,
        "fields": written_fields(item),
        "metadata": written_models(item),
        "responses": [],
    }


def can_say(judgment: Judgment) -> bool:
    return isinstance(judgment.answer, Skipped) or bool(values_of(judgment))


def values_of(judgment: Judgment) -> dict[str, Any]:
    """The answer's values by question; none where a question cannot hold the answer itself."""
    answer = judgment.model_copy(
        update={"criteria": {}, "confidence": None, "rationale": "", "flags": ()}
    )
    if any(written_value(control) is None for control in told(answer)):
        return {}
    said = {control.name: written_value(control) for control in told(judgment)}
    return {name: value for name, value in said.items() if value is not None}


def suggested(judgment: Judgment) -> bool:
    return NAME in judgment.raw or len(values_of(judgment)) == 1


def _written(judgment: Judgment) -> Any:
    if own := judgment.raw.get(NAME):
        return own
    skipped = isinstance(judgment.answer, Skipped)
    time = {}
    if judgment.submitted_at != UNKNOWN_TIME:
        time = {"inserted_at": written_time(judgment.submitted_at)}
    return {
        "user_id": judgment.rater.id,
        "status": "discarded" if skipped else "submitted",
        **time,
        "values": {name: {"value": value} for name, value in values_of(judgment).items()},
    }


def _suggested(judgment: Judgment) -> dict[str, Any]:
    rater = judgment.rater
    ((name, value),) = values_of(judgment).items()
    agent = f"{rater.id}@{rater.version}" if rater.version else rater.id
    return {
        "question_name": name,
        "value": value,
        "score": judgment.confidence,
        "agent": agent,
        "type": "model",
    }

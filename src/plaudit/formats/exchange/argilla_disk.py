"""Argilla 2 as its SDK writes records: ``to_disk``'s ``records.json``, and flattened lists.

- ``{"id", "fields", "responses": {"ranking": [{"value": [...], "user_id"}], "quality": [...]}}``
- ``{"id", "instruction", "response1", "ranking.responses": [...], "ranking.responses.users": [...],
  "ranking.responses.status": [...], "ranking.suggestion": ..., "ranking.suggestion.agent": ...}``

Rankings have lost their ranks there (see ``argilla_answers``), so they are refused unless their
order is to be trusted, and never written; comparisons are written as preferences in words. Records
on disk do not say which responses were drafts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from plaudit.formats.exchange.argilla import judge_of, new_record, read_item, score_of, values_of
from plaudit.formats.exchange.argilla_answers import read_values
from plaudit.formats.exchange.choices import written_choice
from plaudit.formats.exchange.entries import Entry, Reading, Written, make_judgment
from plaudit.formats.files import Row, read_text
from plaudit.formats.messages import shown
from plaudit.judgments import Answer, Item, Judgment, Pairwise, Ranked, Rater, Skipped

NAME, FLAT = "argilla_disk", "argilla_flat"
RECORD = '{"id", "fields": {...}, "responses": {"quality": [{"value": 4, "user_id"}]}}'
FLAT_RECORD = '{"id", "instruction", "quality.responses": [4], "quality.responses.users": [...]}'


def fits(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("fields"), dict) and isinstance(value.get("responses"), dict)


def fits_flat(value: Mapping[str, Any]) -> bool:
    return any(key.endswith(".responses") for key in value)


def question_types(path: Path) -> dict[str, str]:
    """By question its type, from ``.argilla/settings.json`` beside the records; none without it.

    Raises:
        ValueError: the file holds no questions.
    """
    folder = path if path.is_dir() else path.parent
    settings = folder / ".argilla" / "settings.json"
    if not settings.is_file():
        return {}
    try:
        questions = json.loads(read_text(settings))["questions"]
        return {one["name"]: one["settings"]["type"] for one in questions}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{settings}: not the settings of a data set; expected {{"questions": [{{"name", '
            '"settings": {"type"}}]}'
        ) from error


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Records of ``to_disk``: a person's answers to all questions are one judgment.

    Raises:
        ValueError: a record has not its shape, or a ranking has lost its ranks.
    """
    for row in rows:
        if not fits(row.value):
            row.fail(f"it has the keys {', '.join(row.value)}", RECORD)
        kept = row.value | {"responses": {question: [] for question in row.value["responses"]}}
        item, places = read_item(row, reading, NAME, kept)
        yield _record(row, reading, NAME, item, places, row.value["responses"],
                      row.value.get("suggestions") or {})  # fmt: skip


def read_flat(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Flattened records, in which fields and metadata stand among everything else.

    Raises:
        ValueError: a record has not its shape, or a ranking has lost its ranks.
    """
    for row in rows:
        if not fits_flat(row.value):
            row.fail(f"it has the keys {', '.join(row.value)}", FLAT_RECORD)
        plain = {key: v for key, v in row.value.items() if "." not in key}
        whole = Row(where=row.where, value={"id": row.value.get("id"), "fields": plain,
                                            "metadata": plain})  # fmt: skip
        kept = reading.hidden(row.value, *())
        kept = {
            key: [] if _is_answer(key) and isinstance(v, list) else v for key, v in kept.items()
        }
        item, places = read_item(whole, reading, FLAT, kept)
        yield _record(row, reading, FLAT, item, places, _nested(row), _suggestions(row))


def _is_answer(key: str) -> bool:
    return key.endswith((".responses", ".responses.users", ".responses.status"))


def _nested(row: Row) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for key, values in row.value.items():
        if key.endswith(".responses") and values is not None:
            users = row.value.get(f"{key}.users") or []
            statuses = row.value.get(f"{key}.status") or ["submitted"] * len(users)
            if not isinstance(values, list) or not len(values) == len(users) == len(statuses):
                row.fail(f"{key} is {shown(values)}", "a value, a user and a status for each")
            found[key.removesuffix(".responses")] = [
                {"value": value, "user_id": user, "status": status}
                for value, user, status in zip(values, users, statuses, strict=True)
            ]
    return found


def _suggestions(row: Row) -> dict[str, dict[str, Any]]:
    return {
        key.removesuffix(".suggestion"): {
            "value": value,
            "score": row.value.get(f"{key}.score"),
            "agent": row.value.get(f"{key}.agent"),
        }
        for key, value in row.value.items()
        if key.endswith(".suggestion") and value is not None
    }


def _record(
    row: Row, reading: Reading, format: str, item: Item, places: Mapping[str, int],
    responses: Mapping[str, Any], suggestions: Mapping[str, Any],
) -> Entry:  # fmt: skip
    people: dict[str, dict[str, Any]] = {}
    for question, answers in responses.items():
        for one in answers if isinstance(answers, list) else [answers]:
            if not isinstance(one, dict) or "value" not in one:
                row.fail(f"a response to {question} is {shown(one)}", RECORD)
            people.setdefault(str(one.get("user_id") or "unnamed"), {})[question] = one
    judgments: list[Judgment] = []
    unread: list[str] = []
    for person, given in people.items():
        if "draft" in {one.get("status") for one in given.values()}:
            unread.append("draft, which is left out")
            continue
        judgment, more = _answered(row, reading, format, item, places, person, given)
        judgments.append(judgment)
        unread += more
    for question, suggestion in suggestions.items():
        heard = read_values(row, {question: suggestion["value"]}, places, reading)
        said = heard.said | {"confidence": score_of(suggestion)}
        judgments.append(
            make_judgment(row, reading, item, heard.answer, judge_of(suggestion), format=format,
                          raw={question: suggestion}, native=f"suggestion {question}", **said)
        )  # fmt: skip
    return Entry(item=item, judgments=tuple(judgments), unread=tuple(unread), where=row.where)


def _answered(
    row: Row, reading: Reading, format: str, item: Item, places: Mapping[str, int], person: str,
    given: Mapping[str, Any],
) -> tuple[Judgment, tuple[str, ...]]:  # fmt: skip
    answer: Answer = Skipped(reason="discarded")
    said: dict[str, Any] = {}
    unread: tuple[str, ...] = ()
    if "discarded" not in {one.get("status") for one in given.values()}:
        values = {question: one["value"] for question, one in given.items()}
        heard = read_values(row, values, places, reading)
        answer, said, unread = heard.answer, heard.said, heard.unread
    raw = reading.hidden(given, "user_id")
    rater = Rater(id=reading.person(person))
    return make_judgment(row, reading, item, answer, rater, format=format, raw=raw, **said), unread


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """Records of ``to_disk``; no rankings but those that were read from such records."""
    for entry in entries:
        said = _said(entry, NAME)
        row = entry.item.columns.get(NAME)
        record = dict(row) if isinstance(row, dict) else new_record(entry.item)
        questions = record["responses"] if isinstance(record["responses"], dict) else {}
        responses: dict[str, list[Any]] = {question: [] for question in questions}
        for _, answers in said:
            for question, one in answers.items():
                responses.setdefault(question, []).append(one)
        judges = tuple(j for j in entry.judgments if j.rater.kind == "judge" and NAME in j.raw)
        yield Written(
            value=record | {"responses": responses},
            says=(*(judgment for judgment, _ in said), *judges),
            items=(entry.item,),
        )


def write_flat(entries: Iterable[Entry]) -> Iterator[Written]:
    """Flattened records; no rankings but those that were read from such records."""
    for entry in entries:
        said = _said(entry, FLAT)
        row = entry.item.columns.get(FLAT)
        record = dict(row) if isinstance(row, dict) else _new_flat(entry.item)
        lists: dict[str, list[Any]] = {}
        for _, answers in said:
            for question, one in answers.items():
                for key, of in (("", "value"), (".users", "user_id"), (".status", "status")):
                    lists.setdefault(f"{question}.responses{key}", []).append(one[of])
        judges = tuple(j for j in entry.judgments if j.rater.kind == "judge" and FLAT in j.raw)
        says = (*(judgment for judgment, _ in said), *judges)
        if lists or FLAT in entry.item.columns:
            yield Written(value=record | lists, says=says, items=(entry.item,))


def _new_flat(item: Item) -> dict[str, Any]:
    record = new_record(item)
    return {"id": item.id, **record["fields"], **record["metadata"]}


def _said(entry: Entry, format: str) -> list[tuple[Judgment, dict[str, Any]]]:
    """What each person said first: all answers of one are read as one judgment."""
    found: dict[str, tuple[Judgment, dict[str, Any]]] = {}
    for judgment in entry.judgments:
        if answers := _answers(judgment, format):
            found.setdefault(judgment.rater.id, (judgment, answers))
    return list(found.values())


def _answers(judgment: Judgment, format: str) -> dict[str, Any]:
    """By question what a person said; nothing of rankings, which lose their ranks."""
    own = judgment.raw.get(format)
    if judgment.rater.kind == "judge":
        return {}
    if isinstance(own, dict):
        return own
    values = values_of(judgment)
    if isinstance(judgment.answer, Pairwise):
        beside = {key: v for key, v in values.items() if key not in ("comparison", "strength")}
        values = beside | {"preference": written_choice(judgment.answer)}
    elif isinstance(judgment.answer, Ranked):
        return {}
    return {
        question: {"value": value, "user_id": judgment.rater.id, "status": "submitted"}
        for question, value in values.items()
    }

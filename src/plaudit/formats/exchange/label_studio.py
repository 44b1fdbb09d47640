"""Label Studio: tasks to import, and its JSON export (1.23), a task with all its annotations.

``{"data": {"prompt", "answer1", "answer2"}, "annotations": [{"completed_by", "result": [{"type",
"from_name", "to_name", "value"}]}], "predictions": [{"model_version", "score", "result"}]}``

Predictions are a judge's judgments. An annotation that was cancelled is ``Skipped``. What a ranker
left under ``_`` was never moved, so nobody ranked it. ``lead_time`` becomes ``active_seconds``.
Drafts are no judgments, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.controls import Control, hear
from plaudit.formats.exchange.entries import Entry, Reading, make_item, make_judgment, time_of
from plaudit.formats.exchange.fields import find_fields, read_candidates, read_text_field
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Answer, Candidate, Item, Judgment, Rater, Skipped
from plaudit.records import Text

NAME = "label_studio"
TASK = '{"data": {"prompt", "answer1", "answer2"}, "annotations": [{"completed_by", "result"}]}'
RESULT = '{"type": "pairwise|ranker|rating|choices|textarea", "from_name", "to_name", "value"}'
_PEOPLE = ("completed_by", "updated_by", "last_created_by", "user")
_VALUES = {
    "pairwise": ("selected", "pairwise"),
    "ranker": ("ranker", "ranking"),
    "rating": ("rating", "rating"),
    "choices": ("choices", "choice"),
    "textarea": ("text", "text"),
    "number": ("number", "number"),
}


def fits(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("data"), dict)


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Tasks with their annotations and predictions.

    Raises:
        ValueError: a task, or a result in it, has not its shape; the message has file and line.
    """
    for row in rows:
        yield _task(row, reading)


def _task(row: Row, reading: Reading) -> Entry:
    if not fits(row.value):
        row.fail(f"data is {shown(row.value.get('data'))}", TASK)
    prompt, candidates, places = read_data(row, row.value["data"], reading)
    annotations = _listed(row, "annotations")
    predictions = [one for one in _listed(row, "predictions") if isinstance(one, dict)]
    meta = row.value.get("meta")
    named = row.value.get("id", meta.get("item") if isinstance(meta, dict) else None)
    item = make_item(
        row, prompt, candidates, id=named, columns={NAME: _without_answers(row.value, reading)}
    )
    said = [_annotated(row, reading, item, one, places) for one in annotations]
    said += [_predicted(row, reading, item, one, places) for one in predictions]
    gold = [
        judgment.answer
        for one, (judgment, _) in zip(annotations, said, strict=False)
        if one.get("ground_truth") and not isinstance(judgment.answer, Skipped)
    ]
    return Entry(
        item=item.model_copy(update={"gold": gold[0]}) if gold else item,
        judgments=tuple(judgment for judgment, _ in said),
        unread=(
            *(name for _, unread in said for name in unread),
            *("draft, which is left out" for _ in _listed(row, "drafts")),
        ),
        names=dict(filter(None, (_named(one, reading) for one in annotations))),
        where=row.where,
    )


def read_data(
    row: Row, data: Mapping[str, Any], reading: Reading
) -> tuple[Text, list[Candidate], dict[str, int]]:
    """The prompt, the candidates, and by what names results call these.

    Raises:
        ValueError: no field is known for the prompt or for the candidates.
    """
    prompt, fields = find_fields(row, data, reading.choices)
    text = read_text_field(row, data, prompt)
    listed = next((v for k, v in data.items() if k not in (prompt, *fields) and _is_list(v)), None)
    if fields or listed is None:
        candidates = read_candidates(row, data, fields, data)
        return text, candidates, {name: i for i, name in enumerate(fields)}
    bodies = [one.get("body") or one.get("text") or one.get("title") or "" for one in listed]
    candidates = [Candidate(content=str(body)) for body in bodies]
    return text, candidates, {str(one["id"]): i for i, one in enumerate(listed)}


def read_value(
    row: Row, kind: str, name: str, value: Mapping[str, Any], places: Mapping[str, int],
    reading: Reading, to_name: str = "",
) -> Control:  # fmt: skip
    """One result as a control.

    Raises:
        ValueError: the value is not of its type.
    """
    if kind not in _VALUES:
        return Control(name=name, kind="other", value=kind)
    key, called = _VALUES[kind]
    found = value.get(key)
    if kind == "ranker":
        found = _ranks(row, name, found, places, reading)
    if kind == "textarea" and isinstance(found, list) and found:
        found = "\n".join(map(str, found))
    good = {
        "pairwise": found in ("left", "right"),
        "ranker": True,
        "choices": isinstance(found, list) and all(isinstance(one, str) for one in found),
        "textarea": isinstance(found, str),
    }.get(kind, isinstance(found, int | float) and not isinstance(found, bool))
    if not good:
        row.fail(f"{name} has the {key} {shown(found)}", f"a {kind} result: {RESULT}")
    return Control(name=name, kind=called, value=found, of=places.get(to_name))  # pyright: ignore[reportArgumentType]


def hidden(value: Any, reading: Reading) -> Any:
    """A task or annotation without names or ids of people, but for their pseudonyms."""
    if reading.pseudonym is None:
        return value
    if isinstance(value, list):
        return [hidden(one, reading) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: reading.person(person_of(v))
        if key in _PEOPLE and v is not None
        else [reading.person(person_of(one)) for one in v]
        if key == "comment_authors" and isinstance(v, list)
        else v
        if key in ("data", "value")
        else hidden(v, reading)
        for key, v in value.items()
    }


def person_of(value: Any) -> Any:
    """The id in ``completed_by``, which may be expanded into an object."""
    return value.get("id", value.get("email")) if isinstance(value, dict) else value


def _named(annotation: Mapping[str, Any], reading: Reading) -> tuple[str, str] | None:
    match annotation.get("completed_by"):
        case {"first_name": str(first), "last_name": str(last)} as person if first or last:
            return reading.person(person_of(person)), f"{first} {last}".strip()
        case {"email": str(email)} as person:
            return reading.person(person_of(person)), email
    return None


def _annotated(
    row: Row, reading: Reading, item: Item, annotation: Any, places: Mapping[str, int]
) -> tuple[Judgment, tuple[str, ...]]:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        row.fail("an annotation has no list of results", TASK)
    person = person_of(annotation.get("completed_by"))
    said: dict[str, Any] = {
        "submitted_at": time_of(row, "created_at", annotation.get("created_at")),
        "active_seconds": annotation.get("lead_time"),
    }
    unread: tuple[str, ...] = ()
    answer: Answer = Skipped(reason="cancelled" if annotation.get("was_cancelled") else "empty")
    if annotation["result"] and not annotation.get("was_cancelled"):
        heard = hear(row, _controls(row, annotation, places, reading), len(item.candidates),
                     reading.choices)  # fmt: skip
        answer, unread, said = heard.answer, heard.unread, said | heard.said
    rater = Rater(id=reading.person("unnamed" if person is None else person))
    raw, native = hidden(annotation, reading), annotation.get("unique_id") or annotation.get("id")
    judgment = make_judgment(
        row, reading, item, answer, rater, format=NAME, raw=raw, native=native or "", **said
    )
    return judgment, unread


def _predicted(
    row: Row, reading: Reading, item: Item, prediction: Any, places: Mapping[str, int]
) -> tuple[Judgment, tuple[str, ...]]:
    if not isinstance(prediction.get("result"), list):
        row.fail("a prediction has no list of results", TASK)
    controls = _controls(row, prediction, places, reading)
    heard = hear(row, controls, len(item.candidates), reading.choices)
    score, model = prediction.get("score"), str(prediction.get("model_version") or "prediction")
    is_share = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
    name, _, version = model.partition("@")
    said = heard.said | {"submitted_at": time_of(row, "created_at", prediction.get("created_at"))}
    if is_share:
        said["confidence"] = float(score)
    judgment = make_judgment(
        row, reading, item, heard.answer, Rater(id=name, kind="judge", version=version),
        format=NAME, raw=hidden(prediction, reading), native=prediction.get("id") or "", **said,
    )  # fmt: skip
    return judgment, heard.unread + (() if is_share or score is None else ("prediction's score",))


def _controls(
    row: Row, annotation: Mapping[str, Any], places: Mapping[str, int], reading: Reading
) -> list[Control]:
    found = []
    for result in annotation["result"]:
        match result:
            case {"type": str(kind), "from_name": str(name), "value": dict(value)}:
                to_name = str(result.get("to_name", ""))
                found.append(read_value(row, kind, name, value, places, reading, to_name))
            case _:
                row.fail(f"a result is {shown(result)}", RESULT)
    return found


def _ranks(
    row: Row, name: str, buckets: Any, places: Mapping[str, int], reading: Reading
) -> list[int | None]:
    """A rank for each candidate; with several buckets those in one are tied."""
    expected = '{"rank": [ids of the items, the best first]}, or a list for each bucket'
    if not isinstance(buckets, dict) or not all(isinstance(v, list) for v in buckets.values()):
        row.fail(f"{name} has the ranker {shown(buckets)}", expected)
    moved = {key: ids for key, ids in buckets.items() if key != "_"}
    tiers = [[one] for ids in moved.values() for one in ids]
    if len(moved) > 1 or all(key.isdigit() for key in moved):
        order = reading.choices.buckets or sorted(moved, key=lambda key: key.zfill(9))
        known = reading.choices.buckets or all(key.isdigit() for key in moved)
        if not known or set(moved) - set(order):
            row.fail(f"{name} has the buckets {', '.join(moved)}",
                     "their order in the map of choices (buckets: [best, ..., worst])")  # fmt: skip
        tiers = [moved[key] for key in order if moved.get(key)]
    ranks: list[int | None] = [None] * len(places)
    for rank, ids in enumerate(tiers, start=1):
        for one in ids:
            if str(one) not in places:
                row.fail(f"{name} ranks {one!r}", f"one of {', '.join(places)}")
            ranks[places[str(one)]] = rank
    return ranks


def _without_answers(task: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    others = [one for one in task.get("predictions") or [] if not isinstance(one, dict)]
    kept = {"annotations": [], "predictions": others, "drafts": []}
    return hidden({key: kept.get(key, value) for key, value in task.items()}, reading)


def _listed(row: Row, key: str) -> list[Any]:
    found = row.value.get(key) or []
    if not isinstance(found, list):
        row.fail(f"{key} is {shown(found)}", TASK)
    return found


def _is_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "id" in one for one in value)
    )

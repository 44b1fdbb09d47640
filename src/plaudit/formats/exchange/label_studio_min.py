"""Label Studio's JSON_MIN: a row an annotation, the task's data first, then ``id``, then answers.

A single choice or text stands there as a bare string. One that is neither a preference nor beside
another answer may be a label or a text, and is refused. Cancelled annotations are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.formats.exchange.controls import Control, bare, hear, refuse_bare
from plaudit.formats.exchange.entries import (
    Entry,
    Reading,
    Written,
    make_item,
    make_judgment,
    time_of,
)
from plaudit.formats.exchange.label_studio import hidden, person_of, read_data, read_value
from plaudit.formats.exchange.label_studio_writing import number_of
from plaudit.formats.exchange.label_studio_writing import write as write_tasks
from plaudit.formats.files import Row
from plaudit.formats.messages import shown
from plaudit.judgments import Judgment, Rater, Skipped

NAME = "label_studio_min"
ROW = '{"prompt", "answer1", "answer2", "id", "comparison": [{"selected"}], "annotator", ...}'
_KINDS = {
    "selected": "pairwise",
    "ranker": "ranker",
    "rating": "rating",
    "choices": "choices",
    "text": "textarea",
    "number": "number",
}
_AFTER = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")


def fits(value: Mapping[str, Any]) -> bool:
    return all(key in value for key in ("id", "annotator", "annotation_id"))


def read(rows: Iterable[Row], reading: Reading) -> Iterator[Entry]:
    """Annotations, each with its task's data.

    Raises:
        ValueError: a row has not its shape, or a bare string in it could be a choice or a text.
    """
    for row in rows:
        yield _annotation(row, reading)


def _annotation(row: Row, reading: Reading) -> Entry:
    if not fits(row.value):
        row.fail(f"it has the keys {', '.join(row.value)}", ROW)
    parts = _parts(_hidden(row.value, reading))
    prompt, candidates, places = read_data(row, parts["data"], reading)
    item = make_item(row, prompt, candidates, id=row.value["id"])
    controls = [_control(row, key, places, reading) for key in sorted(parts["answers"])]
    heard = hear(row, controls, len(candidates), reading.choices)
    refuse_bare(row, heard, controls, "the export as JSON, which says it")
    rater = Rater(id=reading.person(person_of(row.value["annotator"])))
    judgment = make_judgment(
        row, reading, item, heard.answer, rater, format=NAME,
        raw=parts, native=row.value["annotation_id"],
        submitted_at=time_of(row, "created_at", row.value.get("created_at")),
        active_seconds=row.value.get("lead_time"), **heard.said,
    )  # fmt: skip
    return Entry(item=item, judgments=(judgment,), unread=heard.unread, where=row.where)


def _parts(value: Mapping[str, Any]) -> dict[str, Any]:
    """A row in its parts: only their order in the row tells what is data and what an answer."""
    keys = list(value)
    at = keys.index("id")
    return {
        "data": {key: value[key] for key in keys[:at]},
        "id": value["id"],
        "answers": {key: value[key] for key in keys[at + 1 :] if key not in _AFTER},
        "after": {key: value[key] for key in keys[at + 1 :] if key in _AFTER},
    }


def _control(row: Row, name: str, places: Mapping[str, int], reading: Reading) -> Control:
    value = row.value[name]
    if isinstance(value, str):
        return bare(name, value, reading.choices)
    match value:
        case [{**inner}, *_] if key := next((key for key in inner if key in _KINDS), ""):
            return read_value(row, _KINDS[key], name, inner, places, reading)
        case {"choices": list(labels)}:
            return Control(name=name, kind="choice", value=labels)
        case [str(), *_] if name == "flags":
            return Control(name=name, kind="choice", value=value)
        case [str(), *_]:
            return Control(name=name, kind="text", value="\n".join(map(str, value)))
    row.fail(f"{name} is {shown(value)}", ROW)


def write(entries: Iterable[Entry]) -> Iterator[Written]:
    """One row a judgment of a person; nothing of those that were skipped."""
    for entry in entries:
        for judgment in entry.judgments:
            if judgment.rater.kind == "judge" or isinstance(judgment.answer, Skipped):
                continue
            if row := _row(entry, judgment):
                yield Written(value=row, says=(judgment,), items=(entry.item,))


def _row(entry: Entry, judgment: Judgment) -> dict[str, Any] | None:
    own: Any = judgment.raw.get(NAME)
    if own:
        person = own["after"]["annotator"]
        numbered = {"annotator": number_of(person)} if isinstance(person, str) else {}
        return own["data"] | {"id": own["id"]} | own["answers"] | own["after"] | numbered
    plain = entry.item.model_copy(update={"columns": {}})
    alone = Entry(item=plain, judgments=(judgment.model_copy(update={"raw": {}}),))
    (task,) = (one.value for one in write_tasks([alone]))
    if not task.get("annotations"):
        return None
    (annotation,) = task["annotations"]
    return {
        **task["data"],
        "id": task.get("id", entry.item.id),
        **{result["from_name"]: _minimal(result) for result in annotation["result"]},
        "annotator": annotation["completed_by"],
        "annotation_id": judgment.id,
        **{key: annotation[key] for key in _AFTER if key in annotation},
    }


def _minimal(result: Mapping[str, Any]) -> Any:
    """A single choice or text is unwrapped, several stand in a list."""
    match result["type"], result["value"]:
        case "choices", {"choices": [label]}:
            return label
        case "choices", {"choices": labels}:
            return {"choices": labels}
        case "textarea", {"text": [text]}:
            return text
    return [result["value"]]


def _hidden(row: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    person = {"completed_by": row["annotator"]}
    return {**row, "annotator": hidden(person, reading)["completed_by"]}

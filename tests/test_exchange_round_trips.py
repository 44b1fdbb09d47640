"""Rows read and written again are the rows that were read, in every format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plaudit.aggregation import targets
from plaudit.formats.exchange import EXCHANGE_FORMATS, Entry, Reading, read_exchange, write_exchange
from plaudit.formats.exchange.training import training_rows
from plaudit.formats.files import Row
from plaudit.judgments import Answer, Candidate, Item, Pairwise, Rated, Written
from plaudit.records import Message
from tests.exchange_samples import OASST_MESSAGES, OASST_THREADS, SAMPLES
from tests.judging import item, judgment


def read_sample(tmp_path: Path, rows: list[dict[str, Any]], **how: Any) -> list[Entry]:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(rows))
    return read_exchange(path, Reading(project="p", **how))


def without_raw(entry: Entry) -> Entry:
    item = entry.item.model_copy(update={"columns": {}})
    judgments = (judgment.model_copy(update={"raw": {}}) for judgment in entry.judgments)
    return replace(entry, item=item, judgments=tuple(judgments))


def judged_once(of: Item, answer: Answer, **more: Any) -> Entry:
    return Entry(item=of, judgments=(judgment(of, "ann", answer, **more),))


def twice(of: Item, answer: Answer) -> Entry:
    again = judgment(of, "ann", answer, is_repeat=True)
    return Entry(item=of, judgments=(judgment(of, "ann", answer), again))


def answered_by(*contents: Any) -> Item:
    made = tuple(Candidate(content=content) for content in contents)
    return item().model_copy(update={"candidates": made})


def test_every_format_but_our_own_has_a_sample() -> None:
    assert set(SAMPLES) == set(EXCHANGE_FORMATS) - {"plaudit"}


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    entries = read_sample(tmp_path, SAMPLES[name])
    rows = write_exchange(entries, name)
    assert list(rows.values) == SAMPLES[name]
    # The prompt of this one is in the name of its file.
    assert rows.losses == ({"item's id": 1, "item's prompt": 1} if name == "ukp_convarg" else {})
    assert rows.judgments == sum(len(entry.judgments) for entry in entries) > 0


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_known_by_its_shape(tmp_path: Path, name: str) -> None:
    formats = {
        judgment_format
        for entry in read_sample(tmp_path, SAMPLES[name])
        for judgment in entry.judgments
        for judgment_format in judgment.raw
    }
    assert formats == {name}


@pytest.mark.parametrize("rows", [OASST_THREADS, OASST_MESSAGES], ids=["threads", "messages"])
def test_trees_in_pieces_come_back_in_pieces(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    entries = read_sample(tmp_path, rows)
    assert len(entries) == 1 and len(entries[0].judgments) == 3
    found = write_exchange(entries, "oasst").values
    # Each thread repeats the first message, with its events.
    assert list(found) == rows


@pytest.mark.parametrize("name", SAMPLES)
def test_our_own_lines_lose_nothing(tmp_path: Path, name: str) -> None:
    entries = read_sample(tmp_path, SAMPLES[name])
    rows = write_exchange(entries, "plaudit")
    assert rows.losses == {}
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in rows.values))
    again = read_exchange(path, Reading(project="p"))
    assert [j for e in again for j in e.judgments] == [j for e in entries for j in e.judgments]
    assert {e.item.id: e.item for e in again} == {e.item.id: e.item for e in entries}


@pytest.mark.parametrize("name", SAMPLES)
def test_without_its_row_an_answer_is_written_anew(tmp_path: Path, name: str) -> None:
    """The losses are of what stands beside the answer, which the table names."""
    bare = [without_raw(entry) for entry in read_sample(tmp_path, SAMPLES[name])]
    rows = write_exchange(bare, name)
    lost = {k: n for k, n in rows.losses.items() if k.startswith("judgment") or k == "answer"}
    # Of the SDK's forms the judge's one suggestion is not written.
    judges = {"argilla_disk", "argilla_flat"}
    assert lost == ({"judgment (pairwise)": 1} if name in judges else {}), rows.losses


@pytest.mark.parametrize("target", EXCHANGE_FORMATS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_into_every_other_says_what_it_loses(
    tmp_path: Path, name: str, target: str
) -> None:
    bare = [without_raw(entry) for entry in read_sample(tmp_path, SAMPLES[name])]
    rows = write_exchange(bare, target)
    judgments = sum(len(entry.judgments) for entry in bare)
    unsaid = sum(number for key, number in rows.losses.items() if key.startswith("judgment ("))
    without = sum(not entry.judgments for entry in bare)
    keeps_items = target in ("plaudit", "label_studio", "argilla", "argilla_disk")
    assert rows.losses.get("item without judgments", 0) == (0 if keeps_items else without)
    assert rows.judgments + unsaid == judgments


def chat(text: str) -> tuple[Message, ...]:
    return (Message(role="assistant", content=text),)


AWKWARD = {
    "a note beside a text": [judged_once(item("w"), Written(text="Tea."), rationale="So hot.")],
    "a chat and texts": [
        judged_once(item("c", prompt=(Message(role="user", content="hi"),)), Pairwise(strength=2))
    ],
    "a text and turns": [judged_once(answered_by(chat("one"), chat("two")), Pairwise(strength=2))],
    "marks of turns": [
        judged_once(
            answered_by(chat("one"), chat("two")), Rated(values=(1.0, 2.0)),
            criteria={"helpful": (1.0, 2.0)},
        )
    ],
    "one who was asked twice": [twice(item("t"), Rated(values=(1.0, 2.0)))],
}  # fmt: skip


@pytest.mark.parametrize("name", EXCHANGE_FORMATS)
@pytest.mark.parametrize("given", AWKWARD.values(), ids=AWKWARD)
def test_what_cannot_be_said_is_counted_and_stops_nothing(given: list[Entry], name: str) -> None:
    plain = judged_once(item("p"), Pairwise(strength=2))
    rows = write_exchange([*given, plain], name)
    said = sum(len(entry.judgments) for entry in [*given, plain])
    lost = sum(n for loss, n in rows.losses.items() if loss.startswith("judgment ("))
    assert rows.judgments + lost == said


def test_a_note_that_stands_before_the_text_is_a_note() -> None:
    (entry,) = AWKWARD["a note beside a text"]
    (row,) = write_exchange([entry], "argilla").values
    (back,) = EXCHANGE_FORMATS["argilla"].read([Row(where="r:1", value=row)], Reading(project="p"))
    (judgment,) = back.judgments
    assert judgment.answer == Written(text="Tea.") and judgment.rationale == "So hot."


def test_texts_go_with_turns_as_turns() -> None:
    (row,) = write_exchange(AWKWARD["a chat and texts"], "trl").values
    assert row["chosen"] == [{"role": "assistant", "content": "two"}]
    (entry,) = AWKWARD["a text and turns"]
    (made,) = targets([entry.item], entry.judgments)
    (row,), _ = training_rows([made], "trl")
    assert row["prompt"] == [{"role": "user", "content": "prompt i"}]

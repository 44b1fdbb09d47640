"""Rows read and written again are the rows that were read, in every format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plaudit.formats.exchange import EXCHANGE_FORMATS, Entry, Reading, read_exchange, write_exchange
from tests.exchange_samples import OASST_MESSAGES, OASST_THREADS, SAMPLES


def read_sample(tmp_path: Path, rows: list[dict[str, Any]], **how: Any) -> list[Entry]:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(rows))
    return read_exchange(path, Reading(project="p", **how))


def without_raw(entry: Entry) -> Entry:
    item = entry.item.model_copy(update={"columns": {}})
    judgments = (judgment.model_copy(update={"raw": {}}) for judgment in entry.judgments)
    return replace(entry, item=item, judgments=tuple(judgments))


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

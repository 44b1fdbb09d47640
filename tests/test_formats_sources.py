"""Where data comes from: every kind of file, saved directories, patterns, the hub."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plaudit.formats import load_demonstrations, load_judged, load_prompts
from tests.rows import PAIR, USER, turns, write


def test_every_kind_of_file_holds_the_same(tmp_path: Path):
    rows = [{**PAIR, "margin": 2.0}, {"prompt": 'A "b",\nc', "chosen": "d", "rejected": "e"}]
    expected = load_judged(write(tmp_path / "data.jsonl", *rows))
    text = (tmp_path / "data.jsonl").read_text()
    header = "prompt,chosen,rejected,margin\n"
    csv = header + 'The sky is, blue., green.,2\n"A ""b"",\nc",d,e,\n'
    files = {
        "data.jsonl.gz": gzip.compress(text.encode()),
        "data.json": json.dumps(rows, indent=1).encode(),
        "data.json.gz": gzip.compress(json.dumps(rows).encode()),
        "data.csv": csv.encode("utf-8-sig"),
        "data.csv.gz": gzip.compress(csv.encode()),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    for name in (*files, "data.parquet", "saved"):
        found = load_judged(str(tmp_path / name))
        assert [j.responses for j in found] == [j.responses for j in expected], name
        assert [j.preferences for j in found] == [j.preferences for j in expected], name
    assert found[1].prompt.id == "saved:row 2"
    (tmp_path / "labels.csv").write_text("prompt,completion,label\na,b,True\nc,d,false\n")
    assert [j.ratings[0].value for j in load_judged(str(tmp_path / "labels.csv"))] == [1, 0]


def test_arrow_fills_gaps_with_nulls_which_are_not_data(tmp_path: Path):
    functions = [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {"y": 2}}]
    calls = [{"type": "function", "function": function} for function in functions]
    talk = [USER, *({"role": "assistant", "tool_calls": [call]} for call in calls)]
    path = tmp_path / "calls.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": talk, "tools": None}]), path)
    (one,) = load_demonstrations(str(path))
    assert [m.tool_calls[0].arguments for m in turns(one.response.content)] == [{"x": 1}, {"y": 2}]


def test_saved_splits_patterns_and_names_that_repeat(tmp_path: Path):
    parts = [(s, datasets.Dataset.from_list([{"prompt": s}])) for s in ("train", "test")]
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    for suffix, expected in (("", "train"), (":train", "train"), (":test", "test")):
        assert load_prompts(f"{tmp_path}/saved{suffix}")[0].content == expected
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "p.jsonl", {"prompt": folder})
    found = load_prompts(f"{tmp_path}/*/p.jsonl")
    assert [(p.id, p.content) for p in found] == [("p.jsonl:1", "a"), ("p.jsonl:1 (2)", "b")]


def test_the_hub_is_asked_for_a_split_and_never_runs_code(monkeypatch):
    asked = []

    def load_dataset(*names: str, **options: object) -> datasets.Dataset:
        asked.append((*names, options))
        return datasets.Dataset.from_list([PAIR])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_judged("org/pairs-v1.5:test")[0].prompt.id == "pairs-v1.5:test:row 1"
    load_judged("org/pairs")
    assert asked == [("org/pairs-v1.5", {"split": "test"}), ("org/pairs", {"split": "train"})]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def load_dataset(*names: str, **options: object) -> datasets.Dataset:
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match=r"^org/pairs: no such file here, .* no route$"):
        load_judged("org/pairs")


def test_nothing_heavy_is_imported():
    code = "import sys, plaudit.formats as f; assert not {'torch', 'datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

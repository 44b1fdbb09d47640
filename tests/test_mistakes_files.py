"""Mistakes in data and outputs: one line each, and nothing half-written is left."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import entries, plaudit, plaudit_process, the_mistake
from tests.small import small_checkpoint

TEXT = {"prompt": "a", "completion": "b"}
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}
RATING = {"prompt": "a", "completion": "b", "label": True}
CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
FUNCTION = ("max_steps=1", "reward_function=json:loads")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model") / "base")


def lines(*rows: object) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


DATA = {
    "missing": ("sft", "d.jsonl", None, [], "d.jsonl: no such file"),
    "empty": ("sft", "d.jsonl", b"", [], "d.jsonl: holds no rows"),
    "not JSON": ("sft", "d.jsonl", lines(TEXT) + b"\n{", [], "d.jsonl:2: not valid JSON"),
    "an array": ("sft", "d.jsonl", b"[{}]", [], "d.jsonl:1: holds one JSON array; expected one"),
    "other columns": (
        "sft",
        "d.jsonl",
        lines({"instruction": "a", "output": "b"}),
        [],
        "d.jsonl:1: no known format has the keys instruction, output; expected one of: ",
    ),
    "prompts to reward": (
        "reward",
        "d.jsonl",
        lines({"prompt": "a"}),
        [],
        "d.jsonl:1: the file holds prompts (prompt_only, by the keys prompt), which are for the rl "
        'stage; expected judged responses: {"prompt": "..." or [messages], "completion": the same',
    ),
    "demonstrations to compare": (
        "preference",
        "d.jsonl",
        lines(TEXT),
        [],
        "d.jsonl:1: the file holds demonstrations (prompt_completion, by the keys prompt, "
        "completion), which are for the sft stage",
    ),
    "ratings to compare": (
        "preference",
        "d.jsonl",
        lines(RATING),
        [],
        "d.jsonl: holds ratings but no preferences; the preference stage needs pairs",
    ),
    "pairs to imitate": ("sft", "d.jsonl", lines(PAIR), [], "d.jsonl:1: the file holds judged"),
    "two shapes": ("sft", "d.jsonl", lines(TEXT, PAIR), [], "d.jsonl:2: a row of preference in"),
    "a cut archive": (
        "sft",
        "d.jsonl.gz",
        gzip.compress(lines(TEXT))[:-8],
        [],
        "d.jsonl.gz: cannot be unpacked",
    ),
    "junk": ("sft", "d.parquet", b"\x00junk\xff" * 9, [], "d.parquet: not a readable Parquet file"),
    "a table of text": (
        "sft",
        "d.csv",
        b"prompt,completion\na\n",
        [],
        "d.csv:2: not as many fields",
    ),
    "another kind": ("sft", "d.doc", b"a", [], "d.doc: cannot read .doc; read .csv, .json, .jsonl"),
    "not text": ("sft", "d.jsonl", b'{"prompt": "\xe9"}', [], "d.jsonl: not UTF-8 text (byte 12)"),
    "long rows": ("sft", "d.jsonl", lines(TEXT), ["max_length=2"], "max_length=2: none of 1 rows"),
    "long pairs": ("preference", "d.jsonl", lines(PAIR), ["max_length=2"], "max_length=2: none of"),
    "long judged": ("reward", "d.jsonl", lines(PAIR), ["max_length=2"], "max_length=2: none of 1"),
    "long prompts": (
        "rl",
        "d.jsonl",
        lines(PAIR),
        ["max_prompt_length=1", *FUNCTION],
        "max_prompt_length=1: none of 1 prompts fits",
    ),
    "an empty portion": (
        "sft",
        "d.jsonl",
        lines(TEXT),
        ["portion=[0, 1e-9]"],
        "d.jsonl: none of its 1 usable rows is in the portion",
    ),
    "a portion backwards": (
        "sft",
        "d.jsonl",
        lines(TEXT),
        ["portion=[0.9, 0.1]"],
        "expected 0 <= from < to <= 1",
    ),
    "control tokens": (
        "sft",
        "d.jsonl",
        lines({"messages": [{**CHAT[0], "content": "<|end|>"}, CHAT[1]]}),
        [],
        "the user's message holds '<|end|>', which the model reads as structure",
    ),
}


@pytest.mark.parametrize("fault", DATA)
def test_data_with_a_fault_is_named_with_its_line(
    base: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    stage, name, content, options, said = DATA[fault]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    arguments = [f"model={base}", f"dataset={name}", *options, "--output", "runs/out"]
    the_mistake(plaudit(stage, *arguments), said)
    assert entries(tmp_path) <= {name}


SHIPPED = "plaudit/coffee-bra/ratings.jsonl.gz"
PLACES = {
    "a slip": (SHIPPED, "not shipped with Plaudit; did you mean plaudit/coffee-bar/ratings.jsonl"),
    "a directory": ("data", "data: a directory, but not one of datasets.save_to_disk; name files"),
    "a pattern": ("data/*.csv", "data/*.csv: no such file"),
}


@pytest.mark.parametrize("fault", PLACES)
def test_data_that_is_nowhere(
    base: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    name, said = PLACES[fault]
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    the_mistake(plaudit("sft", f"model={base}", f"dataset={name}", "--output", "out"), said)
    assert entries(tmp_path) == {"data"}


def test_names_on_a_hub_out_of_reach(base: Path, tmp_path: Path):
    (tmp_path / "d.jsonl").write_bytes(lines(TEXT))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    for model, dataset, said in (
        (
            "no-such/model",
            "d.jsonl",
            "no-such/model: no such directory here, and not a model: We couldn't connect",
        ),
        (base, "no-such/data", "no-such/data: no such file here, and not to be had from the"),
    ):
        arguments = ["sft", f"model={model}", f"dataset={dataset}", "--output", "out"]
        the_mistake(plaudit_process(*arguments, cwd=tmp_path, **offline), said)
    assert {e for e in entries(tmp_path) if not e.startswith("empty")} == {"d.jsonl"}


def a_file(place: Path) -> None:
    place.write_text("")


def a_directory(place: Path) -> None:
    place.mkdir()
    (place / "thesis.tex").write_text("")


def an_artifact(record: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.mkdir()
        (place / "artifact.json").write_text(record)

    return make


def damaged(**values: object) -> Callable[[Path], None]:
    whole = {"stage": "sft", "config": {}, "inputs": {}, "files": {}, "metrics": {}, "seconds": 1.0}
    return an_artifact(json.dumps({**whole, "peak_rss_mb": 1, **values}))


OUTPUTS = {
    "a file": ("out", a_file, "out: a file; expected a directory to write"),
    "in a file": ("out/sft", None, "d.jsonl"),
    "somebody's": ("out", a_directory, "out: exists and is not an artifact; choose another output"),
    "another stage's": ("out", damaged(stage="rl"), "out: holds the artifact of rl, not of sft"),
    "half a record": ("out", an_artifact("{"), "out/artifact.json: not valid JSON"),
    "a list": ("out", an_artifact("[]"), "out/artifact.json: config is missing or damaged"),
    "no record": ("out", an_artifact("{}"), "out/artifact.json: config is missing or damaged"),
    "a number": ("out", damaged(inputs=3), "out/artifact.json: inputs is missing or damaged"),
    "no name": (".", None, ".: expected the name of a directory to write, such as runs/sft"),
    "a long name": ("x" * 300, None, "File name too long; expected a path you may use"),
}


@pytest.mark.parametrize("fault", OUTPUTS)
def test_an_output_where_something_is_or_nothing_can_be(
    base: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    output, make, said = OUTPUTS[fault]
    monkeypatch.chdir(tmp_path)
    Path("d.jsonl").write_bytes(lines(TEXT))
    if make is not None:
        make(Path("out"))
    if fault == "in a file":
        output, said = "d.jsonl/sft", "d.jsonl/sft: "
    before = entries(tmp_path)
    outcome = plaudit("sft", f"model={base}", "dataset=d.jsonl", "--output", output)
    the_mistake(outcome, said)
    assert entries(tmp_path) == before


def test_an_output_that_overlaps_an_input(base: Path, tmp_path: Path):
    out = tmp_path / "out"
    damaged()(out)
    shutil.copytree(base, out / "model")
    before = entries(tmp_path)
    for model in (out / "model", tmp_path):
        (tmp_path / "config.json").touch()
        outcome = plaudit("sft", f"model={model}", f"dataset={__file__}", "--output", out)
        the_mistake(outcome, f"{out}: overlaps its input model ({model}); choose another output")
    assert entries(tmp_path) == before | {"config.json"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_that_cannot_be_written(base: Path, tmp_path: Path):
    (tmp_path / "d.jsonl").write_bytes(lines(TEXT))
    (tmp_path / "locked").mkdir(mode=0o500)
    arguments = [f"model={base}", f"dataset={tmp_path}/d.jsonl"]
    outcome = plaudit("sft", *arguments, "--output", tmp_path / "locked" / "out")
    the_mistake(outcome, "locked is not yours to write in; choose another output")


def test_a_place_that_refuses_is_named(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "d.jsonl").write_bytes(lines(TEXT))
    arguments = [f"model={base}", f"dataset={tmp_path}/d.jsonl"]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    outcome = plaudit("sft", *arguments, "--output", tmp_path / "new" / "out")
    the_mistake(outcome, f"out: {tmp_path} is not yours to write in; choose another output")

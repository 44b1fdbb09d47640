"""Faults in data: one line that names the file, the line, the problem and what was expected."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plaudit.formats import load_demonstrations, load_judged, load_prompts
from plaudit.formats.shapes import SHAPES
from tests.rows import BAD, DIALOGUES, GOOD, PAIR, RATINGS, USER, said, write

TALK = [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]
FAULTS = {
    "half a row": ('{"prompt": "a"', "not valid JSON", "one JSON object a line"),
    "a number": ("3", "found a int", "a JSON object"),
    "an array in lines": ('[{"prompt": "a"}]', "holds one JSON array", ".json"),
    "unknown keys": ({"question": 1, "answer": 2}, "the keys question, answer", "prompt_only"),
    "no keys": ({}, "the keys none", "hh"),
    "null prompt": ({"prompt": None}, "prompt is missing or null", '{"prompt"'),
    "empty prompt": ({"prompt": ""}, "prompt is empty", '{"prompt"'),
    "no messages": ({"prompt": []}, "prompt is empty", '"role"'),
    "prefilled": ({"prompt": [USER, GOOD]}, "ends with the assistant", '{"prompt"'),
    "empty text": ({"text": ""}, "text is empty", '{"text"'),
    "text is a list": ({"text": ["a"]}, "text is ['a']", '{"text"'),
    "nobody answers": ({"messages": [USER]}, "the assistant says nothing", '"role"'),
    "messages as text": ({"messages": "hi"}, "messages is 'hi'", '"role"'),
    "messages in CSV": ({"text": str([USER, GOOD])}, "messages written as text", '{"text"'),
    "not a message": ({"messages": ["hi"]}, "messages[0] is 'hi'", '"role"'),
    "unknown role": ({"messages": [said("bot", "hi")]}, "the role 'bot'", "system|user"),
    "null content": ({"messages": [said("user", None)]}, "messages[0] has the content", '"role"'),
    "parts": ({"messages": [said("user", [{"type": "text"}])]}, "has the content [{", '"role"'),
    "reasoning": ({"messages": [{**GOOD, "thinking": "hm"}]}, "thinking, not supported", "role"),
    "half an emoji": ('{"prompt": "\\ud83d"}', "half a character", "both"),
    "unknown speaker": ({"messages": [{"from": "x", "value": "a"}]}, "from 'x'", "human|gpt"),
    "null value": ({"messages": [{"from": "gpt"}]}, "has the value missing", "human|gpt"),
    "the user calls": (
        {"messages": [{**USER, "tool_calls": [{"function": {"name": "f"}}]}]},
        "not an assistant's message",
        '"tool_calls"',
    ),
    "a bare call": (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"name": "f"}]}]},
        "messages[1] has the tool call",
        '"function"',
    ),
    "broken arguments": (
        {"messages": [{**GOOD, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
        "broken JSON",
        '"arguments"',
    ),
    "arguments in a list": (
        {"messages": [{**GOOD, "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}]},
        "calls f with the arguments [1]",
        '"arguments"',
    ),
    "tools": ({"messages": TALK, "tools": [{"name": "f"}]}, "tools is not supported", "no tools"),
    "template": ({"prompt": "a", "chat_template_kwargs": {"x": 1}}, "not supported", "none in it"),
    "completion of messages": ({"prompt": "a", "completion": [GOOD]}, "one is text", "the same"),
    "the user completes": ({"prompt": [USER], "completion": [USER]}, "begins with the user", "the"),
    "no rejected": ({"prompt": "a", "chosen": "b", "rejected": None}, "rejected is missing", '"ch'),
    "two kinds": ({"chosen": "b", "rejected": [GOOD]}, "one is text, the other", '"chosen"'),
    "nothing shared": ({"chosen": "Yes it", "rejected": "No it"}, "the same words", '"chosen"'),
    "no turn shared": (
        {"chosen": [USER, GOOD], "rejected": [said("user", "?"), BAD]},
        "share no turns",
        '"chosen"',
    ),
    "a question apart": (
        {"question": "q", "chosen": "It is a", "rejected": "It is b"},
        "a column question",
        '"prompt"',
    ),
    "another prompt": (
        {"prompt": "?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        "none of the messages in chosen",
        '"prompt"',
    ),
    "margin in words": ({**PAIR, "margin": "much"}, "margin is 'much'", "a finite number"),
    "margin not a number": ({**PAIR, "margin": float("nan")}, "margin is nan", "a finite number"),
    "too sure": ({**PAIR, "probability": 1.5}, "probability is 1.5", "0 to 1"),
    "percent": ({**PAIR, "probability": 70}, "probability is 70", "0 to 1"),
    "surer than not": ({**PAIR, "probability": True}, "probability is True", "a finite number"),
    "doubt in words": ({**PAIR, "probability": "low"}, "probability is 'low'", "a finite number"),
    "a label of 1": ({"prompt": "a", "completion": "b", "label": 1}, "label is 1", "true or false"),
    "labels of 1": (
        {"prompt": "a", "completions": ["b"], "labels": [1]},
        "labels is [1]",
        '"labels"',
    ),
    "too few labels": (
        {"prompt": "a", "completions": ["b", "c"], "labels": [True]},
        "2 completions but 1 labels",
        '"labels"',
    ),
    "no steps": ({"prompt": "a", "completions": [], "labels": []}, "completions is []", '"labels"'),
    "a bad reward": (
        {"context": "[]", "generation": '{"role": "agent", "text": "a"}', "reward": 2},
        "reward is 2",
        '"reward"',
    ),
    "broken context": ({"context": "[", "generation": "", "reward": 1}, "is not JSON", '"reward"'),
    "a bad note": (
        {"utterances": [{"speaker": "user", "text": "a", "annotations": [3]}]},
        "not an annotation: 3",
        '"utterances"',
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_line_and_what_was_expected(tmp_path: Path, fault: str):
    row, problem, expected = FAULTS[fault]
    first = "" if fault == "an array in lines" else "\n"
    path = tmp_path / "bad.jsonl"
    path.write_text(first + (row if isinstance(row, str) else json.dumps(row)), encoding="utf-8")
    with pytest.raises(ValueError) as raised:
        load_prompts(str(path))
    message = str(raised.value)
    assert message.startswith(f"{path}:{1 + len(first)}: ") and "\n" not in message
    found, _, wanted = message.partition("; expected ")
    assert problem in found and expected in wanted


DAMAGED = {
    "empty.jsonl": (b"", "holds no rows"),
    "cut.jsonl.gz": (gzip.compress(b'{"prompt": "a"}')[:-12], "cannot be unpacked"),
    "not.jsonl.gz": (b"plain", "cannot be unpacked"),
    "latin.jsonl": ('{"prompt": "é"}'.encode("latin-1"), "not UTF-8"),
    "object.json": (b'{"prompt": "a"}', "expected a JSON array"),
    "open.json": (b'[{"prompt": "a"}', ":1: not valid JSON"),
    "comma.json": (b'[{"prompt": "a"}\n{"prompt": "b"}]', ":2: not valid JSON"),
    "trailing.json": (b'[{"prompt": "a"},]', ":1: not valid JSON"),
    "after.json": (b'[{"prompt": "a"}] x', "after the end"),
    "short.csv": (b"prompt,answer\na,b\nc\n", ":3: not as many fields"),
    "quote.csv": (b'prompt,answer\na,"b\nc,d\n', ":2: not valid CSV"),
    "not.parquet": (b"PAR1", "not a readable Parquet"),
    "prompts.txt": (b"a", "cannot read .txt"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named_in_one_line(tmp_path: Path, name: str):
    content, problem = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as raised:
        load_prompts(str(tmp_path / name))
    assert str(raised.value).startswith(f"{tmp_path / name}")
    assert problem in str(raised.value) and "\n" not in str(raised.value)


def test_the_wrong_kind_says_what_is_there_and_what_is_needed(tmp_path: Path):
    prompts = write(tmp_path / "p.jsonl", {"prompt": "a"})
    pairs = write(tmp_path / "pairs.jsonl", PAIR)
    with pytest.raises(ValueError, match=r"p.jsonl:1: the file holds prompts .*expected judged"):
        load_judged(prompts)
    with pytest.raises(ValueError, match=r"judged responses \(preference, by .* reward stage"):
        load_demonstrations(pairs)
    with pytest.raises(ValueError, match=r"holds demonstrations.* sft stage"):
        load_judged(DIALOGUES)
    with pytest.raises(ValueError, match="only text that nothing comes before"):
        load_prompts(write(tmp_path / "t.jsonl", {"text": "a"}))


def test_one_file_has_one_format(tmp_path: Path):
    mixed = write(tmp_path / "m.jsonl", {"prompt": "a", "completion": "b"}, {"prompt": "a"})
    with pytest.raises(ValueError, match=r"m.jsonl:2: a row of prompt_only in a file of prompt_co"):
        load_prompts(mixed)
    with pytest.raises(ValueError, match=r"m.jsonl:2: completion is missing"):
        load_prompts(mixed, format="prompt_completion")
    assert len(load_prompts(mixed, format="prompt_only")) == 2


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        (RATINGS, {"portion": (0.0, 1e-9)}, "none of its .* usable rows is in the portion"),
        (RATINGS, {"portion": (0.9, 0.1)}, "expected 0 <= from < to <= 1"),
        (RATINGS, {"format": "axolotl"}, "axolotl: no such format; choose auto, "),
        ("nowhere/pairs.jsonl", {}, "no such file"),
        ("plaudit/pairs", {}, "not shipped"),
        ("plaudit/coffee-bar", {}, "only a directory"),
        (str(Path(__file__).parent), {}, "not one of datasets.save_to_disk"),
    ],
)
def test_names_and_options_that_cannot_be_met(name: str, options: dict, problem: str):
    with pytest.raises(ValueError, match=problem):
        load_judged(name, **options)


def test_saved_directories_name_their_splits(tmp_path: Path):
    one = datasets.Dataset.from_list([{"prompt": "a"}])
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"test": one}).save_to_disk(str(tmp_path / "many"))
    with pytest.raises(ValueError, match="without splits; leave out :test"):
        load_prompts(f"{tmp_path}/one:test")
    with pytest.raises(ValueError, match="no split train; there are test"):
        load_prompts(f"{tmp_path}/many")


def test_a_file_of_equal_pairs_is_an_error(tmp_path: Path):
    row = {"prompt": "a", "chosen": "b", "rejected": "b"}
    with pytest.raises(ValueError, match="every row is a pair of equal sides"):
        load_judged(write(tmp_path / "a.jsonl", row))


def test_unknown_keys_show_every_known_shape(tmp_path: Path):
    with pytest.raises(ValueError) as raised:
        load_prompts(write(tmp_path / "a.jsonl", {"instruction": "a", "output": "b"}))
    assert all(f"{name} {shape.example}" in str(raised.value) for name, shape in SHAPES.items())


def test_a_column_that_json_cannot_hold_is_named(tmp_path: Path):
    pq.write_table(pa.Table.from_pylist([{"prompt": "a", "raw": b"1"}]), tmp_path / "raw.parquet")
    with pytest.raises(ValueError, match=r"raw.parquet:row 1: columns.raw[^\n]*; expected "):
        load_prompts(str(tmp_path / "raw.parquet"))

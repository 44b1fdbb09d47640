"""Others' formats: every shape in, no word lost, and what is said of one prompt stands together."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaudit.formats import (
    conversation_key,
    load_demonstrations,
    load_judged,
    load_prompts,
    load_stepped,
    place,
    read_rows,
)
from plaudit.records import Judged, Message, Preference, Rating, ToolCall
from tests.rows import BAD, DIALOGUES, GOOD, PAIR, RATINGS, USER, messages, said, text, turns, write

HH = Path(__file__).parents[2] / "shared/data/hh-rlhf/harmless-base/test.jsonl.gz"


# Every type of TRL, standard and conversational.


@pytest.mark.parametrize(
    ("row", "prompt", "response"),
    [
        ({"text": "The sky."}, "", "The sky."),
        ({"prompt": "The sky is", "completion": " blue."}, "The sky is", " blue."),
        ({"prompt": [USER], "completion": [GOOD]}, messages(USER), messages(GOOD)),
        ({"messages": [USER, GOOD, USER]}, messages(USER), messages(GOOD)),
        ({"messages": [GOOD, USER, BAD]}, (), messages(GOOD, USER, BAD)),
        (
            {"messages": [said("system", "Be kind."), USER, GOOD, USER, BAD], "tools": []},
            messages(said("system", "Be kind."), USER),
            messages(GOOD, USER, BAD),
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Sky?"},
                    {"from": "gpt", "value": "Blue."},
                ]
            },
            messages(USER),
            messages(GOOD),
        ),
    ],
)
def test_demonstrations(tmp_path: Path, row, prompt, response):
    (one,) = load_demonstrations(write(tmp_path / "a.jsonl", row))
    assert (one.prompt.content, one.response.content) == (prompt, response)
    assert one.prompt.id == "a.jsonl:1"
    assert one.prompt.conversation == (
        "sky" if isinstance(prompt, tuple) else prompt or "a.jsonl:1"
    )


@pytest.mark.parametrize(
    ("row", "prompt", "chosen", "rejected"),
    [
        (PAIR, "The sky is", " blue.", " green."),
        (
            {"chosen": "The sky is blue.", "rejected": "The sky is green."},
            "The sky is",
            " blue.",
            " green.",
        ),
        ({"chosen": "Q: x?\nblue", "rejected": "Q: x?\nblack"}, "Q: x?\n", "blue", "black"),
        ({"chosen": "the sky is", "rejected": "the sky is blue"}, "the sky", " is", " is blue"),
        (
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
            messages(USER),
            messages(GOOD),
            messages(BAD),
        ),
        (
            {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
            messages(USER),
            messages(GOOD),
            messages(BAD),
        ),
        (
            {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, GOOD]},
            messages(USER),
            messages(GOOD, USER, GOOD),
            messages(GOOD),
        ),
        (
            {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, GOOD, said("user", "?"), BAD]},
            messages(USER),
            messages(GOOD, USER, GOOD),
            messages(GOOD, said("user", "?"), BAD),
        ),
        (
            {"prompt": "Sky?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "score_chosen": 8},
            messages(USER),
            messages(GOOD),
            messages(BAD),
        ),
    ],
)
def test_preferences(tmp_path: Path, row, prompt, chosen, rejected):
    (one,) = load_judged(write(tmp_path / "a.jsonl", {**row, "margin": 1.5}))
    assert one.prompt.content == prompt
    assert [r.content for r in one.responses] == [chosen, rejected]
    assert one.preferences == (Preference(better=0, worse=1, margin=1.5),)
    assert one.prompt.columns == {k: v for k, v in row.items() if k == "score_chosen"}


@pytest.mark.parametrize("row", [PAIR, {"chosen": [USER, GOOD], "rejected": [USER, BAD]}, "hh"])
def test_a_pair_says_how_sure_it_is(tmp_path: Path, row: dict | str):
    row = HH_ROWS[0] if isinstance(row, str) else row
    for probability, found in ((0.7, 0.7), (0, 0.0), ("", 1.0), (None, 1.0)):
        (one,) = load_judged(write(tmp_path / "a.jsonl", {**row, "probability": probability}))
        assert one.preferences == (Preference(better=0, worse=1, probability=found),)
        assert one.prompt.columns == {}


def test_doubt_in_a_table_of_text(tmp_path: Path):
    (tmp_path / "a.csv").write_text("prompt,chosen,rejected,probability\nQ,a,b,0.25\nR,a,b,\n")
    found = load_judged(str(tmp_path / "a.csv"))
    assert [one.preferences[0].probability for one in found] == [0.25, 1.0]


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize(
    "row",
    [{"prompt": "The sky", "completion": " is"}, {"prompt": [USER], "completion": [GOOD]}],
)
def test_unpaired_preferences(tmp_path: Path, row, label):
    (one,) = load_judged(write(tmp_path / "a.jsonl", {**row, "label": label}))
    assert one.ratings == (Rating(response=0, value=float(label)),)
    assert one.preferences == () and len(one.responses) == 1


@pytest.mark.parametrize("prompt", ["The sky is", [USER]])
def test_prompts_and_steps(tmp_path: Path, prompt):
    content = prompt if isinstance(prompt, str) else messages(USER)
    rows = {"prompt": prompt, "answer": 4}, {"prompt": prompt, "answer": None}
    found = load_prompts(write(tmp_path / "p.jsonl", *rows))
    assert [p.content for p in found] == [content] * 2
    assert [p.columns for p in found] == [{"answer": 4}, {"answer": None}]
    steps = {"prompt": prompt, "completions": ["a", "b"], "labels": [True, False]}
    name = write(tmp_path / "s.jsonl", steps)
    (one,) = load_stepped(name)
    assert (one.prompt.content, one.steps, one.labels) == (content, ("a", "b"), (True, False))
    assert load_prompts(name) == [one.prompt]


def test_any_kind_of_data_has_prompts(tmp_path: Path):
    talk = {"messages": [GOOD, USER, GOOD, said("user", "Why?"), BAD]}
    rows = [{"prompt": "The sky is", "completion": " blue."}, PAIR, talk]
    names = [write(tmp_path / f"{i}.jsonl", row) for i, row in enumerate(rows)]
    completion, pair, conversation = [load_prompts(name) for name in names]
    assert [p.content for p in (*completion, *pair)] == ["The sky is"] * 2
    assert [(p.id, p.content) for p in conversation] == [
        ("2.jsonl:1#2", messages(GOOD, USER)),
        ("2.jsonl:1#4", messages(GOOD, USER, GOOD, said("user", "Why?"))),
    ]
    assert {p.conversation for p in conversation} == {"sky"}


def test_tool_calls_with_arguments_as_object_or_text(tmp_path: Path):
    def call(arguments: object) -> dict:
        function = {"name": "dim", "arguments": arguments}
        calls = [{"id": "1", "type": "function", "function": function}]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    result = {"role": "tool", "name": "dim", "tool_call_id": "1", "content": "done"}
    shapes = ({"level": 3}, '{"level": 3}')
    rows = [{"messages": [USER, call(shape), result, GOOD]} for shape in shapes]
    sharegpt = [
        {"from": "human", "value": "Sky?"},
        {"from": "function_call", "value": '{"name": "dim", "arguments": {"level": 3}}'},
        {"from": "observation", "value": "done"},
        {"from": "gpt", "value": "Blue."},
    ]
    name = write(tmp_path / "a.jsonl", *rows, {"messages": sharegpt})
    expected = (
        Message(role="assistant", tool_calls=(ToolCall(name="dim", arguments={"level": 3}),)),
        Message(role="tool", content="done"),
        Message(**GOOD),
    )
    assert [d.response.content for d in load_demonstrations(name)] == [expected] * 3


# HH-RLHF.

ASKED = "\n\nHuman: Name one: tea or coffee?\n\nAssistant: Tea.\n\nHuman: Why?\n\nAssistant:"
HH_ROWS = [
    {"chosen": f"{ASKED} It is: calm.", "rejected": f"{ASKED} No\n\nidea: none."},
    {"chosen": f"{ASKED} Calm.", "rejected": ASKED},
    {"chosen": f"{ASKED} It is: calm.", "rejected": f"{ASKED} It is: calm."},
]


def test_hh_keeps_colons_and_leaves_out_equal_sides(tmp_path: Path, caplog):
    with caplog.at_level(logging.WARNING):
        (one,) = load_judged(write(tmp_path / "hh.jsonl", *HH_ROWS))
    assert turns(one.prompt.content) == messages(
        said("user", "Name one: tea or coffee?"), said("assistant", "Tea."), said("user", "Why?")
    )
    answers = [turns(r.content)[0].content for r in one.responses]
    assert answers == ["It is: calm.", "No\n\nidea: none.", "Calm.", ""]
    assert [(p.better, p.worse) for p in one.preferences] == [(0, 1), (2, 3)]
    assert "left out 1 pairs with equal sides, the first at hh.jsonl:3" in caplog.text


@pytest.mark.skipif(not HH.is_file(), reason="HH-RLHF is not on this machine")
def test_all_of_hh_loads_and_no_word_is_lost(caplog):
    judged, rows = load_judged(str(HH)), list(read_rows(HH))
    assert not caplog.records
    assert sum(len(j.preferences) for j in judged) == len(rows)
    assert set(_pairs(judged, _transcript)) == {
        (r.value["chosen"], r.value["rejected"]) for r in rows
    }


def _pairs(judged: list[Judged], whole: Callable[[Judged, int], Any]) -> list[tuple[Any, Any]]:
    """Each preference as the whole texts of its better and its worse side."""
    return [(whole(j, p.better), whole(j, p.worse)) for j in judged for p in j.preferences]


def _transcript(judged: Judged, response: int) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    said = turns(judged.prompt.content) + turns(judged.responses[response].content)
    return "".join(f"\n\n{names[turn.role]}: {turn.content}" for turn in said)


# The shipped data.


def test_shipped_dialogues_give_a_prompt_for_each_turn():
    demonstrations = load_demonstrations(DIALOGUES, portion=(0.0, 0.05))
    prompts = load_prompts(DIALOGUES, portion=(0.0, 0.05))
    said = [m for d in demonstrations for m in turns(d.response.content)]
    assert len(prompts) == sum(m.role == "assistant" for m in said) == len({p.id for p in prompts})
    first, *_ = demonstrations
    assert prompts[0].id == f"{first.prompt.id}#{len(first.prompt.content)}"
    assert prompts[0].content == first.prompt.content
    assert load_demonstrations(DIALOGUES, format="taskmaster_dialogues")


def test_portions_are_disjoint_stable_and_whole():
    parts = [load_judged(RATINGS, portion=(a / 4, (a + 1) / 4)) for a in range(4)]
    keys = [{j.prompt.conversation for j in part} for part in parts]
    assert sum(map(len, parts)) == len(load_judged(RATINGS))
    assert len(set.union(*keys)) == sum(map(len, keys))
    dialogues = {d.prompt.conversation for d in load_demonstrations(DIALOGUES, portion=(0, 0.25))}
    assert not dialogues & set.union(*keys[1:])
    assert place("tea please") == 0.9629641439363434
    assert conversation_key("Tea?") == "Tea?"
    assert conversation_key(messages(said("user", "Tea, PLEASE!"))) == "tea please"
    assert conversation_key(messages(said("user", "?!"))) == "user: ?!"


# Properties.


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prompted", [True, False])
def test_no_text_of_a_preference_is_lost(tmp_path: Path, seed: int, prompted: bool):
    """Whatever texts have in common, prompt and response together are what the row said."""
    rng = random.Random(seed)
    draw = lambda n: "".join(rng.choice("ab: \n\té漢") for _ in range(n))  # noqa: E731
    asked = ["Ask: " + draw(rng.randrange(6)) for _ in range(60)]
    pairs = [(a + "x" + draw(rng.randrange(6)), a + "y" + draw(rng.randrange(6))) for a in asked]
    rows = [{"chosen": chosen, "rejected": rejected} for chosen, rejected in pairs]
    if prompted:
        rows = [
            {"prompt": a, **{side: row[side].removeprefix(a) for side in row}}
            for a, row in zip(asked, rows, strict=True)
        ]
    judged = load_judged(write(tmp_path / "a.jsonl", *rows))
    found = _pairs(judged, lambda j, r: text(j.prompt.content) + text(j.responses[r].content))
    assert set(found) == set(pairs)
    assert all(text(j.prompt.content).strip() for j in judged)


@pytest.mark.parametrize("seed", range(5))
def test_no_message_of_a_preference_is_lost(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    draw = lambda n: [said(r, rng.choice("abc")) for _ in range(n) for r in ("user", "assistant")]  # noqa: E731
    pairs = [(USER, GOOD), (USER, BAD)]
    rows = [
        {
            side: [*begin, *draw(rng.randrange(3)), *end]
            for side, end in zip(sides, pairs, strict=True)
        }
        for begin in ([USER, GOOD, *draw(rng.randrange(3))] for _ in range(60))
        for sides in (("chosen", "rejected"), ("rejected", "chosen"))
    ]
    judged = load_judged(write(tmp_path / "a.jsonl", *rows))
    found = _pairs(judged, lambda j, r: turns(j.prompt.content) + turns(j.responses[r].content))
    expected = [(messages(*row["chosen"]), messages(*row["rejected"])) for row in rows]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert all(turns(r.content)[0].role == "assistant" for j in judged for r in j.responses)

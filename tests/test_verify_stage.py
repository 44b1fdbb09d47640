"""The stage verify, and data that is generated for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.formats import load_demonstrations, load_prompts, local_inputs, read_texts, within
from plaudit.formats.generated import worked_sum
from plaudit.scoring import open_verifier
from tests.command import plaudit, the_mistake
from tests.small import run_stage, write_rows


def rows(count: int = 12) -> list[dict]:
    """Sums with two answers each, the first of them right, the second off by one."""
    return [
        {"prompt": f"{i} + 1 =", "completion": str(i + 1 + wrong), "answer": str(i + 1)}
        for i in range(count)
        for wrong in (0, 1)
    ]


def test_verdicts_and_the_pass_rate_with_its_interval(tmp_path: Path):
    data = write_rows(tmp_path / "sums.jsonl", [*rows(), {"prompt": "?", "completion": "1"}])
    made = run_stage("verify", tmp_path / "out", verifier="exact", dataset=data)
    assert made.metrics == {
        "responses": 25,
        "invalid": 1,
        "invalid_by_reason": {"the prompt's row has no column answer": 1},
        "mean_value": 0.5,
        # Of every conversation one response is right, so resampling them changes nothing.
        "pass_rate": [0.5, 0.5, 0.5],
    }
    lines = (made.path / "verdicts.jsonl").read_text().splitlines()
    verdicts = [json.loads(line) for line in lines]
    assert verdicts[0] == {"prompt": "sums.jsonl:1", "value": 1.0}
    assert verdicts[1] == {"prompt": "sums.jsonl:2", "value": 0.0}
    assert verdicts[24]["invalid"] == "the prompt's row has no column answer"


def test_one_response_a_prompt_has_wilson_s_interval(tmp_path: Path):
    right_and_wrong = [row for i, row in enumerate(rows()) if i % 4 in (0, 3)]
    data = write_rows(tmp_path / "sums.jsonl", right_and_wrong)
    made = run_stage("verify", tmp_path / "out", verifier="exact", dataset=data)
    # p -+ z sqrt(p (1 - p) / n + z^2 / 4 n^2) / (1 + z^2 / n) with p = 1/2, n = 12
    assert made.metrics["pass_rate"] == pytest.approx([0.2538, 0.5, 0.7462], abs=1e-4)


def test_a_mark_below_one_passes_parts(tmp_path: Path):
    row = {"prompt": "Go", "completion": "Well", "kwargs": [{}, {}],
           "instruction_id_list": ["punctuation:no_comma", "detectable_format:title"]}  # fmt: skip
    data = write_rows(
        tmp_path / "rows.jsonl", [row, {**row, "prompt": "On", "completion": "<<A>>"}]
    )
    said = {"verifier": "instructions", "options": {"partial": True}, "dataset": data}
    made = run_stage("verify", tmp_path / "all", **said)
    assert (made.metrics["mean_value"], made.metrics["pass_rate"][1]) == (0.75, 0.5)
    made = run_stage("verify", tmp_path / "half", pass_mark=0.5, **said)
    assert made.metrics["pass_rate"][1] == 1.0


def test_calls_in_messages_are_verified(tmp_path: Path):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    row = {
        "messages": [
            {"role": "user", "content": "add one"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ],
        "functions": [{"name": "add", "parameters": {"properties": {"a": {"type": "integer"}}}}],
        "answer": [{"add": {"a": [1]}}],
    }
    data = write_rows(tmp_path / "calls.jsonl", [row])
    made = run_stage("verify", tmp_path / "out", verifier="function_calls", dataset=data)
    assert made.metrics["mean_value"] == 1.0


def test_where_nothing_can_be_checked_the_command_fails(tmp_path: Path):
    rows = [{"prompt": "1 + 1 =", "completion": "2"}] * 2
    data = f"dataset={write_rows(tmp_path / 'sums.jsonl', rows)}"
    told = plaudit("verify", "verifier=exact", data, "--output", tmp_path / "out")
    the_mistake(told, "exact has a verdict of none of its 2 responses", "no column answer (2)")
    assert not (tmp_path / "out" / "artifact.json").exists()


def test_mistakes_are_told_in_one_line(tmp_path: Path):
    data = f"dataset={write_rows(tmp_path / 'sums.jsonl', rows())}"
    out = ("--output", tmp_path / "out")
    the_mistake(plaudit("verify", "verifier=exat", data, *out), "exat", "did you mean exact?")
    the_mistake(
        plaudit("verify", "verifier=exact", "options.colum=a", data, *out), "did you mean column?"
    )
    the_mistake(plaudit("verify", "verifier=math", "dataset=generated:sums", *out), "no such task")


def test_sums_are_the_same_everywhere_and_their_answers_right():
    prompts = load_prompts("generated:arithmetic?size=50&largest=30&seed=3")
    assert prompts == load_prompts("generated:arithmetic?size=50&largest=30&seed=3")
    assert prompts != load_prompts("generated:arithmetic?size=50&largest=30&seed=4")
    for prompt in prompts:
        assert isinstance(prompt.content, str)
        a, b = map(int, prompt.content.removesuffix(" =").split(" + "))
        assert 30 >= a >= b >= 0 and prompt.columns == {"answer": str(a + b)}
    assert local_inputs(dataset="generated:arithmetic") == {}


def test_texts_about_a_sum_lie_where_its_question_lies():
    texts = list(read_texts("generated:arithmetic_text?size=300&tagged=0.5"))
    questions = {p.content for p in load_prompts("generated:arithmetic?size=3000")}
    held_out = {
        p.content for p in load_prompts("generated:arithmetic?size=3000", portion=(0.8, 1.0))
    }
    assert held_out < questions
    for text in texts:
        question = str(text.content).partition("=")[0] + "="
        assert text.conversation == question
        if question in questions:
            assert (question in held_out) == within(text.conversation, (0.8, 1.0))
    tagged = [t for t in texts if "<answer>" in str(t.content)]
    assert 0.3 < len(tagged) / len(texts) < 0.7


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [
        (37, 25, "7+5=12, 3+2+1=6"),
        (4, 3, "4+3=7"),
        (0, 0, "0+0=0"),
        (99, 1, "9+1=10, 9+0+1=10, 0+0+1=1"),
    ],
)
def test_sums_worked_out(a: int, b: int, steps: str):
    assert worked_sum(a, b) == steps


def test_tasks_of_reasoning_gym_and_their_scorers():
    pytest.importorskip("reasoning_gym")
    scorer = open_verifier("reasoning_gym", {"workers": 1, "deadline_seconds": 60})
    for task in ("chain_sum?size=3&max_terms=3", "zebra_puzzles?size=2&chat=true"):
        prompts = load_prompts(f"generated:{task}")
        right = [(str(prompt.columns["answer"]), prompt.columns) for prompt in prompts]
        assert scorer.verify(right) == [1.0] * len(right)
        (wrong,) = scorer.verify([("no idea", prompts[0].columns)])
        assert isinstance(wrong, float) and wrong < 0.5
    scorer.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("generated:arithmetik", "did you mean arithmetic?"),
        ("generated:arithmetic?largst=3", "largst: no such option; did you mean largest?"),
        ("generated:arithmetic?size=0", "size is 0; expected a whole number, 1 or more"),
        ("generated:arithmetic?seed=x", "seed is 'x'"),
        ("generated:arithmetic?largest=x", "largest is 'x'; expected a number"),
        ("generated:chain_sum?maxterms=3", "maxterms"),
    ],
)
def test_a_name_that_stands_for_nothing_is_an_error(name: str, message: str):
    with pytest.raises(ValueError) as told:
        load_prompts(name)
    assert name in str(told.value) and message in str(told.value)


def test_generated_texts_are_demonstrations_too():
    found = load_demonstrations("generated:arithmetic_text?size=3")
    assert len(found) == 3

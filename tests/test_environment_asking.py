"""evaluate and sample in an environment: answers of several turns, judged, kept and learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.artifacts import Artifact
from plaudit.config import make_config
from plaudit.evaluation import evaluate
from plaudit.evaluation.comparison import Judged, characters, check_tools, compare, describe
from plaudit.formats import load_demonstrations, load_judged
from plaudit.models import model_path, stop_ids
from plaudit.records import FinishReason, Message, Prompt, Rollout, ToolCall
from plaudit.scoring import ToolChecks, check_response
from plaudit.stages import sample, sample_gathering
from plaudit.stages.sample_gathering import Candidate, fault_of
from plaudit.stages.sample_options import SampleConfig
from plaudit.stages.sample_rows import rows_of
from plaudit.text import Renderer, load_tokenizer
from tests.interrupted import cut_and_resumed
from tests.small import TOOLS, polite_pairs, run_stage, write_rows
from tests.test_tool_checks import coffee_tools

ASKED = (Message(role="user", content="one mocha please"),)
PROMPT = Prompt(id="p", conversation="p", content=ASKED)
RESULT = '{"menu_items":[{"name":"Mocha","menu_item_id":"mocha-3844"}]}'
LENGTHS = {"max_prompt_length": 32, "max_completion_length": 60}


def get_menu_items(query: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Find drinks by name."""
    return {"menu_items": [{"name": query, "menu_item_id": "x-12"}]}


def letters(prompts: list, completions: list, **columns: list) -> list[float]:
    """A score that differs from response to response, of all its turns."""
    return [float(len(json.dumps(turns))) for turns in completions]


ENVIRONMENT = {
    "functions": [f"{__name__}:get_menu_items"],
    "max_turns": 3,
    "max_reply_tokens": 20,
    "describe_tools": False,
}


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = [
        {"prompt": [{"role": "user", "content": f"one {drink} please"}]}
        for drink in ("Chai Latte", "Mocha", "Cappuccino", "Latte")
    ]
    return write_rows(tmp_path_factory.mktemp("data") / "orders.jsonl", rows)


@pytest.fixture(scope="module")
def nano() -> Renderer:
    tokenizer = load_tokenizer(model_path("plaudit/nano"))
    return Renderer(tokenizer, stop_ids("plaudit/nano", tokenizer))


def called(name: str, **arguments: Any) -> Message:
    return Message(role="assistant", tool_calls=(ToolCall(name=name, arguments=arguments),))


def told(content: str) -> Message:
    return Message(role="tool", content=content)


def said(content: str) -> Message:
    return Message(role="assistant", content=content)


def of_turns(*turns: Message, finish_reason: FinishReason = "stop") -> Rollout:
    """Two tokens a turn, of log-probability -1 where the policy wrote them."""
    written = np.array([turn.role == "assistant" for turn in turns for _ in range(2)])
    return Rollout(
        prompt=PROMPT,
        prompt_ids=np.array([1]),
        ids=np.arange(len(written)) % 4,
        logprobs=np.where(written, -1.0, np.nan).astype(np.float32),
        text=[turn.content for turn in turns if turn.role == "assistant"][-1],
        finish_reason=finish_reason,
        policy_version=0,
        index=0,
        written=written,
        messages=turns,
    )


FINDS = called("get_menu_items", query="Mocha")
ORDERS = called("add_order_item", menu_item_id="mocha-3844", quantity="1")
BROKEN = said("<|call|>get_menu_items {oops")
ANSWERED = of_turns(FINDS, told(RESULT), ORDERS, told("ok"), said("Done."))
GUESSED = of_turns(ORDERS, told("ok"), said("Done."))
RETRIED = of_turns(BROKEN, told("error: ..."), said("Done."))


def side(*rollouts: Rollout, judge: float = 0.0) -> Judged:
    """Each answer to a conversation of its own."""
    scores = np.full(len(rollouts), judge)
    rollouts = tuple(
        replace(r, prompt=PROMPT.model_copy(update={"conversation": str(i)}))
        for i, r in enumerate(rollouts)
    )
    return Judged(
        rollouts=rollouts,
        judge_N=scores,
        reward_N=None,
        baseline_logprob_N=np.full(len(scores), -2.0),
    )


def test_an_answer_is_described_by_what_the_policy_wrote():
    found = describe(side(ANSWERED, of_turns(FINDS, told("no"), FINDS, finish_reason="turns")))
    assert found["response_tokens"] == 5.0  # six and four
    assert found["entropy_per_token"] == 1.0
    assert found["kl_per_response"] == (-6 - 4) / 2 + 2
    assert found["stopped"] == found["out_of_turns"] == 0.5
    assert found["turns"] == 2.5 and found["tool_results"] == 1.5
    assert characters(ANSWERED) == len(
        'get_menu_items{"query": "Mocha"}'
        'add_order_item{"menu_item_id": "mocha-3844", "quantity": "1"}'
        "Done."
    )


def test_answers_are_a_tie_only_where_all_turns_are_equal():
    own, baseline = side(ANSWERED, GUESSED, judge=1.0), side(ANSWERED, RETRIED)
    assert compare(own, baseline, seed=0)["ties"] == 0.5


def test_every_turn_is_checked_against_the_conversation_before_it():
    tools = coffee_tools()
    right = ToolChecks(calls=True, parses=True, fits_schema=True, grounded=True)
    assert check_response(ANSWERED, tools) == right
    assert not check_response(GUESSED, tools).grounded
    assert check_response(GUESSED, tools).fits_schema
    assert check_response(RETRIED, tools).calls and not check_response(RETRIED, tools).parses
    assert not check_response(of_turns(said("Hello.")), tools).calls
    several = side(*[ANSWERED] * 6)
    assert check_tools(several, several, tools, seed=0)["calls"] == 1.0


def test_policies_are_evaluated_in_the_environment(
    orders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    judge = run_stage(
        "reward", tmp_path / "judge", model="plaudit/nano", num_train_epochs=0.2,
        dataset=write_rows(tmp_path / "pairs.jsonl", polite_pairs(12)), learning_rate=1e-4,
        batch_size=2,
    )  # fmt: skip
    options = {
        "baseline": "plaudit/nano", "policies": {"same": "plaudit/nano"},
        "judge": str(judge.path), "dataset": orders, "environment": ENVIRONMENT, **LENGTHS,
    }  # fmt: skip
    found = run_stage("evaluate", tmp_path / "out", tools=TOOLS, **options)
    cut_off_and_taken_up(found, tmp_path / "cut", monkeypatch, {"tools": TOOLS, **options})
    own, baseline = (found.metrics["behaviour"][name] for name in ("same", "baseline"))
    assert own == baseline and abs(own["kl_per_response"]) < 1e-3
    assert own["turns"] > 1 and own["tool_results"] > 0.3 and own["entropy_per_token"] > 0
    assert found.metrics["win_rate"]["same"]["ties"] == 1.0
    assert found.metrics["tool_calls"]["same"]["calls"] > 0.3
    rows = [json.loads(x) for x in (found.path / "answers.jsonl").read_text().splitlines()]
    answers = [answer for row in rows for answer in row["answers"]["same"]]
    assert max(len(answer["turns"]) for answer in answers) > 1
    environment = {"sql": {"database": str(write_script(tmp_path))}}
    config = make_config(evaluate.CONFIG, options | {"environment": environment}, "evaluate")
    assert evaluate.inputs(config)["environment.sql.database"] == tmp_path / "menu.sql"


def cut_off_and_taken_up(
    whole: Artifact, output: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """After the first policy's answers; the second process asks the second policy alone."""
    asked, asks = [], evaluate.answer

    def answer(*given: Any, **said: Any) -> Any:
        asked.append(given[1])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return asks(*given, **said)

    monkeypatch.setattr(evaluate, "answer", answer)
    with pytest.raises(KeyboardInterrupt):
        run_stage("evaluate", output, **options)
    taken_up = run_stage("evaluate", output, **options)
    assert len(asked) == 3
    assert taken_up.record["files"] == whole.record["files"]
    assert taken_up.metrics == whole.metrics


def write_script(place: Path) -> Path:
    (place / "menu.sql").write_text("CREATE TABLE menu (x);")
    return place / "menu.sql"


def sampling(orders: str, **options: Any) -> dict[str, Any]:
    return {
        "model": "plaudit/nano", "dataset": orders, "environment": ENVIRONMENT,
        "reward_function": f"{__name__}:letters", "num_generations": 6, "save_prompts": 2,
        **LENGTHS, **options,
    }  # fmt: skip


def test_conversations_are_kept_whole_and_a_cut_changes_nothing(
    orders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = sampling(orders, select="all", write="pairs")
    straight = run_stage("sample", tmp_path / "straight", **options)
    resumed, rounds = cut_and_resumed(tmp_path / "cut", monkeypatch, options)
    assert rounds == 3, "what was saved was sampled again"
    assert resumed.record["files"] == straight.record["files"]
    judged = load_judged(str(straight.path / "selected.jsonl"))
    turns = [r.content for j in judged for r in j.responses]
    assert any(isinstance(c, tuple) and any(m.role == "tool" for m in c) for c in turns)


def test_what_is_kept_is_what_was_sampled(orders: str, tmp_path: Path, monkeypatch, nano: Renderer):
    """The rows render to the sampled tokens, of which tools' results are not learned."""
    sampled: list[Rollout] = []

    def recorded(rollout: Rollout, renderer: Renderer) -> str | None:
        fault = fault_of(rollout, renderer)
        sampled.extend([] if fault else [rollout])
        return fault

    monkeypatch.setattr(sample_gathering, "fault_of", recorded)
    options = sampling(orders, select="all", reward_function=None)
    found = run_stage("sample", tmp_path / "out", **options)
    rows = load_demonstrations(str(found.path / "selected.jsonl"))
    several = 0
    for row, rollout in zip(rows, sampled, strict=True):
        tokens = nano.response(row.prompt.content, row.response.content)
        np.testing.assert_array_equal(tokens.ids, rollout.ids)
        np.testing.assert_array_equal(tokens.mask, rollout.written)
        several += not tokens.mask.all()
    assert several


def test_a_response_is_of_use_only_where_every_turn_is(nano: Renderer):
    assert fault_of(ANSWERED, nano) is None
    assert fault_of(RETRIED, nano) == "a tool call that cannot be read"
    cut = of_turns(FINDS, told("no"), FINDS, finish_reason="turns")
    assert fault_of(cut, nano) == "out of turns"
    hidden = called("get_menu_items", query="<|user|>")
    holds = "a token of the chat template's structure"
    assert fault_of(of_turns(hidden, told("no"), said("Done.")), nano) == holds


def test_pairs_of_equal_last_turns_differ_by_those_before():
    config = make_config(
        SampleConfig,
        {"model": "m", "dataset": "d", "reward_function": "a:b", "select": "all", "write": "pairs"},
        "sample",
    )
    turns = ([{"role": "assistant", "content": c}] for c in ("a", "b"))
    first, second = (
        Candidate("Done.", s, None, False, t) for s, t in zip((1.0, 0.0), turns, strict=True)
    )
    assert rows_of(config, PROMPT, [first, second])[0]["rejected"] == second.turns
    assert rows_of(config, PROMPT, [first, first._replace(score=0.0)]) == []


def test_tools_that_no_later_stage_tells_of_are_refused(orders: str):
    options = sampling(orders, environment=ENVIRONMENT | {"describe_tools": True})
    with pytest.raises(ValueError, match=r"environment\.describe_tools: no stage that reads"):
        make_config(sample.CONFIG, options, "sample")

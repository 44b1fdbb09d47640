"""Stages with an environment, and the rewards for using tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plaudit.config import make_config
from plaudit.environments import rewards
from plaudit.stages.rl import inputs
from plaudit.stages.rl_options import RLConfig
from tests.small import run_stage, write_rows

NANO = {
    "model": "plaudit/nano",
    "max_steps": 2,
    "batch_size": 2,
    "num_generations": 4,
    "max_prompt_length": 32,
    "max_completion_length": 60,
    "learning_rate": 1e-4,
}


def get_menu_items(query: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Find drinks by name."""
    return {"menu_items": [{"name": query, "menu_item_id": "x-12"}]}


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = [
        {"prompt": [{"role": "user", "content": f"one {drink} please"}], "needs_tool": True}
        for drink in ("Chai Latte", "Mocha", "Cappuccino", "Latte")
    ]
    return write_rows(tmp_path_factory.mktemp("data") / "orders.jsonl", rows)


TOOLS = {
    "functions": [f"{__name__}:get_menu_items"],
    "max_turns": 3,
    "max_reply_tokens": 20,
    "describe_tools": False,
}


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_rl_learns_from_conversations_with_tools(algorithm: str, orders: str, tmp_path: Path):
    options = NANO | {"critic": {"model": "plaudit/nano"}} if algorithm == "ppo" else NANO
    artifact = run_stage(
        "rl",
        tmp_path / "out",
        algorithm=algorithm,
        dataset=orders,
        reward_function="plaudit.environments.rewards:calls_as_needed",
        environment=TOOLS,
        **options,
    )
    steps = [json.loads(x) for x in (artifact.path / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 2
    for metrics in steps:
        assert metrics["turns"] > 1 and metrics["tool_results"] > 0.3
        assert (
            metrics["response_tokens"] + metrics["tool_tokens"] <= 60 and metrics["tool_tokens"] > 1
        )
        assert abs(metrics["policy_loss"]) < 5 and metrics["approx_kl"] < 0.1


def test_the_model_is_told_of_its_tools_within_the_prompts_length(orders: str, tmp_path: Path):
    told = TOOLS | {"describe_tools": True}
    options = NANO | {"max_steps": 1, "dataset": orders, "environment": told}
    function = {"reward_function": "plaudit.environments.rewards:calls_as_needed"}
    with pytest.raises(ValueError, match="max_prompt_length=32: none of 4 prompts fits"):
        run_stage("rl", tmp_path / "short", **options, **function)
    longer = options | {"max_prompt_length": 200}
    run_stage("rl", tmp_path / "long", **longer, **function)


def test_what_tools_read_is_among_the_inputs(tmp_path: Path):
    (tmp_path / "menu.sql").write_text("CREATE TABLE menu (x);")
    environment = {"sql": {"database": str(tmp_path / "menu.sql")}}
    options = {"model": "plaudit/nano", "dataset": "plaudit/tool-use/questions.jsonl.gz"}
    config = make_config(
        RLConfig,
        options | {"max_steps": 1, "reward_function": "a:b", "environment": environment},
        "rl",
    )
    assert inputs(config)["environment.sql.database"] == tmp_path / "menu.sql"
    lost = {"sql": {"database": str(tmp_path / "none.sql")}}
    with pytest.raises(ValueError, match="no such file"):
        inputs(config.model_copy(update={"environment": type(config.environment)(**lost)}))


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


CALLED = {"role": "assistant", "content": "", "tool_calls": [{"type": "function"}]}
RESULT, FAILED = {"role": "tool", "content": "price\n4.5"}, {"role": "tool", "content": "error: x"}
ASKED = [{"role": "user", "content": "How much is it with 2 shots?"}]

RIGHT = [CALLED, RESULT, said("It is 4.5.")]
WRONG = [CALLED, RESULT, said("It is 14.5, or 4.50, or 4.5.1")]
GUESSED = [said("It is 4.5.")]
RETRIED = [CALLED, FAILED, CALLED, RESULT, said("4.5")]
UNFINISHED = [CALLED, RESULT, {**CALLED, "content": "4.5"}]
CUT = [CALLED, RESULT]
COMPLETIONS = [RIGHT, WRONG, GUESSED, RETRIED, UNFINISHED, CUT]


def rewarded(name: str, needs_tool: bool | None = True, answer: str | None = "4.5") -> list:
    size = len(COMPLETIONS)
    columns = {"needs_tool": [needs_tool] * size, "answer": [answer] * size, "other": [1] * size}
    return getattr(rewards, name)(prompts=[ASKED] * size, completions=COMPLETIONS, **columns)


def test_rewards_of_tool_use():
    assert rewarded("answers_right") == [1, 0, 1, 1, 0, 0]
    assert rewarded("calls_as_needed") == [1, 1, 0, 1, 1, 1]
    assert rewarded("calls_as_needed", needs_tool=False) == [0, 0, 1, 0, 0, 0]
    assert rewarded("calls_rightly") == [1, 1, 1, 0, 1, 1]
    assert rewarded("uses_result") == [1, 0, None, 1, 0, 0]
    assert rewarded("solves") == [1, 0, 0, 1, 0, 0]
    assert rewarded("solves", needs_tool=False) == [0, 0, 1, 0, 0, 0]
    assert rewarded("solves", answer=None) == [None] * 6
    assert rewarded("calls_as_needed", needs_tool=None) == [None] * 6


def test_a_model_is_measured_in_the_environment(orders: str, tmp_path: Path):
    lengths = {"max_prompt_length": 32, "max_completion_length": 60}
    measured = run_stage(
        "measure",
        tmp_path / "out",
        before="plaudit/nano",
        after="plaudit/nano",
        metric="tools called where needed (share)",
        dataset=orders,
        reward_function="plaudit.environments.rewards:calls_as_needed",
        environment=TOOLS,
        **lengths,
    )
    summary = json.loads((measured.path / "summary.json").read_text())
    assert summary["before"] == summary["after"] and summary["before"][1] > 0.3
    lines = (measured.path / "samples.jsonl").read_text().splitlines()
    answers = [a for line in lines for a in json.loads(line)["after"]]
    called = ["tool" in [turn["role"] for turn in answer["turns"]] for answer in answers]
    assert [float(c) for c in called] == [answer["score"] for answer in answers]

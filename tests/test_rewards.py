"""Several rewards in a run of reinforcement learning: each is asked, counted and logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.learning import read_metrics
from tests.small import TOOLS, polite_pairs, run_stage, small_checkpoint, write_rows

RL = {
    "max_steps": 3, "batch_size": 4, "num_generations": 4, "max_completion_length": 10,
    "learning_rate": 1e-2,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", polite_pairs())


@pytest.fixture(scope="module")
def reward_model(base: str, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("reward") / "reward"
    run_stage("reward", output, model=base, dataset=pairs, learning_rate=1e-3, batch_size=8)
    return str(output)


def never_the_first(prompts: list, completions: list, **columns: list) -> list[float | None]:
    return [None, *(float(i) for i in range(1, len(completions)))]


def run_rl(base: str, pairs: str, output: Path, **options):
    return run_stage("rl", output, model=base, dataset=pairs, **(RL | options))


def test_a_model_a_function_and_a_rule_are_weighed_together(
    base: str, pairs: str, reward_model: str, tmp_path: Path
):
    rewards = {
        "helpful": {"reward_model": reward_model, "normalisation": "reference", "clip": 2.0},
        "e": {"function": "tests.small:count_of_e", "weight": 3.0},
        "valid": {"tool_calls": {"tools": TOOLS}, "weight": 0.5},
    }
    run = run_rl(base, pairs, tmp_path / "rl", rewards=rewards)
    assert {"rewards/helpful", "rewards/valid"} < set(run.record["inputs"])
    for row in read_metrics(run.path):
        assert row["reward"] == pytest.approx(
            row["reward/helpful"] + 3 * row["reward/e"] + 0.5 * row["reward/valid"], abs=1e-9
        )
        assert row["invalid"] == 0
    sample = json.loads((run.path / "samples.jsonl").read_text().splitlines()[0])
    assert set(sample["rewards"]) == {"helpful", "e", "valid", "raw"}


def test_one_source_is_the_same_run_as_its_shorthand(base: str, pairs: str, tmp_path: Path):
    short = run_rl(base, pairs, tmp_path / "a", reward_function="tests.small:count_of_e",
                   reward_normalisation="running", reward_clip=1.0)  # fmt: skip
    source = {"function": "tests.small:count_of_e", "normalisation": "running", "clip": 1.0}
    long = run_rl(base, pairs, tmp_path / "b", rewards={"e": source})
    weights = "model/model.safetensors"
    assert short.record["files"][weights] == long.record["files"][weights]


def test_an_invalid_part_makes_the_response_invalid(base: str, pairs: str, tmp_path: Path):
    rewards = {
        "e": {"function": "tests.small:count_of_e"},
        "picky": {"function": "tests.test_rewards:never_the_first", "weight": 0.01},
    }
    run = run_rl(base, pairs, tmp_path / "rl", rewards=rewards)
    for row in read_metrics(run.path):
        assert (row["invalid"], row["invalid/picky"], row["invalid/e"]) == (1, 1, 0)
        assert row["reward/picky"] == pytest.approx(8.0)  # the mean of 1 to 15: no 0 for the None


def test_a_critic_begins_from_the_first_reward_model(
    base: str, pairs: str, reward_model: str, tmp_path: Path
):
    rewards = {"e": {"rule": "length", "weight": -0.1}, "helpful": {"reward_model": reward_model}}
    run = run_rl(base, pairs, tmp_path / "rl", algorithm="ppo", rewards=rewards, max_steps=1)
    assert "value_loss" in read_metrics(run.path)[0]


def test_a_judge_that_was_one_of_the_rewards_is_refused(
    base: str, pairs: str, reward_model: str, tmp_path: Path
):
    rewards = {"e": {"rule": "length"}, "helpful": {"reward_model": reward_model}}
    run = run_rl(base, pairs, tmp_path / "rl", rewards=rewards, max_steps=1)
    with pytest.raises(ValueError, match="the reward helpful of p, which was optimised"):
        run_stage("evaluate", tmp_path / "e", baseline=base, policies={"p": str(run.path)},
                  judge=reward_model, dataset=pairs)  # fmt: skip

"""Several rewards in a run of reinforcement learning: each is asked, counted and logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.learning import Recorder, read_metrics
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
    with pytest.raises(ValueError, match="the reward of p, which was optimised"):
        run_stage("evaluate", tmp_path / "e", baseline=base, policies={"p": str(run.path)},
                  judge=reward_model, dataset=pairs)  # fmt: skip


CONSTRAINED = {
    "rewards": {
        "e": {"function": "tests.small:count_of_e", "normalisation": "par", "weight": 5.0},
        "tokens": {"rule": "length", "normalisation": "running"},
    },
    "combine": {"method": "constrained", "limits": {"tokens": 8.0}},
    "algorithm": "rloo",
    "max_steps": 6,
    "save_steps": 2,
}


def test_a_cut_run_goes_on_with_its_multiplier_bit_for_bit(
    base: str, pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    straight = run_rl(base, pairs, tmp_path / "straight", **CONSTRAINED)
    record = Recorder.record

    def cut_after_five(self: Recorder, step: int, *said) -> None:
        if step == 5:
            raise KeyboardInterrupt
        record(self, step, *said)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Recorder, "record", cut_after_five)
        run_rl(base, pairs, tmp_path / "cut", **CONSTRAINED)
    cut = run_rl(base, pairs, tmp_path / "cut", **CONSTRAINED)
    assert cut.record["files"] == straight.record["files"]
    assert (cut.path / "metrics.jsonl").read_text() == (straight.path / "metrics.jsonl").read_text()
    references = json.loads((straight.path / "reference_rewards.json").read_text())
    assert set(references) == {"e"} and all(len(r) == 1 for r in references["e"].values())
    multipliers = [row["multiplier/tokens"] for row in read_metrics(straight.path)]
    assert len(set(multipliers)) == 6


def test_a_constraint_is_satisfied_in_the_end(base: str, pairs: str, tmp_path: Path):
    """Nothing but the cost moves this policy, and no further than to the limit's other side."""
    rewards = {
        "nothing": {"function": "tests.test_rewards:nothing"},
        "lack": {"function": "tests.test_rewards:lack_of_e"},
    }
    say = {"method": "constrained", "limits": {"lack": 0.8}, "multiplier_rate": 2.0}
    run = run_rl(base, pairs, tmp_path / "rl", rewards=rewards, combine=say, max_steps=20,
                 batch_size=8, num_generations=8, learning_rate=2e-2, beta=0.0,
                 algorithm="rloo")  # fmt: skip
    rows = read_metrics(run.path)
    assert rows[0]["reward/lack"] > 0.85
    assert sum(row["reward/lack"] for row in rows[-3:]) / 3 <= 0.8
    assert rows[-1]["multiplier/lack"] < max(row["multiplier/lack"] for row in rows)


def lack_of_e(prompts: list, completions: list, **columns: list) -> list[float]:
    texts = [completion[0]["content"] for completion in completions]
    return [1 - text.count("e") / max(4, len(text)) for text in texts]


def count_of_a(prompts: list, completions: list, **columns: list) -> list[float]:
    return [float(completion[0]["content"].count("a")) for completion in completions]


def nothing(prompts: list, completions: list, **columns: list) -> list[float]:
    return [0.0] * len(completions)


@pytest.mark.parametrize("method", ["gdpo", "gated", "worst", "mean_minus_variance"])
def test_every_combination_trains(base: str, pairs: str, tmp_path: Path, method: str):
    rewards = {
        "e": {"function": "tests.small:count_of_e", "normalisation": "sigmoid"},
        "a": {"function": "tests.test_rewards:count_of_a", "normalisation": "min_max"},
    }
    say = {"method": method} | ({"safety": "e"} if method == "gated" else {})
    run = run_rl(base, pairs, tmp_path / "rl", rewards=rewards, combine=say)
    rows = read_metrics(run.path)
    assert {"reward/e", "reward/a"} < set(rows[0])
    assert all(row["grad_norm/policy"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rewards": {"a": {}}}, "rewards.a: exactly one of reward_model, function"),
        ({"rewards": {"a": {"rule": "length", "function": "a:b"}}}, "rewards.a: exactly one of"),
        ({"rewards": {"a": {"rule": "length", "options": {"x": 1}}}}, "options: only a verifier"),
        ({"rewards": {"a": {"rule": "length", "normalisation": "reference"}}}, "only a reward_mod"),
        ({"rewards": {"a": {"rule": "length", "tag": "x"}}}, "tag: read only with span"),
        ({"rewards": {"a": {"rule": "length", "reference_column": "x"}}}, "only normalisation par"),
        ({"rewards": {"raw": {"rule": "length"}}}, "rewards.raw: expected a name"),
        ({"rewards": {"a b": {"rule": "length"}}}, "rewards.a b: expected a name"),
        ({"reward_function": "a:b"}, "exactly one must be given"),
        ({"reward_clip": 1.0}, "say normalisation and clip of each"),
        ({"combine": {"method": "gdpo"}}, "combine: gdpo needs at least two"),
        ({"combine": {"method": "sum", "threshold": 0.5}}, "combine.threshold: sum does not read"),
        ({"combine": {"method": "constrained", "limits": {"b": 1}}}, "combine: b is none of"),
        ({"algorithm": "ppo"}, "critic.model: needed"),
    ],
)
def test_rewards_that_do_not_go_together_are_refused(tmp_path: Path, options: dict, said: str):
    given = {"rewards": {"length": {"rule": "length"}}, **options}
    with pytest.raises(ValueError, match=said):
        run_rl("m", "d.jsonl", tmp_path / "rl", **given)


@pytest.mark.parametrize(
    ("combine", "said"),
    [
        ({"method": "gated"}, "combine.safety: gated needs the name"),
        ({"method": "gated", "safety": "c"}, "combine: c is none of rewards"),
        ({"method": "constrained"}, "combine.limits: constrained needs costs"),
        ({"method": "constrained", "limits": {"a": 1, "b": 1}}, "and one reward that is none"),
        ({"method": "worst"}, "members .worst. have no weights"),
        ({"method": "gated", "safety": "a"}, "rewards.a.weight: a gate has none"),
    ],
)
def test_combinations_say_what_they_lack(tmp_path: Path, combine: dict, said: str):
    rewards = {"a": {"rule": "length", "weight": 2.0}, "b": {"rule": "repetition"}}
    with pytest.raises(ValueError, match=said):
        run_rl("m", "d.jsonl", tmp_path / "rl", rewards=rewards, combine=combine)

"""Every stage, end to end on a small model: the number it is there for must go up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from plaudit.learning import read_metrics
from tests.small import (
    DIALOGUES,
    RATINGS,
    TOOLS,
    polite_pairs,
    run_stage,
    small_checkpoint,
    write_rows,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", polite_pairs())


@pytest.fixture(scope="module")
def polite_reward(base: str, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("reward") / "reward"
    run_stage(
        "reward", output, model=base, dataset=pairs, portion=[0.0, 0.6], learning_rate=1e-3,
        batch_size=8, num_train_epochs=8,
    )  # fmt: skip
    return str(output)


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def first_and_last(artifact, metric: str, steps: int = 3) -> tuple[float, float]:
    values = [row[metric] for row in read_metrics(artifact.path)]
    return float(np.mean(values[:steps])), float(np.mean(values[-steps:]))


def test_pretrain_makes_a_model_that_predicts_held_out_text(tmp_path: Path):
    artifact = run_stage(
        "pretrain",
        tmp_path / "nano",
        corpora={"coffee_bar": {"path": DIALOGUES, "kind": "taskmaster", "portion": [0.0, 0.04]}},
        vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, batch_size=8, holdout=0.1,
        learning_rate=5e-3, max_length=128, num_train_epochs=1.5,
    )  # fmt: skip
    assert artifact.metrics["steps"] == round(1.5 * -(-artifact.metrics["rows"] // 8))
    first, last = first_and_last(artifact, "loss")
    assert first > 5.5 and last < 0.75 * first
    assert artifact.metrics["held_out"]["coffee_bar"]["perplexity"] < np.exp(0.8 * first)
    loaded = AutoModelForCausalLM.from_pretrained(artifact.path / "model")
    assert loaded.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(artifact.path / "model").chat_template


def test_sft_lowers_the_loss_on_held_out_dialogues(base: str, tmp_path: Path):
    options = {
        "model": base, "dataset": DIALOGUES, "eval_portion": [0.9, 0.91], "batch_size": 8,
        "learning_rate": 3e-3,
    }  # fmt: skip
    little = run_stage("sft", tmp_path / "a", portion=[0.0, 0.002], **options)
    more = run_stage("sft", tmp_path / "b", portion=[0.0, 0.06], **options)
    assert more.metrics["held_out_loss"] < little.metrics["held_out_loss"] - 1.0
    assert more.metrics["demonstrations"] > 100


def test_reward_ranks_held_out_pairs(base: str, pairs: str, tmp_path: Path):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=pairs, portion=[0.0, 0.6],
        eval_portion=[0.6, 1.0], learning_rate=1e-3, batch_size=8, num_train_epochs=8,
    )  # fmt: skip
    first, last = first_and_last(artifact, "accuracy")
    assert first < 0.9 and last == 1.0
    accuracy = artifact.metrics["held_out"]["accuracy"]
    assert accuracy["model"][1] == 1.0
    assert accuracy["bigrams"][1] == 1.0  # the answers alone tell it, as they were made
    rows = read_rows(artifact.path / "held_out.jsonl")
    assert all(row["scores"][0] > row["scores"][1] for row in rows)


def test_reward_from_shuffled_labels_learns_nothing(base: str, pairs: str, tmp_path: Path):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=pairs, portion=[0.0, 0.6],
        eval_portion=[0.6, 1.0], learning_rate=1e-3, batch_size=8, num_train_epochs=2,
        shuffle_labels=True,
    )  # fmt: skip
    assert first_and_last(artifact, "accuracy")[1] < 0.9


def test_reward_learns_from_ratings_and_from_random_weights(base: str, tmp_path: Path):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=RATINGS, portion=[0.0, 0.05],
        eval_portion=[0.05, 0.1], learning_rate=1e-3, batch_size=16, num_train_epochs=3,
        random_init=True, max_length=512,
    )  # fmt: skip
    first, last = first_and_last(artifact, "rating_loss")
    assert last < first
    held_out = artifact.metrics["held_out"]
    assert {"accuracy", "accuracy_per_pair", "auc", "rating_accuracy"} <= set(held_out)
    assert held_out["auc"]["model"][0] < held_out["auc"]["model"][1] < held_out["auc"]["model"][2]
    reference = json.loads((artifact.path / "model" / "reward.json").read_text())
    assert reference["std"] > 0
    model = AutoModelForSequenceClassification.from_pretrained(artifact.path / "model")
    assert model.config.num_labels == 1


@pytest.mark.parametrize("lora_r", [0, 4])
def test_preference_prefers_what_people_prefer(base: str, pairs: str, tmp_path: Path, lora_r: int):
    artifact = run_stage(
        "preference", tmp_path / "dpo", model=base, dataset=pairs, batch_size=8,
        learning_rate=1e-2 if lora_r else 1e-3, num_train_epochs=3, lora_r=lora_r,
    )  # fmt: skip
    rows = read_metrics(artifact.path)
    assert rows[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert rows[-1]["loss"] < 0.3 and rows[-1]["accuracy"] == 1.0
    AutoModelForCausalLM.from_pretrained(artifact.path / "model")


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("grpo", {}),
        ("dr_grpo", {"num_ppo_epochs": 2}),
        ("rloo", {"reward_normalisation": "running"}),
        ("ppo", {"num_ppo_epochs": 2, "num_mini_batches": 2, "critic": {}}),
    ],
)
def test_rl_raises_the_reward(base: str, pairs: str, tmp_path: Path, algorithm: str, options: dict):
    check_reward_rises(base, pairs, tmp_path, algorithm, {"learning_rate": 2e-2, **options})


@pytest.mark.parametrize(
    ("algorithm", "options", "times"),
    [
        ("grpo", {"learning_rate": 1e-2}, 1.5),
        # A new adapter is a poor critic at first: its values only serve as a baseline (lam 1), and
        # the policy has to go slowly, or noise carries it away.
        pytest.param(
            "ppo",
            {"learning_rate": 4e-3, "batch_size": 16, "num_ppo_epochs": 2, "max_steps": 28,
             "critic": {"lam": 1.0, "learning_rate": 1e-2, "warmup_steps": 4}},
            1.1,
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_rl_with_adapters_raises_the_reward(
    pairs: str, tmp_path: Path, algorithm: str, options: dict, times: float
):
    # Adapters cannot move embeddings, so they need a model that has learned some.
    check_reward_rises("plaudit/nano", pairs, tmp_path, algorithm, {"lora_r": 8, **options}, times)


def check_reward_rises(
    base: str, pairs: str, tmp_path: Path, algorithm: str, options: dict, times: float = 1.5
):
    if "critic" in options:
        critic = {"model": base, "learning_rate": 3e-3, "warmup_steps": 2, **options["critic"]}
        options = {**options, "critic": critic}
    options = {"batch_size": 8, "max_steps": 14, **options}
    artifact = run_stage(
        "rl", tmp_path / "rl", algorithm=algorithm, model=base, dataset=pairs, beta=0.001,
        reward_function="tests.small:count_of_e", num_generations=8, max_completion_length=12,
        **options,
    )  # fmt: skip
    first, last = first_and_last(artifact, "reward")
    assert last > times * first, f"{first} -> {last}"
    samples = read_rows(artifact.path / "samples.jsonl")
    assert {row["step"] for row in samples} == set(range(1, options["max_steps"] + 1))


def test_rl_against_a_reward_model_wins_under_a_judge(
    base: str, pairs: str, polite_reward: str, tmp_path: Path
):
    common = {"model": base, "dataset": pairs, "max_completion_length": 12}
    policy = run_stage(
        "rl", tmp_path / "policy", algorithm="grpo", reward_model=polite_reward, beta=0.01,
        learning_rate=2e-2, max_steps=14, batch_size=8, num_generations=8, portion=[0.0, 0.6],
        reward_normalisation="reference", **common,
    )  # fmt: skip
    judge = run_stage(
        "reward", tmp_path / "judge", model=base, dataset=pairs, portion=[0.3, 0.9], seed=1,
        learning_rate=1e-3, batch_size=8, num_train_epochs=8,
    )  # fmt: skip
    evaluation = run_stage(
        "evaluate", tmp_path / "evaluate", baseline=base, policies={"grpo": str(policy.path)},
        judge=str(judge.path), reward_model=polite_reward, dataset=pairs, portion=[0.6, 1.0],
        num_generations=4, max_completion_length=12, tools=TOOLS,
    )  # fmt: skip
    rates = evaluation.metrics["win_rate"]["grpo"]
    assert rates["raw"][0] > 0.5
    behaviour = evaluation.metrics["behaviour"]
    assert behaviour["baseline"]["kl_per_response"] == pytest.approx(0, abs=1e-4)
    assert behaviour["grpo"]["kl_per_response"] > 0.5
    assert behaviour["grpo"]["reward_score"] > behaviour["baseline"]["reward_score"]
    with pytest.raises(ValueError, match="the reward of grpo, which was optimised"):
        run_stage(
            "evaluate", tmp_path / "refused", baseline=base, policies={"grpo": str(policy.path)},
            judge=polite_reward, dataset=pairs,
        )  # fmt: skip

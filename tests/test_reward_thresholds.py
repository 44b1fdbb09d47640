"""Thresholds of ratings and the likelihood of ties, learned beside a reward model's scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from plaudit.artifacts import Draft
from plaudit.learning import Checkpoints, Learner, read_metrics
from plaudit.models import SeparateRoles
from plaudit.objectives import RewardModelling
from plaudit.stages.reward_data import weighed
from plaudit.stages.reward_thresholds import LEAST_GAP, WithThresholds, settled
from plaudit.text import Tokens, Tree
from tests.learning_trees import adapter_roles, learner_for, weights_of
from tests.small import run_stage, small_checkpoint, write_rows
from tests.tiny import tiny_scalar_model

LEARNED = RewardModelling(
    comparison="davidson",
    rating="ordinal",
    thresholds=(-0.5, 0.5),
    learned=("thresholds.ratings", "thresholds.ties"),
)


def twins(probabilities: Sequence[float], levels: Sequence[float]) -> list[Tree]:
    """Pairs of equal responses, one a label; and how often each of them was given each level."""
    branch = Tokens(ids=np.array([7], np.int32), mask=np.ones(1, bool))
    one = np.ones(1, np.float32)
    prompt_P = np.array([3, 4], np.int32)
    labels = {f"level_{c}": np.full(2, share, np.float32) for c, share in enumerate(levels)}
    labels |= {"rating": np.zeros(2, np.float32), "rating_weight": np.ones(2, np.float32)}
    return [
        Tree(id=f"twins {p}", prompt_P=prompt_P, branches=(branch, branch))
        .with_pair_labels(
            better=np.array([0]), worse=np.array([1]), probability=p * one, margin=0 * one,
            weight=one,
        )
        .with_branch_labels(**labels)
        for p in probabilities
    ]  # fmt: skip


def learner_of(objective: RewardModelling, steps: int, **options) -> tuple[Learner, WithThresholds]:
    models = {"reward": tiny_scalar_model(seed=3)}
    roles = WithThresholds(SeparateRoles(models, trained=["reward"]), objective)
    settings = {"learning_rate": 0.02, "schedule": "linear", "total_steps": steps, **options}
    return learner_for(roles, **settings), roles


@pytest.mark.parametrize("comparison", ["davidson", "rao_kupper"])
def test_what_is_learned_is_the_likeliest(comparison):
    """Of equal responses half the pairs tie, and levels come as .2, .7, .1, whatever the score."""
    objective = replace(LEARNED, comparison=comparison)
    learner, roles = learner_of(objective, 300)
    trees = weighed(twins([0.5, 1.0, 0.0, 0.5], (0.2, 0.7, 0.1)))
    for _ in range(300):
        learner.update(trees, objective)
    found = settled(objective, roles)
    assert found.tie_probability == pytest.approx(0.5, abs=1e-3) and found.learned == ()
    score = learner.forward(trees[:1], ["reward.scores"])[0]["reward.scores"][0]
    below = [1 / (1 + math.exp(score - t)) for t in found.thresholds]
    assert below == pytest.approx([0.2, 0.9], abs=2e-3)


def test_a_level_that_nobody_gave_keeps_its_place():
    objective = replace(LEARNED, comparison="none", learned=("thresholds.ratings",))
    learner, roles = learner_of(objective, 400, learning_rate=0.5)
    trees = weighed(twins([1.0], (0.5, 0.0, 0.5)))
    for _ in range(400):
        metrics = learner.update(trees, objective)
    low, high = settled(objective, roles).thresholds
    assert LEAST_GAP / 2 < high - low < 10 * LEAST_GAP
    assert metrics["rating_loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_thresholds_begin_where_the_objective_has_them():
    for roles in (SeparateRoles({"reward": tiny_scalar_model()}, ["reward"]), adapter_roles()):
        found = settled(LEARNED, WithThresholds(roles, LEARNED))
        assert found.thresholds == pytest.approx(LEARNED.thresholds, abs=1e-6)
        assert found.tie_probability == pytest.approx(1 / 3, abs=1e-6)
        assert settled(LEARNED, roles).thresholds == LEARNED.thresholds


@pytest.mark.parametrize("levels", [(0.2, 0.5, 0.3), (0.2, 0.8)])
def test_a_restored_run_goes_on_bit_for_bit(tmp_path: Path, levels: tuple[float, ...]):
    trees = weighed(twins([0.5, 1.0, 0.0, 1.0], levels))
    objective = replace(LEARNED, thresholds=LEARNED.thresholds[: len(levels) - 1])

    def train(learner: Learner, steps: int) -> None:
        for _ in range(steps):
            learner.update(trees, objective)

    (straight, whole), (first, _), (second, resumed) = (learner_of(objective, 6) for _ in range(3))
    train(straight, 6)
    train(first, 3)
    checkpoints = Checkpoints(
        Draft.open(tmp_path / "model", stage="test", config={}, inputs={}), every_steps=3
    )
    checkpoints.save(3, first, {})
    assert checkpoints.restore(second).step == 3
    train(second, 3)
    found, expected = weights_of(resumed), weights_of(whole)
    assert {"thresholds/first", "thresholds/log_gap", "thresholds/tie"} < found.keys()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    begun = weights_of(learner_of(objective, 6)[1])
    for name in ("thresholds/first", "thresholds/tie"):
        assert not torch.equal(found[name], begun[name])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.mark.parametrize("lora_r", [0, 4])
def test_a_model_may_be_sure_of_the_middle(base: str, tmp_path: Path, lora_r: int):
    """Borders set from even shares leave the middle level a third at most; learned they part."""
    rows = [
        {"prompt": f"cup {i}?\n", "responses": ["bad tea", "fair tea", "good tea"],
         "ratings": [{"response": k, "value": k / 2} for k in range(3)]}
        for i in range(32)
    ]  # fmt: skip
    data, losses, gaps = write_rows(tmp_path / "d.jsonl", rows), {}, {}
    for rate in (0.0, 0.1):
        made = run_stage(
            "reward", tmp_path / str(rate), model=base, dataset=data, loss="none",
            rating_loss="ordinal", rating_levels=3, learning_rate=3e-3, batch_size=8,
            num_train_epochs=15, lora_r=lora_r, threshold_learning_rate=rate,
        )  # fmt: skip
        steps = read_metrics(made.path)
        losses[rate] = steps[-1]["rating_loss"]
        low, high = json.loads((made.path / "model" / "reward.json").read_text())["thresholds"]
        gaps[rate] = high - low
        assert ("learning_rate/thresholds" in steps[0]) == (rate > 0)
    least = math.log(3) / 3  # a third of the responses, each with a third
    assert losses[0.0] > least > 2 * losses[0.1]
    assert gaps[0.0] == pytest.approx(2 * math.log(2), abs=1e-3) and gaps[0.1] > 4

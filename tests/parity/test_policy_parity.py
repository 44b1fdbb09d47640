"""Policy rows beside TRL's ``GRPOTrainer``, ``GMPOTrainer`` and ``RLOOTrainer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.objectives import ALGORITHMS, Algorithm, PolicyOptimisation
from plaudit.objectives.surrogates import (
    AdvantageRegression,
    CappedWeight,
    Clip,
    GeometricMean,
    SequenceClip,
    SoftGate,
)
from plaudit.text import Tree
from tests.parity.data import word_tokenizer
from tests.parity.rollouts import GROUP, GROUPS, REWARDS, our_trees, policy_learner, trl_trainer
from tests.parity.steps import (
    Step,
    assert_same,
    gradients_of,
    norm_of,
    our_step,
    settings,
    trl_step,
)
from tests.tiny import tiny_language_model

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

NOISE = 0.2
BARE: Mapping[str, Any] = {"scale_rewards": "none", "beta": 0.0}
"""Advantages without a deviation, whose kind differs (``test_policy_differences``)."""


def row(name: str, **changes: Any) -> Algorithm:
    return replace(ALGORITHMS[name], **{"scale_rewards": "none", **changes})


TWO_SIDED = {"epsilon": 0.1, "epsilon_high": 0.15, "delta": 1.4}
SAME: Mapping[str, tuple[dict[str, Any], Algorithm]] = {
    "grpo": ({"loss_type": "grpo"}, row("grpo")),
    "clip_higher": (
        {"loss_type": "grpo", "epsilon": 0.1, "epsilon_high": 0.28},
        row("grpo", surrogate=Clip(epsilon=0.1, epsilon_high=0.28)),
    ),
    "two_sided": ({"loss_type": "grpo", **TWO_SIDED}, row("grpo", surrogate=Clip(**TWO_SIDED))),
    "dr_grpo": ({"loss_type": "dr_grpo"}, row("dr_grpo")),
    "dapo": (
        {"loss_type": "dapo", "epsilon_high": 0.28},
        row("dapo"),
    ),
    "bnpo": ({"loss_type": "bnpo"}, row("grpo", aggregation="token")),
    # TRL's cap is the whole ratio's, ours its excess over 1.
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.1},
        row("cispo", surrogate=CappedWeight(epsilon_high=0.1)),
    ),
    "sapo": (
        {"loss_type": "sapo", "sapo_temperature_pos": 1.0, "sapo_temperature_neg": 1.05},
        row("sapo", surrogate=SoftGate()),
    ),
    "gspo": (
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 0.02,
            "epsilon_high": 0.03,
        },
        row("gspo", surrogate=SequenceClip(epsilon=0.02, epsilon_high=0.03)),
    ),
}


def ours(row: Algorithm, *, noise: float, beta: float = 0.0, **options: Any) -> Step:
    learner = policy_learner(noise)
    in_loss = 0.0 if row.kl_in_reward else beta
    objective = PolicyOptimisation(
        critic=False, surrogate=row.surrogate, kl_coefficient=in_loss, **options
    )
    return our_step(learner, our_trees(learner, row, beta=beta), objective)


def theirs(directory: Path, kind: str = "grpo", *, noise: float, **options: Any) -> Step:
    return trl_step(trl_trainer(kind, directory, noise=noise, **options))


@pytest.mark.parametrize("name", SAME)
def test_a_step_off_the_policy_that_sampled(name: str, tmp_path: Path):
    options, row = SAME[name]
    assert_same(ours(row, noise=NOISE), theirs(tmp_path, noise=NOISE, **BARE, **options))


@pytest.mark.parametrize("name", SAME)
def test_bounds_are_reached(name: str):
    """What is compared above is not the same for every surrogate: some tokens are clipped."""
    _, row = SAME[name]
    learner = policy_learner(NOISE)
    objective = PolicyOptimisation(critic=False, surrogate=row.surrogate)
    metrics = learner.update(our_trees(learner, row), objective)
    clipped = metrics["clip_fraction"]
    assert clipped == 0.0 if name == "sapo" else 0.0 < clipped < 1.0


def test_a_kl_in_the_loss_times_the_ratio(tmp_path: Path):
    options = {**BARE, "beta": 0.3, "loss_type": "grpo", "use_bias_correction_kl": True}
    assert_same(ours(row("grpo"), noise=NOISE, beta=0.3), theirs(tmp_path, noise=NOISE, **options))


def test_gmpo(tmp_path: Path):
    options = {**BARE, "epsilon": 0.1, "epsilon_high": 0.1}
    bounded = row("gmpo", surrogate=GeometricMean(epsilon=0.1))
    assert_same(ours(bounded, noise=NOISE), theirs(tmp_path, "gmpo", noise=NOISE, **options))


def test_an_entropy_bonus_of_the_mean_over_tokens(tmp_path: Path):
    options = {**BARE, "loss_type": "dapo", "epsilon_high": 0.28, "entropy_coef": 0.05}
    bonus = ours(row("dapo"), noise=NOISE, entropy_coefficient=0.05)
    assert_same(bonus, theirs(tmp_path, noise=NOISE, **options))


def test_the_off_policy_mask(tmp_path: Path):
    options = {**BARE, "loss_type": "grpo", "off_policy_mask_threshold": 0.002}
    masked = ours(row("grpo"), noise=NOISE, off_policy_mask_threshold=0.002)
    assert_same(masked, theirs(tmp_path, noise=NOISE, **options))


def test_a_star_po(tmp_path: Path):
    """Stage 2; the values of prompts and the tokens are given, so nothing is sampled."""
    from datasets import Dataset
    from trl.experimental.a2po import A2POConfig, A2POTrainer

    value, beta = 0.7, 0.2
    options = settings(tmp_path, rows=len(GROUPS) * GROUP, beta2=beta)
    model = tiny_language_model(seed=1)
    trainer = A2POTrainer(
        model=model,
        reward_funcs=_never,
        args=A2POConfig(**options),
        train_dataset=Dataset.from_list([{"prompt": "w3"}]),
        processing_class=word_tokenizer(),
    )
    learner = policy_learner(NOISE)
    regression = row("a_star_po", surrogate=AdvantageRegression(regression_beta=beta))
    trees = our_trees(learner, regression, value=value)
    mine = our_step(
        learner, trees, PolicyOptimisation(critic=False, surrogate=regression.surrogate)
    )
    reference = [float(part.sum()) for tree in trees for part in _references(tree)]
    loss = trainer.compute_loss(model, _of_stage_two(reference, value))
    loss.backward()
    gradients = gradients_of(model)
    assert_same(mine, Step(float(loss), gradients, norm_of(gradients)))


def _never(**_: Any) -> list[float]:
    raise AssertionError("nothing is sampled")


def _references(tree: Tree) -> list[np.ndarray]:
    return np.split(tree.token["reference"], np.cumsum(tree.tokens_per_branch_K)[:-1])


def _of_stage_two(reference: Sequence[float], value: float) -> dict[str, Any]:
    rows = [(one.prompt, ids) for one in GROUPS for ids in one.responses]
    prompts, longest = max(len(p) for p, _ in rows), max(len(ids) for _, ids in rows)
    padded = [[0] * (prompts - len(p)) + p + ids + [0] * (longest - len(ids)) for p, ids in rows]
    return {
        "input_ids": torch.tensor(padded),
        "attention_mask": (torch.tensor(padded) != 0).long(),
        "logits_to_keep": longest,
        "ref_logps": torch.tensor(reference),
        "rewards": torch.tensor(REWARDS).flatten(),
        "v_star": torch.full((len(rows),), value),
    }

"""Where our policy rows and TRL's differ on purpose: what each computes, and how they relate.

Shapes: S responses of a step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.objectives import ALGORITHMS, Algorithm, decoupled_advantages
from tests.parity.data import words
from tests.parity.rollouts import (
    GROUP,
    GROUPS,
    MAX_TOKENS,
    REWARDS,
    our_trees,
    policy_learner,
    trl_trainer,
)
from tests.parity.steps import distance
from tests.parity.test_policy_parity import BARE, NOISE, SAME, ours, row, theirs

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

REWARD_SG = torch.tensor(REWARDS)


def their_advantages(directory: Path, kind: str, **options: Any) -> Tensor:
    """[S], in the order of ``GROUPS``."""
    trainer = trl_trainer(kind, directory, noise=NOISE, **options)
    trainer.model.train()
    rows = [{"prompt": words(one.prompt)} for one in GROUPS for _ in range(GROUP)]
    return trainer._generate_and_score_completions(rows)["advantages"]


def our_advantages(row: Algorithm, *, noise: float = NOISE, beta: float = 0.0) -> Tensor:
    """[S]; every token of a response has the same."""
    trees = our_trees(policy_learner(noise), row, beta=beta)
    found = []
    for tree in trees:
        ends = np.cumsum(tree.tokens_per_branch_K) - 1
        found.append(torch.as_tensor(tree.token["advantage"][ends]))
    return torch.cat(found)


def test_a_group_s_deviation_is_the_population_s(tmp_path: Path):
    """TRL divides by the sample's deviation plus 1e-4, so ours are larger by sqrt(G / (G - 1))."""
    theirs_S = their_advantages(tmp_path, "grpo", scale_rewards="group")
    sample, population = (REWARD_SG.std(1, correction=c) for c in (1, 0))
    factor_S = ((sample + 1e-4) / (population + 1e-6)).repeat_interleave(GROUP)
    torch.testing.assert_close(our_advantages(ALGORITHMS["grpo"]), factor_S * theirs_S)
    assert float(factor_S.mean()) == pytest.approx((GROUP / (GROUP - 1)) ** 0.5, abs=1e-3)


def test_a_batch_s_deviation_is_the_population_s(tmp_path: Path):
    theirs_S = their_advantages(tmp_path, "grpo", scale_rewards="batch")
    factor = (REWARD_SG.std() + 1e-4) / (REWARD_SG.std(correction=0) + 1e-6)
    torch.testing.assert_close(our_advantages(ALGORITHMS["lite_ppo"]), factor * theirs_S)


def test_leaving_one_out_is_the_same(tmp_path: Path):
    """The KL in the reward is that of the policy that sampled, which is TRL's own: no noise."""
    theirs_S = their_advantages(tmp_path, "rloo", beta=0.5)
    found_S = our_advantages(ALGORITHMS["rloo"], noise=0.0, beta=0.5)
    torch.testing.assert_close(found_S, theirs_S, atol=1e-4, rtol=0)


def test_rewards_normalised_each_on_its_own(tmp_path: Path):
    """GDPO: only the deviations' kind differs, sqrt(S / (S - 1)) of the last one."""
    theirs_S = their_advantages(tmp_path, "two", multi_objective_aggregation="normalize_then_sum")
    rewards = [REWARD_SG.flatten(), -REWARD_SG.flatten().square()]
    found_S = decoupled_advantages(rewards, [1.0, 1.0], [GROUP] * len(GROUPS))
    size = GROUP * len(GROUPS)
    factor = (size / (size - 1)) ** 0.5
    torch.testing.assert_close(found_S, factor * theirs_S, atol=2e-3, rtol=0)


def test_a_kl_in_the_loss_without_the_ratio_has_another_gradient(tmp_path: Path):
    """On the policy that sampled k3 has one value, with the ratio or without, and two gradients.

    Bare, which TRL still offers, it is forward KL's (``tests/test_policy_objective.py``).
    """
    options = {**BARE, "loss_type": "grpo", "beta": 0.3, "use_bias_correction_kl": False}
    mine, bare = ours(row("grpo"), noise=0.0, beta=0.3), theirs(tmp_path, noise=0.0, **options)
    assert mine.loss == pytest.approx(bare.loss, rel=1e-4)
    assert distance(mine, bare) > 0.02


def test_a_kl_beside_the_ratio_of_responses_takes_that_of_tokens_with_us(tmp_path: Path):
    """TRL weighs each token's KL by its response's ratio, whose gradient is a mean over tokens."""
    options = {**BARE, "loss_type": "grpo", "importance_sampling_level": "sequence", "beta": 0.3}
    mine, other = ours(row("gspo"), noise=0.0, beta=0.3), theirs(tmp_path, noise=0.0, **options)
    assert mine.loss == pytest.approx(other.loss, rel=1e-4)
    assert distance(mine, other) > 0.02


def test_rloo_is_a_mean_over_the_length_limit_with_us(tmp_path: Path):
    """On the policy that sampled the gradients are parallel; the constant is the row's."""
    mine = ours(ALGORITHMS["rloo"], noise=0.0, beta=0.1)
    other = theirs(tmp_path, "rloo", noise=0.0, beta=0.1)
    assert distance(mine, other, factor=1 / MAX_TOKENS) < 1e-4


def test_rloo_s_ratio_is_a_token_s_with_us_and_a_response_s_in_trl(tmp_path: Path):
    """Off the policy that sampled they part."""
    mine = ours(ALGORITHMS["rloo"], noise=NOISE, beta=0.0)
    other = theirs(tmp_path, "rloo", noise=NOISE, beta=0.0)
    assert distance(mine, other, factor=1 / MAX_TOKENS) > 0.02


@pytest.mark.parametrize(("loss_type", "same"), [("grpo", True), ("dapo", True), ("bnpo", False)])
def test_a_split_changes_a_mean_over_tokens_in_trl(loss_type: str, same: bool, tmp_path: Path):
    """Two micro-batches of TRL's; ours, which are cut too, are those of ``SAME`` all the same."""
    options, aggregated = SAME[loss_type]
    half = {"per_device_train_batch_size": GROUP, "gradient_accumulation_steps": 2}
    split = theirs(tmp_path, noise=NOISE, **BARE, **options, **half)
    mine = ours(aggregated, noise=NOISE)
    assert (distance(mine, split) < 1e-4) == same
    assert same or distance(mine, split) > 0.02

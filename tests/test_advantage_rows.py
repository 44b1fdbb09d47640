"""Advantages, corrections, weights and controllers, by the rows that use them, worked out by hand.

Shapes: K responses of a prompt, N policy tokens, S responses of the step.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from plaudit.learning.advantage_rows import Shaping, by_branch, with_advantages
from plaudit.learning.experience import Correction, Group, assemble, weigh
from plaudit.objectives import (
    ALGORITHMS,
    Algorithm,
    active_entropy_coefficient,
    adapt_entropy_coefficient,
    deviation,
    importance_weights,
    length_adaptive_lambda,
    optimal_value,
    overlong_penalty,
    rewards_to_go,
    teaches,
)
from plaudit.text import Tokens, Tree
from tests.learning_trees import learner_for, separate_roles
from tests.test_experience import SCORES, groups_of

NO_KL = Shaping(kl_coefficient=0.0)


def tree_of(rewards: list[float], kl: list[list[float]], **branch: list[float]) -> Tree:
    """A tree whose responses have these rewards, and a token for each of these KLs."""
    branches = tuple(
        Tokens(ids=np.arange(len(k), dtype=np.int32), mask=np.ones(len(k), bool)) for k in kl
    )
    tree = Tree(id="t", prompt_P=np.array([1], np.int32), branches=branches)
    labels = {"reward": rewards, "kl": [sum(k) for k in kl], **branch}
    return tree.with_token_labels(kl=np.concatenate(kl).astype(np.float32)).with_branch_labels(
        **{name: np.array(values) for name, values in labels.items()}
    )


TWO = [
    tree_of([1.0, 3.0], [[0.1, 0.2], [0.4]]),
    tree_of([2.0, 0.0], [[-0.3], [0.5, 0.1, 0.2]]),
]  # fmt: skip


def advantages(name: str, trees: list[Tree] = TWO, shaping: Shaping = NO_KL) -> np.ndarray:
    labelled = with_advantages(trees, [], ALGORITHMS[name], shaping)
    return np.concatenate([tree.token["advantage"] for tree in labelled])


def test_reinforce_takes_the_reward_less_the_kl_of_the_response():
    expected = np.array([1 - 0.15, 1 - 0.15, 3 - 0.2, 2 + 0.15, -0.4, -0.4, -0.4])
    found = advantages("reinforce", shaping=Shaping(kl_coefficient=0.5))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_reinforce_plus_plus_whitens_the_reward_less_the_kl_to_come():
    raw = np.array([1 - 0.15, 1 - 0.1, 3 - 0.2, 2 + 0.15, -0.4, -0.15, -0.1])
    expected = (raw - raw.mean()) / np.sqrt(raw.var() + 1e-8)
    found = advantages("reinforce_plus_plus", shaping=Shaping(kl_coefficient=0.5))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_reinforce_plus_plus_with_a_baseline_whitens_what_the_group_leaves():
    raw = np.array([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    expected = (raw - raw.mean()) / np.sqrt(raw.var() + 1e-8)
    found = advantages("reinforce_plus_plus_baseline", shaping=Shaping(kl_coefficient=0.5))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_lite_ppo_divides_by_the_deviation_of_all_rewards():
    scale = np.std([1.0, 3.0, 2.0, 0.0]) + 1e-6
    expected = np.array([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0]) / scale
    np.testing.assert_allclose(advantages("lite_ppo"), expected, atol=1e-6)


def test_remax_compares_with_the_greedy_response():
    tree = tree_of([1.0, 3.0], [[0.1, 0.2], [0.4]], baseline=[2.5, 2.5])
    np.testing.assert_allclose(advantages("remax", [tree]), [-1.5, -1.5, 0.5], atol=1e-6)


@pytest.mark.parametrize(("right", "own", "others"), [(1, 2.6457, -0.3780), (7, 0.3780, -2.6457)])
def test_the_grpo_rows_standardise_a_group_of_eight(right: int, own: float, others: float):
    tree = tree_of([1.0] * right + [0.0] * (8 - right), [[0.0]] * 8)
    for name in ("grpo", "dapo", "gspo", "cispo", "sapo", "gmpo"):
        expected = [own] * right + [others] * (8 - right)
        np.testing.assert_allclose(advantages(name, [tree]), expected, atol=1e-4)


def test_rloo_is_a_multiple_of_dr_grpo():
    tree = tree_of([1.0, 3.0, -2.0], [[0.0]] * 3)
    np.testing.assert_allclose(
        advantages("rloo", [tree]), 3 / 2 * advantages("dr_grpo", [tree]), atol=1e-6
    )


def test_v_star_is_the_soft_maximum_of_the_reference_rewards():
    rewards_B = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    expected = 0.5 * math.log((math.exp(2) + 3) / 4)
    assert float(optimal_value(rewards_B, beta=0.5)) == pytest.approx(expected, abs=1e-12)
    assert float(optimal_value(rewards_B, beta=1e-3)) == pytest.approx(1.0, abs=2e-3)
    assert float(optimal_value(rewards_B, beta=1e4)) == pytest.approx(0.25, abs=1e-4)


def gae_by_hand(rewards: list[float], values: list[float], lam: float) -> list[float]:
    """delta_t + lam A_{t+1}, from the last token back; gamma 1."""
    found, after, next_value = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        after = reward + next_value - value + lam * after
        next_value = value
        found.append(after)
    return found[::-1]


VALUES = [[0.5, 0.6, 0.8], [0.1] * 25]
CRITIC_TREE = tree_of([1.0, -1.0], [[0.0] * 3, [0.0] * 25])


def with_critic(**settings: float | bool) -> Tree:
    shaping = Shaping(**{"kl_coefficient": 0.0, "whiten_advantages": False, **settings})  # pyright: ignore[reportArgumentType]
    values = [np.concatenate(VALUES).astype(np.float32)]
    return with_advantages([CRITIC_TREE], values, ALGORITHMS["ppo"], shaping)[0]


def test_decoupled_gae_gives_the_critic_a_lambda_of_its_own():
    tree = with_critic(lam=0.5, value_lam=1.0)
    for values, score, advantage, returns in zip(
        VALUES, [1.0, -1.0], by_branch(tree, tree.token["advantage"]),
        by_branch(tree, tree.token["return"]), strict=True,
    ):  # fmt: skip
        rewards = [0.0] * (len(values) - 1) + [score]
        np.testing.assert_allclose(advantage, gae_by_hand(rewards, values, 0.5), atol=1e-6)
        np.testing.assert_allclose(returns, [score] * len(values), atol=1e-6)


def test_the_policys_lambda_follows_the_length():
    tree = with_critic(lam=0.5, length_adaptive_alpha=0.1)
    assert length_adaptive_lambda(torch.tensor([3, 25]), alpha=0.1).tolist() == [
        0.0, pytest.approx(0.6),
    ]  # fmt: skip
    for values, score, lam, advantage, returns in zip(
        VALUES, [1.0, -1.0], [0.0, 0.6], by_branch(tree, tree.token["advantage"]),
        by_branch(tree, tree.token["return"]), strict=True,
    ):  # fmt: skip
        rewards = [0.0] * (len(values) - 1) + [score]
        np.testing.assert_allclose(advantage, gae_by_hand(rewards, values, lam), atol=1e-6)
        of_critic = gae_by_hand(rewards, values, 0.5) + np.array(values)
        np.testing.assert_allclose(returns, of_critic, atol=1e-6)


def test_gae_goes_over_the_tokens_of_a_tool_as_if_they_were_not_there():
    """What the policy did not write has no slot, whatever stands in the row."""
    ids = np.arange(6, dtype=np.int32)
    mask = np.array([1, 1, 0, 0, 0, 1], bool)
    with_tool = Tree(
        id="t", prompt_P=np.array([1], np.int32), branches=(Tokens(ids=ids, mask=mask),)
    )
    without = Tree(
        id="t", prompt_P=np.array([1], np.int32),
        branches=(Tokens(ids=ids[mask], mask=np.ones(3, bool)),),
    )  # fmt: skip
    values = [np.array([0.5, 0.6, 0.8], np.float32)]
    shaping = Shaping(kl_coefficient=1.0, whiten_advantages=False)
    found = [
        with_advantages(
            [
                tree.with_token_labels(kl=np.array([0.02, -0.01, 0.01], np.float32))
                .with_branch_labels(reward=np.array([1.0]), kl=np.array([0.02]))
            ],
            values, ALGORITHMS["ppo"], shaping,
        )[0]
        for tree in (with_tool, without)
    ]  # fmt: skip
    np.testing.assert_allclose(found[0].token["advantage"], [0.450975, 0.3905, 0.19], atol=1e-6)
    np.testing.assert_array_equal(found[0].token["advantage"], found[1].token["advantage"])
    np.testing.assert_array_equal(found[0].token["return"], found[1].token["return"])


def test_equal_rewards_leave_every_whitened_advantage_at_nothing():
    tree = tree_of([0.1, 0.1], [[0.0, 0.0], [0.0]])
    for name in ("reinforce_plus_plus", "reinforce_plus_plus_baseline", "lite_ppo"):
        assert not advantages(name, [tree]).any()
    assert float(deviation(torch.full((7,), 0.1))) == 0.0


def test_rewards_to_go():
    assert rewards_to_go(torch.tensor([1.0, -2.0, 4.0])).tolist() == [3.0, 2.0, 4.0]


LOG_RATIO = torch.tensor([math.log(0.4), math.log(1.5), math.log(3.0)], dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [
        ("decoupled", "token", [0.4, 1.5, 3.0]),
        ("truncate", "token", [0.4, 1.5, 2.0]),
        ("mask", "token", [0.0, 1.5, 0.0]),
        ("decoupled", "sequence", [1.8] * 3),
        ("truncate", "sequence", [1.8] * 3),
        ("mask", "sequence", [1.8] * 3),
    ],
)
def test_importance_weights(kind, level, expected):
    found = importance_weights(LOG_RATIO, kind=kind, level=level)
    assert found.tolist() == pytest.approx(expected)


def test_the_sequence_weight_makes_another_policys_samples_unbiased():
    """E_mu[w A grad log pi] over all sequences of two tokens is the gradient under prox itself."""
    logits_V = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    mu_V = torch.tensor([-0.2, 0.5], dtype=torch.float64).log_softmax(-1)
    rewards = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    logprob_V = logits_V.log_softmax(-1)
    prox_V = logprob_V.detach()
    total = torch.zeros((), dtype=torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(2):
        for j in range(2):
            log_ratio_N = torch.stack([prox_V[i] - mu_V[i], prox_V[j] - mu_V[j]])
            weight_N = importance_weights(log_ratio_N, kind="decoupled", level="sequence")
            logprob_N = torch.stack([logprob_V[i], logprob_V[j]])
            total = total + (mu_V[i] + mu_V[j]).exp() * rewards[i, j] * (weight_N * logprob_N).sum()
            expected = expected + (logprob_V[i] + logprob_V[j]).exp() * rewards[i, j]
    found, exact = (
        torch.autograd.grad(x, logits_V, retain_graph=True)[0] for x in (total, expected)
    )
    torch.testing.assert_close(found, exact, atol=1e-12, rtol=0)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_corrected_tree_takes_its_ratio_to_the_learner(level):
    """The rollouts' log-probabilities are invented, so the learner's differ from them."""
    learner = learner_for(separate_roles())
    correction = Correction(kind="truncate", level=level, cap=1.1, floor=0.0)
    plain = assemble(groups_of(), learner, ALGORITHMS["grpo"], NO_KL)
    corrected = assemble(groups_of(), learner, ALGORITHMS["grpo"], NO_KL, correction)
    for before, after in zip(plain, corrected, strict=True):
        (own,) = learner.forward([before], ["policy.logprobs"])
        np.testing.assert_allclose(after.token["old"], own["policy.logprobs"], atol=1e-5)
        np.testing.assert_array_equal(after.token["sampled"], before.token["old"])
        ratio = np.exp(after.token["old"] - before.token["old"])
        if level == "sequence":
            sums = [s.sum() for s in by_branch(before, after.token["old"] - before.token["old"])]
            ratio = np.repeat(np.exp(sums), before.tokens_per_branch_K)
        expected = before.token["advantage"] * np.minimum(ratio, 1.1)
        np.testing.assert_allclose(after.token["advantage"], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(after.token["kl"], before.token["kl"])


def test_a_group_knows_its_baseline():
    groups = [Group(members=group.members, baseline=0.25) for group in groups_of()]
    trees = assemble(groups, learner_for(separate_roles()), ALGORITHMS["remax"], NO_KL)
    for tree, scores in zip(trees, SCORES, strict=True):
        expected = np.repeat(np.array(scores) - 0.25, tree.tokens_per_branch_K)
        np.testing.assert_allclose(tree.token["advantage"], expected, atol=1e-6)


def test_weights_without_the_cut_responses_and_for_the_good_ones():
    tree = tree_of(
        [1.0, -1.0, 2.0], [[0.0] * 2, [0.0] * 3, [0.0] * 5], truncated=[True, False, False]
    )
    row = Algorithm(advantage="group_mean", kl="loss", aggregation="token")
    (found,) = weigh([tree], row, max_tokens=10, mask_truncated=True, with_nll=True)
    np.testing.assert_allclose(found.token["weight"], [0] * 2 + [1 / 8] * 8)
    np.testing.assert_allclose(found.token["nll_weight"], [1 / 7] * 2 + [0] * 3 + [1 / 7] * 5)
    (all_bad,) = weigh([tree_of([0.0], [[0.0]])], row, max_tokens=10, with_nll=True)
    assert all_bad.token["nll_weight"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("tokens", "penalty"), [(10, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0), (120, -1.0)]
)
def test_overlong_penalty(tokens: int, penalty: float):
    assert overlong_penalty(tokens, max_tokens=100, buffer_tokens=20) == pytest.approx(penalty)


def test_only_differing_rewards_teach():
    assert teaches([0.0, 1.0]) and not teaches([0.1] * 3) and not teaches([1.0])


def test_entropy_control_moves_by_steps_and_acts_only_below_the_target():
    settings = {"target": 0.2, "step_size": 0.005}
    assert adapt_entropy_coefficient(0.0, 0.1, **settings) == 0.005
    assert adapt_entropy_coefficient(0.005, 0.3, **settings) == 0.0
    assert adapt_entropy_coefficient(0.0, 0.3, **settings) == 0.0
    assert active_entropy_coefficient(0.01, 0.2, target=0.2) == 0.01
    assert active_entropy_coefficient(0.01, 0.21, target=0.2) == 0.0

"""From scored rollouts to labels, worked out by hand.

Shapes: K responses of a prompt, N policy tokens, S responses of the step, T tokens of the longest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch

from plaudit.learning.experience import Group, Shaping, assemble, group_scores, weigh
from plaudit.learning.moments import RunningMoments
from plaudit.objectives import ALGORITHMS, Aggregation, Algorithm, gae, whiten
from plaudit.records import Invalid, Prompt, Rollout, Score, Scored
from plaudit.text import Tree
from tests.learning_trees import learner_for, separate_roles

LENGTHS = [[3, 5, 1], [4, 2, 2]]
SCORES = [[1.0, 3.0, 2.0], [0.5, 0.5, 2.0]]


def rollouts_of(lengths: Sequence[Sequence[int]], seed: int = 0) -> list[Rollout]:
    """Neighbouring rollouts share their prompt."""
    rng = np.random.default_rng(seed)
    found = []
    for p, lengths_K in enumerate(lengths):
        prompt = Prompt(id=f"p{p}", conversation=f"p{p}", content="?")
        prompt_ids = rng.integers(3, 60, 4 + p).astype(np.int32)
        found += [
            Rollout(
                prompt=prompt,
                prompt_ids=prompt_ids,
                ids=rng.integers(3, 60, length).astype(np.int32),
                logprobs=(-4 + 0.5 * rng.normal(size=length)).astype(np.float32),
                text="",
                finish_reason="stop",
                policy_version=0,
                index=k,
            )
            for k, length in enumerate(lengths_K)
        ]
    return found


def groups_of(lengths=LENGTHS, scores=SCORES) -> list[Group]:
    flat = [Score(value=value) for values in scores for value in values]
    groups, invalid = group_scores(rollouts_of(lengths), flat, least=1)
    assert not invalid
    return groups


def assembled(algorithm: Algorithm, groups: list[Group] | None = None, **shaping) -> list[Tree]:
    settings = Shaping(**{"kl_coefficient": 0.0, **shaping})
    return assemble(groups or groups_of(), learner_for(separate_roles()), algorithm, settings)


def per_branch(tree: Tree, name: str) -> list[np.ndarray]:
    return np.split(tree.token[name], np.cumsum(tree.tokens_per_branch_K)[:-1])


def test_old_and_reference_are_those_of_each_token():
    learner = learner_for(separate_roles())
    trees = assembled(ALGORITHMS["grpo"])
    rollouts = rollouts_of(LENGTHS)
    np.testing.assert_array_equal(
        np.concatenate([tree.token["old"] for tree in trees]),
        np.concatenate([rollout.logprobs for rollout in rollouts]),
    )
    for tree, group in zip(trees, groups_of(), strict=True):
        assert [b.ids.tolist() for b in tree.branches] == [
            member.rollout.ids.tolist() for member in group.members
        ]
        (alone,) = learner.forward([tree], ["reference.logprobs"])
        np.testing.assert_allclose(tree.token["reference"], alone["reference.logprobs"], atol=1e-5)


def test_a_sequences_kl_is_the_sum_over_its_tokens():
    for tree, scores in zip(assembled(ALGORITHMS["rloo"]), SCORES, strict=True):
        difference = tree.token["old"] - tree.token["reference"]
        ends = np.cumsum(tree.tokens_per_branch_K)
        expected = [difference[a:b].sum() for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        np.testing.assert_allclose(tree.branch["kl"], expected, atol=1e-5)
        assert np.abs(expected).min() > 0.01
        np.testing.assert_array_equal(tree.branch["reward"], scores)


def test_grpo_standardises_within_the_group_whatever_the_kl():
    for coefficient in (0.0, 5.0):
        first, second = assembled(ALGORITHMS["grpo"], kl_coefficient=coefficient)
        deviation = np.sqrt(2 / 3)
        expected = [-1 / deviation] * 3 + [1 / deviation] * 5 + [0.0]
        np.testing.assert_allclose(first.token["advantage"], expected, atol=1e-5)
        deviation = np.sqrt(0.5)
        expected = [-0.5 / deviation] * 6 + [1 / deviation] * 2
        np.testing.assert_allclose(second.token["advantage"], expected, atol=1e-5)


def test_dr_grpo_only_takes_the_mean_away():
    first, second = assembled(ALGORITHMS["dr_grpo"])
    np.testing.assert_allclose(first.token["advantage"], [-1.0] * 3 + [1.0] * 5 + [0.0])
    np.testing.assert_allclose(second.token["advantage"], [-0.5] * 6 + [1.0] * 2)


@pytest.mark.parametrize("coefficient", [0.0, 0.3])
def test_rloo_compares_with_the_others_after_the_kl(coefficient: float):
    for tree in assembled(ALGORITHMS["rloo"], kl_coefficient=coefficient):
        rewards_K = tree.branch["reward"] - coefficient * tree.branch["kl"]
        for k, advantages in enumerate(per_branch(tree, "advantage")):
            expected = rewards_K[k] - np.delete(rewards_K, k).mean()
            np.testing.assert_allclose(advantages, expected, atol=1e-5)


def test_a_group_of_equal_scores_teaches_nothing():
    groups = groups_of([[3, 2]], [[0.1, 0.1]])
    for name in ("grpo", "dr_grpo", "rloo"):
        (tree,) = assembled(ALGORITHMS[name], groups)
        assert not tree.token["advantage"].any()


def by_hand(reward_T: np.ndarray, value_T: np.ndarray, gamma: float, lam: float) -> np.ndarray:
    """A_t = sum over k of (gamma lam)^k delta_{t+k}, from the last token back."""
    next_value_T = np.append(value_T[1:], 0.0)
    delta_T = reward_T + gamma * next_value_T - value_T
    return np.array(
        [
            sum((gamma * lam) ** k * delta_T[t + k] for k in range(len(delta_T) - t))
            for t in range(len(delta_T))
        ]
    )


def test_ppos_labels_are_gae_with_the_kl_everywhere_and_the_score_at_the_end():
    settings = {"kl_coefficient": 0.2, "gamma": 0.9, "lam": 0.8, "whiten_advantages": False}
    trees = assembled(ALGORITHMS["ppo"], **settings)
    for tree, scores in zip(trees, SCORES, strict=True):
        names = ("kl", "old_value", "advantage", "return")
        parts = zip(*(per_branch(tree, name) for name in names), strict=True)
        for (kl, value, advantage, returns), score in zip(parts, scores, strict=True):
            reward = -0.2 * kl.astype(np.float64)
            reward[-1] += score
            expected = by_hand(reward, value.astype(np.float64), 0.9, 0.8)
            np.testing.assert_allclose(advantage, expected, atol=1e-5)
            np.testing.assert_allclose(returns, expected + value, atol=1e-5)


def test_ppos_labels_equal_gae_on_the_padded_batch():
    trees = assembled(ALGORITHMS["ppo"], kl_coefficient=0.2, gamma=1.0, lam=0.95)
    lengths = [length for lengths_K in LENGTHS for length in lengths_K]
    mask_ST = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    rewards_ST, values_ST = torch.full(mask_ST.shape, 99.0), torch.full(mask_ST.shape, -99.0)
    token = lambda name: torch.as_tensor(np.concatenate([t.token[name] for t in trees]))  # noqa: E731
    rewards_ST[mask_ST] = -0.2 * token("kl")
    for s, score in enumerate(score for scores in SCORES for score in scores):
        rewards_ST[s, lengths[s] - 1] += score
    values_ST[mask_ST] = token("old_value")
    advantage_ST, return_ST = gae(rewards_ST, values_ST, mask_ST, gamma=1.0, lam=0.95)
    torch.testing.assert_close(token("return"), return_ST[mask_ST])
    torch.testing.assert_close(token("advantage"), whiten(advantage_ST[mask_ST]))
    assert abs(float(token("advantage").mean())) < 1e-6


def test_the_old_values_are_the_critics():
    trees = assembled(ALGORITHMS["ppo"])
    found = learner_for(separate_roles(), token_budget=10**6).forward(trees, ["critic.values"])
    for tree, values in zip(trees, found, strict=True):
        np.testing.assert_allclose(tree.token["old_value"], values["critic.values"], atol=1e-5)


def test_scores_that_could_not_be_given_are_counted_by_reason_and_left_out():
    rollouts = rollouts_of([[2, 2, 2], [2, 2], [2]])
    scores = [
        Score(value=1.0), Invalid(reason="timed out"), Score(value=2.0),
        Invalid(reason="timed out"), Invalid(reason="no answer"),
        Score(value=3.0),
    ]  # fmt: skip
    groups, invalid = group_scores(rollouts, scores, least=1)
    assert invalid == Counter({"timed out": 2, "no answer": 1})
    assert [[m.rollout for m in g.members] for g in groups] == [
        [rollouts[0], rollouts[2]], [rollouts[5]],
    ]  # fmt: skip
    assert [g.rewards_K.tolist() for g in groups] == [[1.0, 2.0], [3.0]]
    pairs, _ = group_scores(rollouts, scores, least=2)
    assert [[m.score for m in g.members] for g in pairs] == [[scores[0], scores[2]]]
    assert group_scores(rollouts, scores, least=3)[0] == []
    with pytest.raises(ValueError):
        group_scores(rollouts, scores[1:], least=1)


def test_what_is_left_of_a_group_is_learned_from():
    rollouts = rollouts_of([[3, 5, 1]])
    members = [Scored(rollout=rollouts[k], score=Score(value=v)) for k, v in ((0, 1.0), (2, 4.0))]
    (tree,) = assembled(ALGORITHMS["dr_grpo"], [Group(members=tuple(members))])
    assert tree.tokens_per_branch_K.tolist() == [3, 1]
    np.testing.assert_allclose(tree.token["advantage"], [-1.5] * 3 + [1.5])


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_weights_sum_to_what_the_aggregation_says(aggregation):
    algorithm = Algorithm(advantage="group_mean", kl="loss", aggregation=aggregation)
    trees = weigh(assembled(algorithm), algorithm, max_tokens=10)
    lengths = [length for lengths_K in LENGTHS for length in lengths_K]
    sums = {
        "token": [length / 17 for length in lengths],
        "sequence": [1 / 6] * 6,
        "constant": [length / 60 for length in lengths],
    }[aggregation]
    found = [part for tree in trees for part in per_branch(tree, "weight")]
    assert [len(part) for part in found] == lengths
    assert [part.sum() for part in found] == pytest.approx(sums)
    assert all(len(set(part.tolist())) == 1 and part.dtype == np.float32 for part in found)
    total = {"token": 1.0, "sequence": 1.0, "constant": 17 / 60}[aggregation]
    assert sum(part.sum() for part in found) == pytest.approx(total)


def test_weights_are_those_of_the_update_not_of_the_step():
    algorithm = ALGORITHMS["grpo"]
    first, second = assembled(algorithm)
    (alone,) = weigh([first], algorithm, max_tokens=10)
    assert alone.token["weight"].sum() == pytest.approx(1.0)
    both = weigh([first, second], algorithm, max_tokens=10)
    assert both[0].token["weight"].sum() == pytest.approx(0.5)


def test_running_moments_are_those_of_all_values_so_far():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.normal(rng.normal(0, 100), rng.uniform(0.1, 10), 200)
        cuts = np.sort(rng.integers(0, 200, rng.integers(0, 12)))
        moments = RunningMoments()
        for part in np.split(values, cuts):
            moments = moments.with_values(part.tolist())
        assert moments.count == 200
        assert moments.mean == pytest.approx(values.mean())
        assert moments.std == pytest.approx(values.std())
        assert RunningMoments(**moments.as_dict()) == moments


def test_running_moments_before_there_are_any():
    assert RunningMoments().with_values([]) == RunningMoments()
    assert RunningMoments().std == 1.0
    assert RunningMoments().with_values([3.0, 3.0]).std == 1.0

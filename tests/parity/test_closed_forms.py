"""Known answers, by enumeration and by the real learner: which rows are free of bias, what an
estimator of KL is worth, and that preferences and rewards lead to one optimum.

Needs no TRL. Where TRL differs, this is the evidence (docs/parity.md).

Shapes: G responses of a group, S sequences, V actions, N tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.learning import Learner
from plaudit.learning.advantage_rows import Shaping, with_advantages
from plaudit.learning.experience import weigh
from plaudit.models import SeparateRoles
from plaudit.objectives import (
    ALGORITHMS,
    PREFERENCE_LOSSES,
    Algorithm,
    NashMirrorDescent,
    PolicyOptimisation,
    PreferenceOptimisation,
    PreferenceTerm,
    RewardModelling,
    k1,
    k2,
    k3,
)
from plaudit.text import Tokens, Tree
from tests.labelled import batch_of
from tests.learning_trees import learner_for
from tests.parity.steps import with_reference
from tests.tiny import tiny_language_model, tiny_scalar_model

LENGTHS, REWARDS = (1, 2, 2, 3), (1.0, 3.0, -2.0, 0.5)
LIMIT = 3
TRUE_COSINE = 1 - 1e-9


def sequences(logits_V: Tensor) -> list[Tensor]:
    """Log-probabilities of four sequences: stop; on, then a stop of two kinds, or on and stop."""
    first, second = logits_V[:2].log_softmax(-1), logits_V[2:].log_softmax(-1)
    on = first[1]
    return [
        first[:1],
        torch.stack([on, second[0]]),
        torch.stack([on, second[1]]),
        torch.stack([on, second[2], torch.zeros_like(on)]),
    ]


def tree_of(group: Sequence[int]) -> Tree:
    """A group of sequences with their rewards; nothing here reads the ids."""
    written = [np.arange(LENGTHS[i], dtype=np.int32) + 3 for i in group]
    tree = Tree(
        id="group",
        prompt_P=np.array([3], np.int32),
        branches=tuple(Tokens(ids=ids, mask=np.ones(len(ids), bool)) for ids in written),
    )
    rewards = np.array([REWARDS[i] for i in group], np.float64)
    zeros_K, zeros_N = np.zeros(len(group)), np.zeros(sum(len(ids) for ids in written))
    baseline = np.full(len(group), REWARDS[0])
    return tree.with_branch_labels(
        reward=rewards, kl=zeros_K, baseline=baseline, truncated=zeros_K
    ).with_token_labels(kl=zeros_N)


def expected_gradient(row: Algorithm, logits_V: Tensor, size: int = 2) -> Tensor:
    """Over every group of so many responses, weighted by how likely the policy draws it."""
    total = torch.zeros_like(logits_V)
    for group in product(range(len(LENGTHS)), repeat=size):
        (tree,) = with_advantages([tree_of(group)], [], row, Shaping(kl_coefficient=0.0))
        (tree,) = weigh([tree], row, max_tokens=LIMIT)
        found = sequences(logits_V)
        logprob_N = torch.cat([found[i] for i in group])
        token = {n: torch.as_tensor(tree.token[n]).double() for n in ("weight", "advantage")}
        batch = batch_of([LENGTHS[i] for i in group], token={**token, "old": logprob_N.detach()})
        outputs = {"policy.logprobs": logprob_N, "policy.entropy": torch.zeros_like(logprob_N)}
        loss, _ = PolicyOptimisation(critic=False, surrogate=row.surrogate)(outputs, batch)
        likelihood = logprob_N.detach().sum().exp()
        total += likelihood * torch.autograd.grad(-loss, logits_V)[0]
    return total


def true_gradient(logits_V: Tensor) -> Tensor:
    likelihood = torch.stack([s.sum() for s in sequences(logits_V)]).exp()
    reward = (likelihood * torch.tensor(REWARDS, dtype=torch.float64)).sum()
    return torch.autograd.grad(reward, logits_V)[0]


def logits() -> Tensor:
    return torch.tensor([0.2, -0.1, 0.4, 0.0, -0.3], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("name", "share"),
    [("reinforce", 1.0), ("remax", 1.0), ("rloo", 1.0), ("dr_grpo", 1 / 2)],
)
def test_rows_whose_gradient_is_that_of_the_expected_reward(name: str, share: float):
    """Over the length limit, which is a constant; Dr. GRPO's baseline holds its own reward, so of
    two responses half is left."""
    found = expected_gradient(ALGORITHMS[name], logits())
    expected = share / LIMIT * true_gradient(logits())
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", ["grpo", "dapo", "gmpo", "cispo", "sapo"])
def test_rows_whose_gradient_points_elsewhere(name: str):
    """A deviation of the group or a length under the sum turns it: slightly, for a purpose."""
    found, expected = expected_gradient(ALGORITHMS[name], logits()), true_gradient(logits())
    cosine = float(torch.cosine_similarity(found, expected, dim=0))
    assert 0.5 < cosine < 0.999


@pytest.mark.parametrize("scale", ["none", "group"])
def test_a_mean_within_sequences_alone_turns_the_gradient(scale: str):
    """GRPO without its deviation is still biased, by length; with a constant it is not."""
    base = replace(ALGORITHMS["dr_grpo"], scale_rewards=scale)
    by_length = replace(base, aggregation="sequence")
    cosines = [
        float(torch.cosine_similarity(expected_gradient(r, logits()), true_gradient(logits()), 0))
        for r in (base, by_length)
    ]
    assert cosines[1] < 0.9999
    assert (cosines[0] > TRUE_COSINE) == (scale == "none")


ESTIMATORS: Mapping[str, Callable[[Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


@pytest.mark.parametrize(("name", "unbiased"), [("k1", True), ("k2", False), ("k3", True)])
def test_the_mean_of_an_estimator(name: str, unbiased: bool):
    policy_V = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64).log_softmax(-1)
    reference_V = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    kl = float((policy_V.exp() * (policy_V - reference_V)).sum())
    mean = float((policy_V.exp() * ESTIMATORS[name](policy_V - reference_V)).sum())
    assert (abs(mean - kl) < 1e-12) == unbiased
    assert mean == pytest.approx(kl, rel=0.2)


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_k3_varies_less_than_k1(spread: float):
    """Schulman 2020, figures of two Gaussians; here of three actions."""
    policy_V = (spread * torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)).log_softmax(-1)
    log_ratio_V = policy_V - math.log(1 / 3)

    def deviation(name: str) -> float:
        found_V = ESTIMATORS[name](log_ratio_V)
        mean = (policy_V.exp() * found_V).sum()
        return float((policy_V.exp() * (found_V - mean).square()).sum().sqrt())

    assert deviation("k3") < 0.7 * deviation("k1")


@pytest.mark.parametrize("whole", [True, False])
def test_the_gradient_of_a_sequence_s_kl_needs_the_whole_log_ratio(whole: bool):
    """Nash-MD's KL: with each token's own log-ratio, what it does to later ones is left out."""
    logits_V = logits()
    reference = sequences(torch.zeros(5, dtype=torch.float64))
    found = sequences(logits_V)
    chances = torch.stack([s.sum() for s in found]).exp()
    ratios = torch.stack([(s - r).sum() for s, r in zip(found, reference, strict=True)])
    expected = torch.autograd.grad((chances * ratios).sum(), logits_V, retain_graph=True)[0]
    total = torch.zeros((), dtype=torch.float64)
    for chance, sequence, other in zip(chances.detach(), found, reference, strict=True):
        if whole:
            total = total + chance * _nash_kl(sequence, other)
        else:
            total = total + chance * ((sequence - other).detach() * sequence).sum()
    gradient = torch.autograd.grad(total, logits_V)[0]
    assert torch.allclose(gradient, expected, atol=1e-12) == whole


def _nash_kl(logprob_N: Tensor, reference_N: Tensor) -> Tensor:
    branch = {"advantage": torch.zeros(1).double(), "weight": torch.ones(1).double()}
    batch = batch_of([len(logprob_N)], token={"reference": reference_N}, branch=branch)
    return NashMirrorDescent(beta=1.0)({"policy.logprobs": logprob_N}, batch)[0]


# A bandit of three actions, learned by the real learner: its optimum under a reward less beta KL
# is pi* = ref exp(r / beta) / Z, which preferences of Bradley and Terry's chances lead to as well.

BANDIT_REWARDS = (1.0, 0.0, 0.4)
ACTIONS = (7, 9, 11)
REFERENCE = (0.2, 0.5, 0.3)
PAIRS = ((0, 1), (0, 2), (1, 2))


def bandit() -> Tree:
    branches = tuple(Tokens(ids=np.array([a], np.int32), mask=np.ones(1, bool)) for a in ACTIONS)
    chance = [1 / (1 + math.exp(BANDIT_REWARDS[j] - BANDIT_REWARDS[i])) for i, j in PAIRS]
    return Tree(
        id="bandit", prompt_P=np.array([3, 4], np.int32), branches=branches
    ).with_pair_labels(
        better=np.array([i for i, _ in PAIRS]),
        worse=np.array([j for _, j in PAIRS]),
        probability=np.array(chance, np.float32),
        margin=np.zeros(3, np.float32),
        weight=np.full(3, 1 / 3, np.float32),
    )


def with_chances(chances: Sequence[float]) -> torch.nn.Module:
    """A model that gives the actions these chances whatever the prompt, and others next to none."""
    model = tiny_language_model()
    head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-30.0)
        head.bias[list(ACTIONS)] = torch.tensor(chances).log()
    model.set_output_embeddings(head)
    return model


def settled(learner: Learner, trees: Sequence[Tree], objective: object, updates: int) -> None:
    for _ in range(updates):
        learner.update(trees, objective)  # type: ignore[arg-type]


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_dpo_on_chances_of_a_reward_ends_at_the_optimum_of_that_reward(beta: float):
    """Rafailov et al. 2023, equations 4 and 6; with rewards 1 and 0 alone, .881 and .622."""
    models = {"policy": with_chances(REFERENCE), "reference": with_chances(REFERENCE)}
    learner = learner_for(
        SeparateRoles(models, trained=["policy"]),
        learning_rate=0.03,
        schedule="linear",
        total_steps=120,
    )
    trees = with_reference([bandit()], learner)
    term = PreferenceTerm(name="dpo", row=PREFERENCE_LOSSES["dpo"], settings={"beta": beta})
    settled(learner, trees, PreferenceOptimisation(terms=(term,)), 120)
    (found,) = learner.forward(trees, ["policy.logprobs"])
    chances = np.exp(found["policy.logprobs"])
    optimum = np.array(REFERENCE) * np.exp(np.array(BANDIT_REWARDS) / beta)
    np.testing.assert_allclose(chances / chances.sum(), optimum / optimum.sum(), atol=2e-3)


def test_a_reward_model_on_chances_of_a_reward_finds_it():
    """Up to a constant, which centring the scores of pairs at 0 fixes."""
    roles = SeparateRoles({"reward": tiny_scalar_model(seed=3)}, trained=["reward"])
    learner = learner_for(roles, learning_rate=3e-3, schedule="linear", total_steps=200)
    nothing = np.zeros(3, np.float32)
    tree = bandit().with_branch_labels(rating=nothing, weight=nothing)
    settled(learner, [tree], RewardModelling(), 200)
    (found,) = learner.forward([tree], ["reward.scores"])
    scores = found["reward.scores"] - found["reward.scores"].mean()
    expected = np.array(BANDIT_REWARDS) - np.mean(BANDIT_REWARDS)
    np.testing.assert_allclose(scores, expected, atol=5e-3)

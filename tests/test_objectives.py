"""What holds of every objective: sums over micro-batches, gradients, and the optimum they share.

Shapes: N policy tokens, Q pairs, V actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.models import collate
from plaudit.objectives import (
    Clip,
    DirectPreference,
    LanguageModelling,
    Mean,
    PolicyOptimisation,
    RewardModelling,
    bradley_terry_loss,
    clipped_surrogate,
    clipped_value_loss,
    dpo_loss,
    k1,
    k2,
    k3,
    pointwise_loss,
)
from plaudit.text import Tokens, Tree
from tests.labelled import batch_of, joined, random_batch

Objective = LanguageModelling | DirectPreference | RewardModelling | PolicyOptimisation

OBJECTIVES: dict[str, Objective] = {
    "language": LanguageModelling(),
    "dpo": DirectPreference(beta=0.3),
    "dpo_with_likelihood": DirectPreference(beta=0.3, nll_coefficient=0.2),
    "reward": RewardModelling(pointwise_coefficient=0.7),
    "policy": PolicyOptimisation(critic=False, surrogate=Clip(epsilon_high=0.28)),
    "policy_with_kl": PolicyOptimisation(critic=False, kl_coefficient=0.1),
    "policy_and_critic": PolicyOptimisation(critic=True),
    "critic": PolicyOptimisation(critic=True, train_policy=False),
}
every_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


def parts():
    """Two micro-batches; in the first a branch has no policy tokens, the second has no pairs."""
    first = random_batch([3, 0, 4], [(0, 2), (2, 1)], seed=1)
    second = random_batch([5, 1], [], seed=2)
    return first, second


def differentiable(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.clone().requires_grad_() for name, values in outputs.items()}


def run(objective: Objective, outputs: dict[str, Tensor], batch):
    leaves = differentiable(outputs)
    loss, metrics = objective(leaves, batch)
    loss.backward()
    slopes = {n: v.grad if v.grad is not None else torch.zeros_like(v) for n, v in leaves.items()}
    return loss.detach(), slopes, metrics


@every_objective
def test_micro_batches_add_up_to_the_whole(objective: Objective):
    (first, first_batch), (second, second_batch) = parts()
    whole = {name: torch.cat([first[name], second[name]]) for name in first}
    loss, slopes, metrics = run(objective, whole, joined(first_batch, second_batch))
    loss_1, slopes_1, metrics_1 = run(objective, first, first_batch)
    loss_2, slopes_2, metrics_2 = run(objective, second, second_batch)

    torch.testing.assert_close(loss_1 + loss_2, loss, atol=1e-12, rtol=1e-12)
    for name in whole:
        added = torch.cat([slopes_1[name], slopes_2[name]])
        torch.testing.assert_close(added, slopes[name], atol=1e-12, rtol=1e-12)
        assert bool(slopes[name].any()) == (name in objective.needs and "entropy" not in name)
    totals: dict[str, Mean] = dict(metrics_1)
    for name, mean in metrics_2.items():
        totals[name] = totals[name] + mean if name in totals else mean
    assert totals.keys() == metrics.keys()
    for name, mean in metrics.items():
        assert totals[name].value() == pytest.approx(mean.value(), rel=1e-6, abs=1e-7)


@every_objective
def test_gradients_of_objectives(objective: Objective):
    outputs, batch = random_batch([2, 0, 3], [(0, 2), (2, 1)], seed=3)

    def loss(*values: Tensor) -> Tensor:
        return objective(outputs | dict(zip(objective.needs, values, strict=True)), batch)[0]

    leaves = differentiable({name: outputs[name] for name in objective.needs})
    assert torch.autograd.gradcheck(loss, tuple(leaves.values()))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": lambda x, _: k1(x),
    "k2": lambda x, _: k2(x),
    "k3": lambda x, _: k3(x),
    "dpo": lambda x, y: dpo_loss(x, beta=0.3, probability_Q=y.sigmoid()),
    "bradley_terry": lambda x, y: bradley_terry_loss(x, probability_Q=0.9, margin_Q=y),
    "pointwise": lambda x, y: pointwise_loss(x, y.sigmoid()),
    "clipped_surrogate": lambda x, y: clipped_surrogate(x.exp(), y, epsilon=0.2, epsilon_high=0.28),
    "clipped_value_loss": lambda x, y: clipped_value_loss(x, torch.zeros_like(x), y, epsilon=0.2),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_of_losses(loss: Callable[[Tensor, Tensor], Tensor]):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, y), x.requires_grad_())


@every_objective
def test_a_tree_with_a_sequence_without_policy_tokens(objective: Objective):
    """Laid out as the learner lays it out, with float32 labels."""
    branches = tuple(
        Tokens(ids=np.array([5, 6]), mask=np.array([wrote, wrote])) for wrote in (True, False)
    )
    token = ("weight", "advantage", "old", "reference", "old_value", "return")
    tree = Tree(id="a", prompt_P=np.array([3, 4]), branches=branches)
    tree = tree.with_token_labels(**{name: np.full(2, 0.5, np.float32) for name in token})
    tree = tree.with_branch_labels(
        tokens=np.array([2, 0]), rating=np.ones(2, np.float32), weight=np.ones(2, np.float32)
    )
    tree = tree.with_pair_labels(
        better=np.array([1]),
        worse=np.array([0]),
        **{name: np.ones(1, np.float32) for name in ("probability", "margin", "weight")},
    )
    sizes = {"policy.logprobs": 2, "policy.entropy": 2, "critic.values": 2, "reward.scores": 2}
    outputs = {name: torch.zeros(size) for name, size in sizes.items()}
    loss, slopes, metrics = run(objective, outputs, collate([tree], layout="tree"))
    assert loss.dtype == torch.float32 and math.isfinite(loss.item())
    assert all(bool(torch.isfinite(slope).all()) for slope in slopes.values())
    assert all(math.isfinite(mean.value()) for mean in metrics.values())


def test_language_modelling():
    """A weighted sum for the loss, nats a token for the metric."""
    logprob_N = torch.tensor([-1.0, -2.0, -4.0], requires_grad=True)
    weight_N = torch.tensor([0.5, 0.25, 0.25])
    batch = batch_of([1, 2], token={"weight": weight_N})
    loss, metrics = LanguageModelling()({"policy.logprobs": logprob_N}, batch)
    loss.backward()
    assert loss.item() == 2.0
    assert metrics["loss"].value() == pytest.approx(7 / 3)
    assert logprob_N.grad is not None
    torch.testing.assert_close(logprob_N.grad, -weight_N)


def test_a_mean_of_parts_is_the_mean_of_all():
    first, second = Mean(torch.tensor(3.0), 2.0), Mean(torch.tensor(9.0), 1.0)
    assert (first + second).value() == 4.0
    assert math.isnan(Mean(torch.tensor(0.0), 0.0).value())


# The bandit whose optimum is known: pi proportional to reference * exp(r / beta), with two actions,
# a uniform reference and rewards of 1 and 0, so that the better one has sigma(1 / beta).
UNIFORM_V = torch.full((2,), math.log(0.5), dtype=torch.float64)
REWARD_V = torch.tensor([1.0, 0.0], dtype=torch.float64)


def direct_preference(logits_V: Tensor, beta: float) -> Tensor:
    """DPO on the population of pairs, labelled by Bradley-Terry on the true rewards."""
    pair = {
        "better": torch.tensor([0, 1]),
        "worse": torch.tensor([1, 0]),
        "probability": (REWARD_V - REWARD_V.flip(0)).sigmoid(),
        "weight": torch.tensor([0.5, 0.5], dtype=torch.float64),
    }
    batch = batch_of([1, 1], token={"reference": UNIFORM_V}, pair=pair)
    return DirectPreference(beta=beta)({"policy.logprobs": logits_V.log_softmax(-1)}, batch)[0]


def policy_gradient(logits_V: Tensor, beta: float, *, kl_in_loss: bool) -> Tensor:
    """The expectation over both actions, on-policy; KL as k1 in the reward or k3 in the loss."""
    logprob_V = logits_V.log_softmax(-1)
    old_V = logprob_V.detach()
    reward_V = REWARD_V if kl_in_loss else REWARD_V - beta * k1(old_V - UNIFORM_V)
    token = {
        "weight": old_V.exp(),
        "old": old_V,
        "reference": UNIFORM_V,
        "advantage": reward_V - (old_V.exp() * reward_V).sum(),
    }
    objective = PolicyOptimisation(critic=False, kl_coefficient=beta if kl_in_loss else 0.0)
    outputs = {"policy.logprobs": logprob_V, "policy.entropy": torch.zeros_like(logprob_V)}
    return objective(outputs, batch_of([1, 1], token=token))[0]


@pytest.mark.parametrize(("beta", "optimum"), [(0.5, 0.881), (2.0, 0.622)])
@pytest.mark.parametrize(
    "loss",
    [
        direct_preference,
        partial(policy_gradient, kl_in_loss=False),
        partial(policy_gradient, kl_in_loss=True),
    ],
    ids=["dpo", "kl_in_reward", "kl_in_loss"],
)
def test_gradient_descent_reaches_the_known_optimum(loss, beta: float, optimum: float):
    logits_V = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    for _ in range(400):
        (slope_V,) = torch.autograd.grad(loss(logits_V, beta), logits_V)
        with torch.no_grad():
            logits_V -= slope_V / beta
    better = float(logits_V.detach().softmax(-1)[0])
    assert better == pytest.approx(optimum, abs=1e-3)
    assert better == pytest.approx(1 / (1 + math.exp(-1 / beta)), abs=1e-6)

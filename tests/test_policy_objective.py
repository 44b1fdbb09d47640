"""KL estimators, surrogates and policy optimisation: golden numbers and exact expectations.

Shapes: N policy tokens, V actions.
"""

from __future__ import annotations

import typing
from itertools import product

import pytest
import torch
from torch import Tensor

from plaudit.objectives import (
    ALGORITHMS,
    Algorithm,
    PolicyOptimisation,
    adapt_kl_coefficient,
    clipped_surrogate,
    clipped_value_loss,
    k1,
    k2,
    k3,
    leave_one_out_advantages,
    sequence_weights,
)
from tests.labelled import batch_of

LOGITS_V = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
REFERENCE_V = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
REVERSE_KL = [-0.171311, -0.101583, 0.272894]
FORWARD_KL = [-0.146385, -0.085522, 0.231906]


def close(actual: Tensor, expected: object, tolerance: float = 1e-6) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]


def loss_and_metrics(
    objective: PolicyOptimisation, logprob_N: Tensor, lengths: list[int], **labels: Tensor
) -> tuple[Tensor, dict[str, float]]:
    outputs = {"policy.logprobs": logprob_N, "policy.entropy": torch.zeros_like(logprob_N)}
    loss, metrics = objective(outputs, batch_of(lengths, token=labels))
    return loss, {name: mean.value() for name, mean in metrics.items()}


@pytest.mark.parametrize(
    ("log_ratio", "expected"),
    [(0.4, (0.4, 0.08, 0.0703200460)), (-0.2, (-0.2, 0.02, 0.0214027582))],
)
def test_kl_estimators(log_ratio: float, expected: tuple[float, ...]):
    log_ratio_N = torch.tensor([log_ratio], dtype=torch.float64)
    for estimator, value in zip((k1, k2, k3), expected, strict=True):
        close(estimator(log_ratio_N), [value], 1e-9)


def test_k3_of_float32_is_never_negative_and_keeps_its_digits():
    log_ratio_N = torch.linspace(-1e-3, 1e-3, 2001)
    assert bool((k3(log_ratio_N) >= 0).all())
    close(k3(log_ratio_N), k3(log_ratio_N.double()), 1e-9)


def test_expected_gradients_of_kl_estimators_as_losses():
    logits_V = LOGITS_V.clone().requires_grad_()
    logprob_V = logits_V.log_softmax(-1)
    probability_V = logprob_V.exp().detach()
    log_ratio_V = logprob_V - REFERENCE_V
    reverse = gradient((logprob_V.exp() * log_ratio_V).sum(), logits_V)
    forward = gradient(-(REFERENCE_V.exp() * logits_V.log_softmax(-1)).sum(), logits_V)
    close(reverse, REVERSE_KL)
    close(forward, FORWARD_KL)
    for estimator, expected in ((k1, torch.zeros(3)), (k2, reverse), (k3, forward)):
        logprob_V = logits_V.log_softmax(-1)
        loss = (probability_V * estimator(logprob_V - REFERENCE_V)).sum()
        close(gradient(loss, logits_V), expected, 1e-12)


@pytest.mark.parametrize("old_logits", [[0.3, -0.2, 0.5], [-0.5, 0.4, 0.0]])
def test_kl_in_the_loss_has_the_gradient_of_reverse_kl(old_logits: list[float]):
    """On the old policy and, for what the ratio corrects, on another one."""
    logits_V = LOGITS_V.clone().requires_grad_()
    old_V = torch.tensor(old_logits, dtype=torch.float64).log_softmax(-1)
    loss, _ = loss_and_metrics(
        PolicyOptimisation(critic=False, kl_coefficient=1.0),
        logits_V.log_softmax(-1),
        [1, 1, 1],
        weight=old_V.exp(),
        advantage=torch.zeros(3, dtype=torch.float64),
        old=old_V,
        reference=REFERENCE_V,
    )
    close(gradient(loss, logits_V), REVERSE_KL)


@pytest.mark.parametrize(
    ("advantage", "ratio", "objective", "slope"),
    [
        (1.0, 1.3, 1.2, 0.0),
        (-1.0, 0.7, -0.8, 0.0),
        (-1.0, 1.5, -1.5, -1.0),
        (1.0, 0.7, 0.7, 1.0),
        (2.0, 1.1, 2.2, 2.0),
        (2.0, 1.0, 2.0, 2.0),
        (0.0, 1.5, 0.0, 0.0),
    ],
)
def test_clipped_surrogate(advantage: float, ratio: float, objective: float, slope: float):
    ratio_N = torch.tensor([ratio], requires_grad=True)
    loss_N = clipped_surrogate(ratio_N, torch.tensor([advantage]), epsilon=0.2, epsilon_high=0.2)
    close(-loss_N, [objective])
    close(-gradient(loss_N.sum(), ratio_N), [slope])


def test_clip_higher_moves_the_upper_bound_alone():
    ratio_N, advantage_N = torch.tensor([1.25, 1.4, 0.7]), torch.tensor([1.0, 1.0, -1.0])
    loss_N = clipped_surrogate(ratio_N, advantage_N, epsilon=0.2, epsilon_high=0.28)
    close(loss_N, [-1.25, -1.28, 0.8])


def test_clipped_value_loss():
    # Inside; beyond, and further from the return; beyond, the clipped one is the further.
    value_N = torch.tensor([0.1, 1.0, 1.0], requires_grad=True)
    old_value_N, return_N = torch.zeros(3), torch.tensor([1.0, 0.0, 1.0])
    loss_N = clipped_value_loss(value_N, old_value_N, return_N, epsilon=0.2)
    close(loss_N, [0.405, 0.5, 0.32])
    close(gradient(loss_N.sum(), value_N), [-0.9, 1.0, 0.0])


@pytest.mark.parametrize(
    ("aggregation", "advantage", "expected"),
    [
        ("sequence", 2.0, (0.25, 1 / 7)),
        ("constant", 2.0, (1 / 7, 1 / 7)),
        ("token", 1.0, (1 / 11, 1 / 11)),
    ],
)
def test_slope_of_each_token_by_aggregation(aggregation, advantage, expected):
    weights = sequence_weights([4, 7], aggregation, max_tokens=7)
    logprob_N = torch.zeros(11, dtype=torch.float64, requires_grad=True)
    loss, _ = loss_and_metrics(
        PolicyOptimisation(critic=False),
        logprob_N,
        [4, 7],
        weight=torch.tensor([weights[0]] * 4 + [weights[1]] * 7, dtype=torch.float64),
        advantage=torch.full((11,), advantage, dtype=torch.float64),
        old=torch.zeros(11, dtype=torch.float64),
    )
    close(-gradient(loss, logprob_N), [expected[0]] * 4 + [expected[1]] * 7, 1e-12)


def sequence_logprobs(logits_V: Tensor) -> list[Tensor]:
    """Three sequences of one, two and two tokens: stop; go on, then one of two."""
    first, second = logits_V[:2].log_softmax(-1), logits_V[2:].log_softmax(-1)
    return [first[:1], torch.stack([first[1], second[0]]), torch.stack([first[1], second[1]])]


def test_rloo_is_unbiased_for_sequences_of_unequal_length():
    """The expectation over all groups of two is the gradient of the expected reward."""
    logits_V = torch.tensor([0.2, -0.1, 0.4, 0.0], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([1.0, 3.0, -2.0], dtype=torch.float64)
    probability = torch.stack([s.sum() for s in sequence_logprobs(logits_V)]).exp()
    expected = gradient((probability * rewards).sum(), logits_V)
    total = torch.zeros((), dtype=torch.float64)
    for i, j in product(range(3), repeat=2):
        sequences = sequence_logprobs(logits_V)
        lengths = [len(sequences[i]), len(sequences[j])]
        weights = sequence_weights(lengths, ALGORITHMS["rloo"].aggregation, max_tokens=2)
        advantages = leave_one_out_advantages(rewards[[i, j]])
        logprob_N = torch.cat([sequences[i], sequences[j]])
        repeats = torch.tensor(lengths)
        loss, _ = loss_and_metrics(
            PolicyOptimisation(critic=False),
            logprob_N,
            lengths,
            weight=torch.tensor(weights, dtype=torch.float64).repeat_interleave(repeats),
            advantage=advantages.repeat_interleave(repeats),
            old=logprob_N.detach(),
        )
        total = total + (probability[i] * probability[j]).detach() * loss
    close(-2 * gradient(total, logits_V), expected, 1e-12)


def test_first_update_has_ratio_1_and_no_clipping():
    logprob_N = torch.tensor([-1.0, -2.0], dtype=torch.float64, requires_grad=True)
    advantage_N = torch.tensor([3.0, -1.0], dtype=torch.float64)
    loss, metrics = loss_and_metrics(
        PolicyOptimisation(critic=False),
        logprob_N,
        [2],
        weight=torch.tensor([0.5, 0.5], dtype=torch.float64),
        advantage=advantage_N,
        old=logprob_N.detach(),
    )
    assert loss.item() == -1.0
    close(gradient(loss, logprob_N), -0.5 * advantage_N, 1e-12)
    assert metrics == {"policy_loss": -1.0, "entropy": 0.0, "approx_kl": 0.0, "clip_fraction": 0.0}


def test_policy_metrics():
    """Of five ratios outside the bounds, two are on the side where the clip takes the gradient."""
    ratio_N = torch.tensor([1.3, 1.3, 0.7, 0.7, 1.3, 1.0])
    advantage_N = torch.tensor([1.0, -1.0, -1.0, 1.0, 0.0, 1.0])
    _, metrics = loss_and_metrics(
        PolicyOptimisation(critic=False),
        ratio_N.log(),
        [6],
        weight=torch.full((6,), 1 / 6),
        advantage=advantage_N,
        old=torch.zeros(6),
    )
    assert metrics["clip_fraction"] == pytest.approx(2 / 6)
    assert metrics["policy_loss"] == pytest.approx((-1.2 + 1.3 + 0.8 - 0.7 + 0.0 - 1.0) / 6)
    assert metrics["approx_kl"] == pytest.approx(
        float((ratio_N - 1 - ratio_N.log()).mean()), abs=1e-7
    )


def test_an_update_that_weighs_nothing_has_no_mean_loss():
    nothing_N = torch.zeros(2)
    loss, metrics = loss_and_metrics(
        PolicyOptimisation(critic=False), nothing_N, [2], weight=nothing_N, advantage=nothing_N,
        old=nothing_N,
    )  # fmt: skip
    assert loss.item() == 0.0 and "policy_loss" not in metrics


@pytest.mark.parametrize("advantage", [1.0, -1.0, 0.0])
def test_a_ratio_out_of_range_never_passes_for_a_finite_update(advantage: float):
    logprob_N = torch.tensor([-1.0], requires_grad=True)
    loss, _ = loss_and_metrics(
        PolicyOptimisation(critic=False),
        logprob_N,
        [1],
        weight=torch.ones(1),
        advantage=torch.tensor([advantage]),
        old=torch.tensor([-101.0]),
    )
    slope_N = gradient(loss, logprob_N)
    assert not (bool(torch.isfinite(loss)) and bool(torch.isfinite(slope_N).all()))


def test_critic_alone_and_with_the_policy():
    token = {
        "weight": torch.tensor([0.5, 0.5]),
        "advantage": torch.tensor([1.0, 1.0]),
        "old": torch.zeros(2),
        "old_value": torch.tensor([0.0, 0.0]),
        "return": torch.tensor([1.0, 0.0]),
    }
    outputs = {
        "policy.logprobs": torch.zeros(2),
        "policy.entropy": torch.ones(2),
        "critic.values": torch.tensor([0.1, 1.0]),
    }
    alone = PolicyOptimisation(critic=True, train_policy=False, vf_coefficient=0.1)
    both = PolicyOptimisation(critic=True, vf_coefficient=0.1)
    assert alone.needs == ("critic.values",)
    assert both.needs == ("policy.logprobs", "policy.entropy", "critic.values")
    loss, metrics = alone(outputs, batch_of([2], token=token))
    assert loss.item() == pytest.approx(0.1 * (0.5 * 0.405 + 0.5 * 0.5))
    assert {n: m.value() for n, m in metrics.items()} == pytest.approx(
        {"value_loss": 0.4525, "value_error": (0.81 + 1.0) / 2}
    )
    loss, metrics = both(outputs, batch_of([2], token=token))
    assert loss.item() == pytest.approx(-1.0 + 0.04525)
    assert metrics["entropy"].value() == 1.0
    assert [part.needs for part in both.parts] == [both.needs[:2], both.needs[2:]]
    parts = [part(outputs, batch_of([2], token=token)) for part in both.parts]
    assert sum(part.item() for part, _ in parts) == pytest.approx(loss.item())
    assert parts[0][1] | parts[1][1] == metrics
    assert alone.parts == (alone,)


def test_adaptive_kl():
    settings = {"target": 6.0, "episodes": 512, "horizon": 10_000}
    assert adapt_kl_coefficient(0.15, 12.0, **settings) == pytest.approx(0.151536)
    assert adapt_kl_coefficient(0.15, 0.0, **settings) == pytest.approx(0.148464)
    assert adapt_kl_coefficient(0.15, 6.6, **settings) == pytest.approx(0.15 * 1.00512)
    assert adapt_kl_coefficient(0.15, 6.0, **settings) == 0.15


def test_rows_with_a_critic():
    assert {name for name, row in ALGORITHMS.items() if row.has_critic} == {"ppo", "vapo"}


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_row_of_the_table_is_made_of_known_parts(name: str):
    row = ALGORITHMS[name]
    for part in ("advantage", "scale_rewards", "kl", "kl_estimator", "aggregation"):
        assert getattr(row, part) in typing.get_args(typing.get_type_hints(Algorithm)[part])
    assert len(sequence_weights([3, 2], row.aggregation, max_tokens=4)) == 2
    assert ("critic.values" in PolicyOptimisation(critic=row.has_critic).needs) == row.has_critic
    assert row.kl_in_reward == (row.kl_estimator == "k1")
    assert row.has_critic or not row.critic

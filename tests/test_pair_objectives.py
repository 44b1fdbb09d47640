"""Preference and reward objectives: golden numbers, symmetries, and what an update may lack.

Shapes: N policy tokens, M branches, Q pairs.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from plaudit.objectives import (
    DirectPreference,
    RewardModelling,
    bradley_terry_loss,
    dpo_loss,
    pointwise_loss,
)
from tests.labelled import Batch, batch_of, random_batch

NO_PAIRS = {
    "better": torch.tensor([], dtype=torch.int64),
    "worse": torch.tensor([], dtype=torch.int64),
    "probability": torch.tensor([]),
    "margin": torch.tensor([]),
    "weight": torch.tensor([]),
}


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, expected: object, tolerance: float = 1e-9) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def golden_pair(**labels: Tensor) -> tuple[dict[str, Tensor], Batch]:
    """Log-probabilities -4 and -7 on 3 and 5 tokens; under the reference -4.6 and -6.6."""
    lengths = torch.tensor([3, 5])
    spread = lambda totals: (double(*totals) / lengths).repeat_interleave(lengths)  # noqa: E731
    pair = {
        "better": torch.tensor([0]),
        "worse": torch.tensor([1]),
        "probability": double(1.0),
        "weight": double(1.0),
        **labels,
    }
    batch = batch_of(
        [3, 5], token={"reference": spread([-4.6, -6.6])}, branch={"tokens": lengths}, pair=pair
    )
    return {"policy.logprobs": spread([-4.0, -7.0]).requires_grad_()}, batch


def test_dpo_and_cdpo():
    close(dpo_loss(double(1.0), beta=0.1), [0.6443966601])
    close(dpo_loss(double(1.0), beta=0.1, probability_Q=0.9), [0.6543966601], 1e-9)
    close(dpo_loss(double(-1.0), beta=0.1, probability_Q=0.1), [0.6543966601], 1e-9)


def test_bradley_terry():
    difference_Q = double(1.2 - 0.5)
    close(bradley_terry_loss(difference_Q), [0.4031860489])
    close(bradley_terry_loss(difference_Q, margin_Q=1 / 3), [0.5265260958])
    close(bradley_terry_loss(-difference_Q, probability_Q=0.0), [0.4031860489])


def test_pointwise():
    # A score of ln 3 says 3 to 1 for a good rating.
    score_M = torch.full((3,), math.log(3.0), dtype=torch.float64)
    expected = [math.log(4 / 3), math.log(4), 0.5 * math.log(16 / 3)]
    close(pointwise_loss(score_M, double(1.0, 0.0, 0.5)), expected)


@pytest.mark.parametrize("probability", [1.0, 0.9, 0.5])
def test_every_pair_loss_starts_at_ln_2(probability: float):
    zero = double(0.0)
    close(dpo_loss(zero, beta=0.1, probability_Q=probability), [math.log(2)])
    close(bradley_terry_loss(zero, probability_Q=probability), [math.log(2)])


@pytest.mark.parametrize("probability", [0.5, 0.7, 0.9])
def test_a_soft_label_is_met_where_the_model_says_the_same(probability: float):
    """The gradient is 0 where ``sigma(beta d) = p``: for an even label at 0."""
    difference_Q = (torch.logit(double(probability)) / 0.1).requires_grad_()
    dpo_loss(difference_Q, beta=0.1, probability_Q=probability).sum().backward()
    assert difference_Q.grad is not None
    close(difference_Q.grad, [0.0], 1e-12)
    score_Q = torch.logit(double(probability)).requires_grad_()
    bradley_terry_loss(score_Q, probability_Q=probability).sum().backward()
    assert score_Q.grad is not None
    close(score_Q.grad, [0.0], 1e-12)


@pytest.mark.parametrize("difference", [-1e4, 1e4])
def test_pair_losses_of_extreme_differences_are_finite(difference: float):
    for probability in (1.0, 0.9, 0.0):
        difference_Q = torch.tensor([difference], requires_grad=True)
        loss = bradley_terry_loss(difference_Q, probability_Q=probability).sum()
        loss.backward()
        assert difference_Q.grad is not None
        assert math.isfinite(loss.item()) and math.isfinite(float(difference_Q.grad))
        wrong = probability if difference < 0 else 1 - probability
        assert loss.item() == pytest.approx(1e4 * wrong, rel=1e-4)


def test_direct_preference_on_the_golden_pair():
    outputs, batch = golden_pair()
    loss, metrics = DirectPreference(beta=0.1)(outputs, batch)
    close(loss, 0.6443966601)
    assert {name: mean.value() for name, mean in metrics.items()} == pytest.approx(
        {
            "loss": 0.6443966601,
            "accuracy": 1.0,
            "margin": 0.1,
            "chosen_logprob": -4.0,
            "rejected_logprob": -7.0,
        }
    )
    loss, metrics = DirectPreference(beta=0.1, nll_coefficient=0.2)(outputs, batch)
    close(loss, 0.6443966601 + 0.2 * 4.0 / 3)
    assert metrics["loss"].value() == pytest.approx(0.6443966601)


def test_swapping_a_pair_flips_the_margin():
    outputs, batch = golden_pair(better=torch.tensor([1]), worse=torch.tensor([0]))
    loss, metrics = DirectPreference(beta=0.1)(outputs, batch)
    assert metrics["margin"].value() == pytest.approx(-0.1)
    assert metrics["accuracy"].value() == 0.0
    close(loss, 0.6443966601 + 0.1)


def test_a_policy_equal_to_its_reference_is_at_ln_2_and_half_right():
    _, batch = golden_pair()
    at_start = {"policy.logprobs": batch.token["reference"].clone()}
    loss, metrics = DirectPreference()(at_start, batch)
    close(loss, math.log(2))
    assert metrics["accuracy"].value() == 0.5
    assert metrics["margin"].value() == 0.0


def test_log_ratios_of_long_responses_keep_their_digits():
    """Two responses of 2,000 tokens, each token 1e-4 nats more likely than under the reference."""
    reference_N = torch.full((4000,), -7.3)
    logprob_N = reference_N + 1e-4 * torch.tensor([1.0, -1.0]).repeat_interleave(2000)
    pair = {
        "better": torch.tensor([0]),
        "worse": torch.tensor([1]),
        "probability": torch.ones(1),
        "weight": torch.ones(1),
    }
    batch = batch_of([2000, 2000], token={"reference": reference_N}, pair=pair)
    _, metrics = DirectPreference(beta=1.0)({"policy.logprobs": logprob_N}, batch)
    exact = float((logprob_N.double() - reference_N.double()).abs().sum())
    assert metrics["margin"].value() == pytest.approx(exact, rel=1e-5)


def test_a_better_response_without_policy_tokens_has_no_likelihood_to_raise():
    outputs, batch = random_batch([0, 3, 2], [(0, 1), (2, 1)], seed=0)
    outputs["policy.logprobs"].requires_grad_()
    loss, _ = DirectPreference(nll_coefficient=1.0)(outputs, batch)
    loss.backward()
    slope_N = outputs["policy.logprobs"].grad
    assert math.isfinite(loss.item())
    assert slope_N is not None and bool(torch.isfinite(slope_N).all()) and bool(slope_N.any())


def test_without_a_likelihood_term_no_token_counts_are_asked_for():
    outputs, batch = golden_pair()
    bare = Batch(branch_N=batch.branch_N, branches=2, token=batch.token, pair=batch.pair)
    close(DirectPreference(beta=0.1)(outputs, bare)[0], 0.6443966601)


def test_reward_modelling_by_hand():
    score_M = torch.tensor([1.2, 0.5, 0.5], requires_grad=True)
    pair = {
        "better": torch.tensor([0, 1]),
        "worse": torch.tensor([1, 2]),
        "probability": torch.ones(2),
        "margin": torch.tensor([1 / 3, 0.0]),
        "weight": torch.tensor([0.75, 0.25]),
    }
    branch = {"rating": torch.tensor([1.0, 0.0, 0.0]), "weight": torch.tensor([0.5, 0.0, 0.0])}
    objective = RewardModelling(pointwise_coefficient=2.0)
    loss, metrics = objective(
        {"reward.scores": score_M}, batch_of([1, 1, 1], branch=branch, pair=pair)
    )
    pairs, rating = 0.75 * 0.5265260958 + 0.25 * math.log(2), math.log1p(math.exp(-1.2))
    assert loss.item() == pytest.approx(pairs + 2.0 * 0.5 * rating, abs=1e-6)
    assert {name: mean.value() for name, mean in metrics.items()} == pytest.approx(
        {"pair_loss": pairs, "accuracy": 0.75 + 0.25 / 2, "rating_loss": rating}, abs=1e-6
    )


def test_reward_modelling_without_pairs():
    score_M = torch.tensor([0.3, -1.0], requires_grad=True)
    branch = {"rating": torch.tensor([1.0, 0.0]), "weight": torch.tensor([0.5, 0.5])}
    loss, metrics = RewardModelling()(
        {"reward.scores": score_M}, batch_of([1, 1], branch=branch, pair=NO_PAIRS)
    )
    loss.backward()
    assert score_M.grad is not None
    close(score_M.grad, [0.5 * (0.574443 - 1), 0.5 * 0.268941], 1e-6)
    assert list(metrics) == ["rating_loss"]
    assert metrics["rating_loss"].value() == pytest.approx(loss.item())


def test_reward_modelling_without_ratings():
    score_M = torch.tensor([0.3, -1.0], requires_grad=True)
    branch = {"rating": torch.zeros(2), "weight": torch.zeros(2)}
    pair = {**NO_PAIRS, "better": torch.tensor([0]), "worse": torch.tensor([1])}
    pair |= {"probability": torch.ones(1), "margin": torch.zeros(1), "weight": torch.ones(1)}
    loss, metrics = RewardModelling()(
        {"reward.scores": score_M}, batch_of([1, 1], branch=branch, pair=pair)
    )
    loss.backward()
    assert score_M.grad is not None
    close(score_M.grad, [-0.214165, 0.214165], 1e-6)
    assert set(metrics) == {"pair_loss", "accuracy"}


def test_reward_modelling_with_neither_is_zero_and_differentiable():
    score_M = torch.tensor([0.3], requires_grad=True)
    branch = {"rating": torch.zeros(1), "weight": torch.zeros(1)}
    loss, metrics = RewardModelling()(
        {"reward.scores": score_M}, batch_of([1], branch=branch, pair=NO_PAIRS)
    )
    loss.backward()
    assert loss.item() == 0.0 and metrics == {}
    assert score_M.grad is not None
    close(score_M.grad, [0.0])

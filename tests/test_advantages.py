"""Advantage estimators and aggregation against numbers worked out by hand.

Shapes: S sequences, T tokens of the longest, G responses of one prompt.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from plaudit.objectives import (
    gae,
    group_advantages,
    group_mean_advantages,
    leave_one_out_advantages,
    sequence_weights,
    whiten,
)

GROUP_ESTIMATORS = [group_advantages, group_mean_advantages, leave_one_out_advantages]


def close(actual: Tensor, expected: object, tolerance: float = 1e-6) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("lam", "advantages", "returns"),
    [
        (0.95, [0.450975, 0.3905, 0.19], [0.950975, 0.9905, 0.99]),
        (1.0, [0.48, 0.4, 0.19], [0.98, 1.0, 0.99]),
        (0.0, [0.08, 0.21, 0.19], [0.58, 0.81, 0.99]),
    ],
)
def test_gae_trace(lam: float, advantages: list[float], returns: list[float]):
    rewards_ST, values_ST = torch.tensor([[-0.02, 0.01, 0.99]]), torch.tensor([[0.5, 0.6, 0.8]])
    mask_ST = torch.ones(1, 3, dtype=torch.bool)
    actual = gae(rewards_ST, values_ST, mask_ST, gamma=1.0, lam=lam)
    close(actual[0], [advantages])
    close(actual[1], [returns])


def test_gae_discounts():
    # delta = (1 + .5*4 - 2, 2 - 4) = (1, -2); A_1 = 1 + .5 * .5 * -2.
    mask_ST = torch.ones(1, 2, dtype=torch.bool)
    advantages_ST, returns_ST = gae(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0]]), mask_ST, gamma=0.5, lam=0.5
    )
    close(advantages_ST, [[0.5, -2.0]])
    close(returns_ST, [[2.5, 2.0]])


def test_gae_with_lambda_one_is_the_sum_of_rewards_less_the_value():
    torch.manual_seed(0)
    rewards_ST, values_ST = torch.randn(2, 6), torch.randn(2, 6)
    mask_ST = torch.ones(2, 6, dtype=torch.bool)
    advantages_ST, returns_ST = gae(rewards_ST, values_ST, mask_ST, gamma=1.0, lam=1.0)
    to_go_ST = rewards_ST.flip(1).cumsum(1).flip(1)
    close(returns_ST, to_go_ST, 1e-5)
    close(advantages_ST, to_go_ST - values_ST, 1e-5)


def test_gae_of_a_masked_slot_is_gae_of_the_sequence_without_it():
    torch.manual_seed(1)
    mask_ST = torch.tensor(
        [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool
    )
    rewards_ST = torch.randn(4, 5).where(mask_ST, torch.tensor(math.nan))
    values_ST = torch.randn(4, 5).where(mask_ST, torch.tensor(math.nan))
    masked = gae(rewards_ST, values_ST, mask_ST, gamma=0.9, lam=0.8)
    for s in range(4):
        mask_T = mask_ST[s]
        alone = gae(
            rewards_ST[s : s + 1, mask_T],
            values_ST[s : s + 1, mask_T],
            mask_ST[s : s + 1, mask_T],
            gamma=0.9,
            lam=0.8,
        )
        for actual_ST, expected_ST in zip(masked, alone, strict=True):
            assert torch.equal(actual_ST[s, mask_T], expected_ST[0])
            assert torch.equal(actual_ST[s, ~mask_T], torch.zeros(int((~mask_T).sum())))


def test_whiten_without_shift():
    values = torch.tensor([[1.2, 1.3, 1.4], [1.5, 1.6, 1.7], [1.8, 1.9, 2.0]])
    close(whiten(values.flatten(), shift_mean=False)[:3], [0.0508, 0.4381, 0.8254], 5e-5)


def test_whitened_values_have_mean_0_and_biased_variance_1():
    values_N = 50.0 + 3.0 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    whitened_N = whiten(values_N)
    assert abs(float(whitened_N.mean())) < 1e-6
    assert float(whitened_N.var(unbiased=False)) == pytest.approx(1.0, abs=1e-5)
    kept_N = whiten(values_N, shift_mean=False)
    assert float(kept_N.mean()) == pytest.approx(float(values_N.mean()), abs=1e-4)
    assert float(kept_N.var(unbiased=False)) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("right", "advantage_right", "advantage_wrong"),
    [(1, 2.646, -0.378), (4, 1.0, -1.0), (7, 0.378, -2.646)],
)
def test_grpo_by_pass_rate(right: int, advantage_right: float, advantage_wrong: float):
    rewards_G = torch.tensor([1.0] * right + [0.0] * (8 - right))
    expected = [advantage_right] * right + [advantage_wrong] * (8 - right)
    close(group_advantages(rewards_G), expected, 5e-4)


@pytest.mark.parametrize("estimator", [*GROUP_ESTIMATORS, whiten])
@pytest.mark.parametrize("size", [2, 3, 7, 8, 16])
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, -3.3, 10.1, 99.7, 1e6])
def test_equal_rewards_have_advantages_of_exactly_0(estimator, size: int, reward: float):
    assert torch.equal(estimator(torch.full((size,), reward)), torch.zeros(size))


def test_dr_grpo_and_rloo_by_hand():
    rewards_G = torch.tensor([1.0, 2.0, 6.0])
    close(group_mean_advantages(rewards_G), [-2.0, -1.0, 3.0])
    close(leave_one_out_advantages(rewards_G), [1 - 4.0, 2 - 3.5, 6 - 1.5])


def test_rloo_is_a_multiple_of_dr_grpo():
    rewards_G = torch.randn(5, generator=torch.Generator().manual_seed(0))
    close(leave_one_out_advantages(rewards_G), 5 / 4 * group_mean_advantages(rewards_G))


def test_leave_one_out_needs_two():
    with pytest.raises(AssertionError, match="at least two"):
        leave_one_out_advantages(torch.tensor([1.0]))


@pytest.mark.parametrize("estimator", GROUP_ESTIMATORS)
def test_groups_are_permutation_equivariant_and_shift_invariant(estimator):
    generator = torch.Generator().manual_seed(2)
    rewards_G = torch.randn(8, generator=generator, dtype=torch.float64)
    order_G = torch.randperm(8, generator=generator)
    advantages_G = estimator(rewards_G)
    close(estimator(rewards_G[order_G]), advantages_G[order_G], 1e-12)
    close(estimator(rewards_G + 7.0), advantages_G, 1e-12)
    assert abs(float(advantages_G.sum())) < 1e-12


def test_only_grpo_is_free_of_the_rewards_scale():
    rewards_G = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64)
    close(group_advantages(10 * rewards_G), group_advantages(rewards_G), 1e-5)
    close(group_mean_advantages(10 * rewards_G), 10 * group_mean_advantages(rewards_G), 1e-12)
    assert float(group_advantages(rewards_G).std(unbiased=False)) == pytest.approx(1.0, abs=1e-5)


def test_aggregation_weights():
    assert sequence_weights([4, 7], "token") == pytest.approx([1 / 11, 1 / 11])
    assert sequence_weights([4, 7], "sequence") == pytest.approx([1 / 8, 1 / 14])
    assert sequence_weights([4, 7], "constant", max_tokens=7) == pytest.approx([1 / 14, 1 / 14])


def test_a_sequence_without_tokens_weighs_nothing_but_is_counted():
    assert sequence_weights([4, 0], "token") == [0.25, 0.0]
    assert sequence_weights([4, 0], "sequence") == [0.125, 0.0]
    assert sequence_weights([4, 0], "constant", max_tokens=8) == [1 / 16, 0.0]
    assert sequence_weights([0, 0], "token") == [0.0, 0.0]


def test_aggregation_is_never_guessed():
    with pytest.raises(AssertionError, match="max_tokens"):
        sequence_weights([4], "constant")
    with pytest.raises(AssertionError, match="sequences"):
        sequence_weights([4], "sequences")  # pyright: ignore[reportArgumentType]

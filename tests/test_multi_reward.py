"""Several rewards as one: golden numbers, closed forms and properties.

Shapes: N responses, R rewards of each, G responses of one prompt, M reference responses.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from plaudit.learning.multipliers import Multiplier
from plaudit.objectives import (
    adapt_multiplier,
    decoupled_advantages,
    decoupled_sum,
    gae,
    gated,
    group_advantages,
    group_mean_advantages,
    lagrangian,
    leave_one_out_advantages,
    mean_minus_variance,
    min_max,
    preference_as_reward,
    weighted_sum,
    whiten,
    worst_of,
)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(*values: float):
    return pytest.approx(list(values), abs=1e-6)


NEVER = torch.zeros(1, dtype=torch.bool)


def test_llama_2_lets_safety_decide_below_the_threshold():
    unsafe = gated(tensor(0.10), tensor(0.90), NEVER, threshold=0.15)
    safe = gated(tensor(0.20), tensor(0.90), NEVER, threshold=0.15)
    assert unsafe.tolist() == near(math.log(0.1 / 0.9))  # -2.197
    assert safe.tolist() == near(math.log(0.9 / 0.1))  # +2.197
    asked = gated(tensor(0.20), tensor(0.90), ~NEVER, threshold=0.15)
    assert asked.tolist() == near(math.log(0.2 / 0.8))
    edge = gated(tensor(0.15), tensor(0.90), NEVER, threshold=0.15)
    assert edge.tolist() == safe.tolist()
    certain = gated(tensor(0.0), tensor(1.0), NEVER, threshold=0.15)
    assert torch.isfinite(certain).all()


# Two binary rewards, two responses: GRPO on the sum cannot tell the groups apart, GDPO can.
A = (tensor(0, 0), tensor(0, 1))
B = (tensor(0, 1), tensor(0, 1))
HALF = math.sqrt(0.5)


def test_gdpo_standardises_each_reward_before_it_sums():
    assert decoupled_sum(A, [1, 1], [2]).tolist() == near(-HALF, HALF)
    assert decoupled_sum(B, [1, 1], [2]).tolist() == near(-2 * HALF, 2 * HALF)
    sums = [group_advantages(weighted_sum(rewards, [1, 1])).tolist() for rewards in (A, B)]
    assert sums[0] == pytest.approx(sums[1], abs=1e-5)


def test_gdpo_whitens_over_the_batch():
    both = [torch.cat([a, b]) for a, b in zip(A, B, strict=True)]
    found = decoupled_advantages(both, [1, 1], [2, 2])
    deviation = math.sqrt((0.5 + 2.0) / 2)
    assert found.tolist() == near(
        -HALF / deviation, HALF / deviation, -2 * HALF / deviation, 2 * HALF / deviation
    )
    weighed = decoupled_sum(both, [3.0, 0.5], [2, 2])
    assert weighed.tolist() == near(-0.5 * HALF, 0.5 * HALF, -3.5 * HALF, 3.5 * HALF)


def test_gdpo_takes_nothing_from_equal_rewards_and_nothing_across_groups():
    equal = decoupled_sum([tensor(0.1, 0.1, 0.1), tensor(0.7, 0.7, 0.7)], [1, 1], [3])
    assert equal.tolist() == [0, 0, 0]
    alone = decoupled_sum([random(4)], [1], [4])
    beside = decoupled_sum([torch.cat([random(4), 100 * random(3, seed=1)])], [1], [4, 3])
    torch.testing.assert_close(beside[:4], alone)
    assert decoupled_sum([tensor(5.0)], [1], [1]).tolist() == [0]


def test_ensembles_are_conservative():
    members = [tensor(1.0, 0.0), tensor(3.0, 0.0)]
    assert worst_of(members).tolist() == [1.0, 0.0]
    assert mean_minus_variance(members, 0.1).tolist() == near(2.0 - 0.1 * 1.0, 0.0)
    agreeing = [random(5)] * 3
    torch.testing.assert_close(mean_minus_variance(agreeing, 7.0), agreeing[0])
    torch.testing.assert_close(worst_of(agreeing), agreeing[0])
    many = list(random(4, 6))
    assert (worst_of(many) <= torch.stack(many).mean(0)).all()
    assert (mean_minus_variance(many, 0.1) <= torch.stack(many).mean(0)).all()


def test_par_is_the_chance_of_beating_the_reference():
    found = preference_as_reward(tensor(1.0, -2.0), [tensor(1.0), tensor(-2.0, 0.0)])
    assert found.tolist() == near(0.5, (0.5 + 1 / (1 + math.exp(2.0))) / 2)
    shifted = preference_as_reward(tensor(101.0, 98.0), [tensor(101.0), tensor(98.0, 100.0)])
    torch.testing.assert_close(shifted, found)  # only differences count
    extreme = preference_as_reward(tensor(1e6, -1e6), [tensor(0.0), tensor(0.0)])
    assert extreme.tolist() == [1.0, 0.0]


def test_min_max_spans_zero_to_one():
    assert min_max(tensor(-1.0, 0.0, 3.0), low=-1, high=3).tolist() == near(0.0, 0.25, 1.0)
    assert min_max(tensor(2.0, 2.0), low=2, high=2).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("multiplier", [0.0, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("estimator", [group_mean_advantages, leave_one_out_advantages])
def test_a_constrained_reward_has_the_constrained_advantage(multiplier: float, estimator):
    reward, cost = random(5), random(5, seed=1)
    found = estimator(lagrangian(reward, [cost], [multiplier]))
    expected = (estimator(reward) - multiplier * estimator(cost)) / (1 + multiplier)
    torch.testing.assert_close(found, expected)


def test_gae_of_a_constrained_reward_is_the_constrained_gae():
    mask = torch.tensor([[True, True, True], [True, True, False]])
    rewards, costs = random(2, 3), random(2, 3, seed=1)
    values, cost_values = random(2, 3, seed=2), random(2, 3, seed=3)
    lam = 2.5
    one, _ = gae(
        lagrangian(rewards, [costs], [lam]),
        lagrangian(values, [cost_values], [lam]),
        mask, gamma=0.9, lam=0.8,
    )  # fmt: skip
    reward_part, _ = gae(rewards, values, mask, gamma=0.9, lam=0.8)
    cost_part, _ = gae(costs, cost_values, mask, gamma=0.9, lam=0.8)
    torch.testing.assert_close(one, (reward_part - lam * cost_part) / (1 + lam))


def test_several_constraints_share_the_denominator():
    found = lagrangian(tensor(6.0), [tensor(1.0), tensor(0.5)], [2.0, 1.0])
    assert found.tolist() == near((6 - 2 - 0.5) / 4)


def test_a_multiplier_follows_its_violation():
    log = math.log(2.0)
    assert adapt_multiplier(log, 0.3, learning_rate=0.1) == pytest.approx(log + 0.1 * 2.0 * 0.3)
    assert adapt_multiplier(log, 0.0, learning_rate=0.1) == log
    assert adapt_multiplier(log, -0.3, learning_rate=0.1) < log


def test_a_multiplier_remembers_a_moving_average():
    say = {"limit": 1.0, "decay": 0.75, "learning_rate": 0.5, "most": 100.0}
    first = Multiplier.of(1.0).having_seen(3.0, **say)
    assert (first.cost, first.steps) == (3.0, 1)  # no bias towards 0
    assert first.log == pytest.approx(0.5 * 1.0 * 2.0)
    second = first.having_seen(1.0, **say)
    assert second.cost == pytest.approx(0.75 * 3 + 0.25 * 1)
    assert second.log == pytest.approx(first.log + 0.5 * math.exp(first.log) * 1.5)
    assert Multiplier(**second.as_dict()) == second
    bounded = Multiplier.of(1.0).having_seen(1e6, **say | {"most": 20.0})
    assert bounded.value == pytest.approx(20.0)


def test_the_lagrangian_finds_the_constrained_optimum():
    """Maximise p - p^2 / 2 subject to p <= 0.3: p = 0.3, at a multiplier of 1 - 0.3."""
    x, multiplier = torch.zeros((), dtype=torch.float64, requires_grad=True), Multiplier.of(1.0)
    ascent = torch.optim.SGD([x], lr=0.5)
    for _ in range(6000):
        act = torch.sigmoid(x)
        multiplier = multiplier.having_seen(
            float(act.detach()), limit=0.3, decay=0.0, learning_rate=0.05, most=100.0
        )
        ascent.zero_grad()
        (-lagrangian(act - act**2 / 2, [act], [multiplier.value])).backward()
        ascent.step()
    assert float(torch.sigmoid(x.detach())) == pytest.approx(0.3, abs=1e-3)
    assert multiplier.value == pytest.approx(0.7, abs=1e-2)


def test_gated_rewards_are_whitened_apart():
    found = whiten(gated(tensor(0.1, 0.9, 0.9), tensor(0.5, 0.2, 0.8), NEVER, threshold=0.15))
    assert float(found.mean()) == pytest.approx(0, abs=1e-12)
    assert float(found.square().mean()) == pytest.approx(1, abs=1e-6)

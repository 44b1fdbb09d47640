"""Losses of reward models against the formulas written out, with probabilities and no logarithms
but the last.

Shapes: Q pairs, M branches, C levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from torch import Tensor

from plaudit.objectives.reward import RewardModelling
from plaudit.objectives.reward_losses import (
    bradley_terry_loss,
    choice_loss,
    davidson_loss,
    ordinal_loss,
    ordinal_thresholds,
    pointwise_loss,
    rao_kupper_loss,
    regression_loss,
)
from tests.labelled import batch_of

TIE = 0.3
TIE_LOGIT = torch.tensor(math.log(0.3 / 0.7), dtype=torch.float64)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, expected: object, tolerance: float = 1e-9) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def assert_same(
    loss: Callable[[Tensor], Tensor], plain: Callable[[Tensor], Tensor], at: Tensor
) -> None:
    """Values and gradients, to 1e-6."""
    found, expected = (at.clone().requires_grad_() for _ in range(2))
    close(loss(found).detach(), plain(expected).detach(), 1e-6)
    loss(found).sum().backward()
    plain(expected).sum().backward()
    assert found.grad is not None and expected.grad is not None
    close(found.grad, expected.grad, 1e-6)


def ranking(*scores: float) -> tuple[Tensor, Tensor]:
    """Differences and winners of all pairs of responses that stand in their order."""
    score_M = double(*scores)
    pairs = [(i, j) for i in range(len(scores)) for j in range(i + 1, len(scores))]
    better = torch.tensor([i for i, _ in pairs])
    worse = torch.tensor([j for _, j in pairs])
    return score_M[better] - score_M[worse], better


def test_plackett_luce_and_top_1():
    difference_Q, better_Q = ranking(2.0, 1.0, 0.0)
    loss_M = choice_loss(difference_Q, better_Q, 3)
    close(loss_M.sum(), 0.7208676520, 1e-9)
    close(loss_M[0], 0.4076059644, 1e-9)
    assert loss_M[2] == 0


def test_a_choice_of_two_is_bradley_terry():
    for difference in (-30.0, -0.7, 0.0, 1.3, 800.0):
        at = double(difference)
        close(choice_loss(at, torch.tensor([0]), 2)[0], bradley_terry_loss(at)[0])


def test_plackett_luce_s_rankings_have_probabilities_that_sum_to_1():
    scores = [0.4, -1.1, 2.0, 0.1]
    total = 0.0
    for order in permutations(scores):
        difference_Q, better_Q = ranking(*order)
        total += math.exp(-float(choice_loss(difference_Q, better_Q, 4).sum()))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_choices_against_the_softmax_written_out():
    better_Q, worse_Q = torch.tensor([0, 0, 2, 4]), torch.tensor([1, 3, 3, 2])

    def plain(score_M: Tensor) -> Tensor:
        e = score_M.exp()
        chosen = {0: e[0] + e[1] + e[3], 2: e[2] + e[3], 4: e[4] + e[2]}
        return torch.stack([-(e[m] / chosen[m]).log() if m in chosen else e[m] * 0
                            for m in range(5)])  # fmt: skip

    scores = double(0.3, -1.2, 2.0, 0.9, -0.4)
    assert_same(lambda s: choice_loss(s[better_Q] - s[worse_Q], better_Q, 5), plain, scores)


def davidson(difference: Tensor, tie: Tensor | float = TIE) -> tuple[Tensor, Tensor, Tensor]:
    e, v = difference.exp(), 2 * tie / (1 - tie)
    total = e + 1 + v * e.sqrt()
    return e / total, 1 / total, v * e.sqrt() / total


def rao_kupper(difference: Tensor, tie: Tensor | float = TIE) -> tuple[Tensor, Tensor, Tensor]:
    e, theta = difference.exp(), (1 + tie) / (1 - tie)
    better, worse = e / (e + theta), 1 / (1 + theta * e)
    return better, worse, 1 - better - worse


@pytest.mark.parametrize(
    ("loss", "model"), [(davidson_loss, davidson), (rao_kupper_loss, rao_kupper)]
)
def test_models_of_ties(loss, model):
    at = double(-3.0, -0.7, 0.0, 0.4, 5.0)

    def of(probability: float) -> Callable[[Tensor], Tensor]:
        label = torch.full_like(at, probability)
        return lambda d: loss(d, probability_Q=label, tie_logit=TIE_LOGIT)

    assert_same(of(1.0), lambda d: -model(d)[0].log(), at)
    assert_same(of(0.0), lambda d: -model(d)[1].log(), at)
    assert_same(of(0.5), lambda d: -model(d)[2].log(), at)
    assert_same(of(0.8), lambda d: -0.8 * model(d)[0].log() - 0.2 * model(d)[1].log(), at)
    total = sum((-of(p)(at)).exp() for p in (1.0, 0.0, 0.5))
    close(torch.as_tensor(total), torch.ones_like(at), 1e-12)
    assert float((-of(0.5)(double(0.0).expand(5))).exp()[0]) == pytest.approx(TIE)


@pytest.mark.parametrize(
    ("loss", "model"), [(davidson_loss, davidson), (rao_kupper_loss, rao_kupper)]
)
@pytest.mark.parametrize("label", [0.0, 0.3, 0.5, 1.0])
def test_slopes_of_a_tie_s_log_odds(loss, model, label: float):
    at, label_Q = double(-3.0, 0.4, 5.0), torch.full((3,), label, dtype=torch.float64)

    def plain(x: Tensor) -> Tensor:
        better, worse, tied = model(at, x.sigmoid())
        decided = -label * better.log() - (1 - label) * worse.log()
        return -tied.log() if label == 0.5 else decided

    found = lambda x: loss(at, probability_Q=label_Q, tie_logit=x)  # noqa: E731
    for x in (-4.0, 0.2, 3.0):
        assert_same(found, plain, torch.tensor(x, dtype=torch.float64))


@pytest.mark.parametrize("loss", [davidson_loss, rao_kupper_loss])
@pytest.mark.parametrize("tie_logit", [-80.0, 80.0])
def test_ties_that_always_or_never_come_are_finite(loss, tie_logit: float):
    at = torch.tensor(tie_logit, requires_grad=True)
    label_Q = torch.tensor([0.0, 0.5, 1.0])
    loss(torch.zeros(3), probability_Q=label_Q, tie_logit=at).sum().backward()
    assert at.grad is not None and bool(torch.isfinite(at.grad))


@pytest.mark.parametrize("loss", [davidson_loss, rao_kupper_loss])
@pytest.mark.parametrize("difference", [-1e4, 1e4])
def test_models_of_ties_are_finite_far_out(loss, difference: float):
    for label in (0.0, 0.5, 1.0):
        at = torch.tensor([difference], requires_grad=True)
        value = loss(at, probability_Q=torch.tensor([label]), tie_logit=TIE_LOGIT)
        value.sum().backward()
        assert bool(torch.isfinite(value)) and at.grad is not None and bool(torch.isfinite(at.grad))


def test_ordinal_ratings():
    thresholds = double(-1.0, 0.2, 1.5)
    share_MC = torch.tensor(
        [[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0.25] * 4, [0, 0, 0, 0]],
        dtype=torch.float64,
    )

    def plain(score_M: Tensor, thresholds: Tensor = thresholds) -> Tensor:
        below = (thresholds - score_M[:, None]).sigmoid()
        edges = torch.cat([torch.zeros(5, 1), below, torch.ones(5, 1)], 1)
        p_MC = edges.diff(dim=1)
        close(p_MC.sum(1).detach(), torch.ones(5), 1e-12)
        return -(share_MC * p_MC.log()).sum(1)

    at = double(0.3, -2.0, 1.0, 0.0, 4.0)
    assert_same(lambda s: ordinal_loss(s, share_MC, thresholds), plain, at)
    assert_same(lambda t: ordinal_loss(at, share_MC, t), lambda t: plain(at, t), thresholds)
    far = torch.tensor([-60.0, 60.0, 60.0, -60.0, 0.0], requires_grad=True)
    loss = ordinal_loss(far, share_MC.float(), thresholds.float())
    loss.sum().backward()
    assert far.grad is not None and bool(
        torch.isfinite(loss).all() & torch.isfinite(far.grad).all()
    )


def test_two_levels_are_classification():
    score = double(0.7, -0.3)
    share = torch.tensor([[0.0, 1.0], [0.25, 0.75]], dtype=torch.float64)
    close(ordinal_loss(score, share, double(0.0)), pointwise_loss(score, share[:, 1]))


def test_thresholds_fit_ratings_that_nothing_is_known_of():
    share_C = double(0.2, 0.5, 0.3)
    thresholds = ordinal_thresholds(share_C)
    loss = ordinal_loss(double(0.0), share_C[None], thresholds)
    close(loss, [float(-(share_C * share_C.log()).sum())])


def test_pairs_and_ratings_against_their_formulas():
    at = double(-2.0, 0.1, 3.0)
    p, m, y = double(1.0, 0.7, 0.2), double(0.0, 0.5, 1.0), double(0.0, 0.6, 1.0)
    assert_same(
        lambda d: bradley_terry_loss(d, probability_Q=p, margin_Q=m),
        lambda d: -p * (d - m).sigmoid().log() - (1 - p) * (1 - (d - m).sigmoid()).log(),
        at,
    )
    assert_same(
        lambda r: pointwise_loss(r, y),
        lambda r: -y * r.sigmoid().log() - (1 - y) * (1 - r.sigmoid()).log(),
        at,
    )
    assert_same(lambda r: regression_loss(r, y), lambda r: (r - y) * (r - y), at)


PAIR = {
    "better": torch.tensor([0, 1]),
    "worse": torch.tensor([1, 2]),
    "probability": double(1.0, 0.5),
    "margin": double(0.0, 0.0),
    "weight": double(0.75, 0.25),
}
UNRATED = {"rating": double(0, 0, 0), "weight": double(0, 0, 0)}


def objective_loss(objective: RewardModelling, scores: Tensor, **branch: Tensor) -> Tensor:
    name = objective.needs[0]
    batch = batch_of([1, 1, 1], branch={**UNRATED, **branch}, pair=PAIR)
    return objective({name: scores}, batch)[0]


def test_smoothing_centring_and_squared_scores_by_hand():
    r = double(1.2, 0.5, -0.1)

    def bt(d: float, p: float) -> float:
        return p * math.log1p(math.exp(-d)) + (1 - p) * math.log1p(math.exp(d))

    smooth = 0.75 * bt(0.7, 0.9) + 0.25 * bt(0.6, 0.5)
    close(objective_loss(RewardModelling(label_smoothing=0.1), r), smooth)
    plain = 0.75 * bt(0.7, 1.0) + 0.25 * bt(0.6, 0.5)
    centred = plain + 0.01 * (0.75 * 1.7**2 + 0.25 * 0.4**2)
    close(objective_loss(RewardModelling(center_coefficient=0.01), r), centred)
    squared = plain + 0.001 * (1.2**2 + 0.5**2 + 0.1**2) / 3
    share = {"share": torch.full((3,), 1 / 3, dtype=torch.float64)}
    close(objective_loss(RewardModelling(l2_coefficient=0.001), r, **share), squared)


def test_ties_are_not_counted_in_the_accuracy():
    outputs = {"reward.scores": double(1.2, 0.5, 0.9)}
    _, metrics = RewardModelling(comparison="davidson")(
        outputs, batch_of([1, 1, 1], branch=UNRATED, pair=PAIR)
    )
    assert metrics["accuracy"].value() == 1.0 and metrics["accuracy"].count == 0.75


def test_every_branch_is_judged_by_its_own_criterion():
    scores_MH = torch.tensor([[1.2, 9.0], [9.0, 0.5], [-0.1, 9.0]], dtype=torch.float64)
    head = {"head": torch.tensor([0, 1, 0])}
    found = objective_loss(RewardModelling(heads="criteria"), scores_MH, **head)
    close(found, objective_loss(RewardModelling(), double(1.2, 0.5, -0.1)))
    leaf = scores_MH.clone().requires_grad_()
    objective_loss(RewardModelling(heads="criteria"), leaf, **head).backward()
    assert leaf.grad is not None and bool((leaf.grad[scores_MH == 9.0] == 0).all())

"""Rater models: gradients are the objectives', and what was planted in the raters is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit

from plaudit.statistics.comparisons import comparisons
from plaudit.statistics.pair_model import (
    GRID_G,
    PREFERENCE_SD,
    fit_pair_model,
    pair_model_loss,
    pair_voting,
)
from plaudit.statistics.rater_model import (
    crowd_bradley_terry,
    crowd_loss,
    fit_rater_model,
    laplace_covariance,
    rater_model_loss,
)
from plaudit.statistics.votes import UNKNOWN


def item_votes(seed: int, votes_a_rater: int = 120, items: int = 8):
    """Four honest raters and two who always press left, on items that recur."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=items)
    rater = np.repeat(np.arange(6), votes_a_rater)
    pair = np.array([rng.choice(items, 2, replace=False) for _ in rater])
    side = rng.choice([-1, 1], size=len(rater))
    honest = rng.random(len(rater)) < expit(2 * (scores[pair[:, 0]] - scores[pair[:, 1]]))
    won = np.where(rater < 4, honest, side > 0).astype(float)
    return scores, comparisons(*pair.T, won, raters_N=rater, side_N=side, items=items)


def swayed(seed: int):
    """Raters of different sharpness, one pulled to the left and one to the longer."""
    rng = np.random.default_rng(seed)
    raters, items, size = 4, 12, 6000
    scores, sharp = rng.normal(size=items), np.array([0.5, 1.0, 2.0, 1.0])
    first, longer = np.array([0.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.8])
    rater, side = rng.integers(raters, size=size), rng.choice([-1, 1], size=size)
    pair = np.array([rng.choice(items, 2, replace=False) for _ in rater])
    length = rng.normal(size=size)
    z = sharp[rater] * (scores[pair[:, 0]] - scores[pair[:, 1]])
    won = rng.random(size) < expit(z + first[rater] * side + longer[rater] * length)
    data = comparisons(*pair.T, won, raters_N=rater, side_N=side, longer_N=length)
    return data, scores - scores.mean(), sharp, first, longer


def pair_votes(seed: int, pairs: int = 60, gold: bool = True):
    rng = np.random.default_rng(seed)
    item = np.repeat(np.arange(pairs), 4)
    return pair_voting(
        item,
        rng.integers(5, size=len(item)),
        rng.choice([0, 0.5, 1], size=len(item)),
        side_N=rng.choice([-1, 0, 1], size=len(item)),
        longer_P=rng.normal(size=pairs),
        gold_P=rng.integers(UNKNOWN, 2, size=pairs) if gold else None,
    )


def assert_gradient(loss, at, *arguments):
    _, gradient = loss(at, *arguments)
    numeric = approx_fprime(at, lambda x: loss(x, *arguments)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=2e-4)


def test_gradients_are_those_of_the_objectives():
    rng = np.random.default_rng(0)
    data = swayed(0)[0]
    differences = data.differences_NI()
    assert_gradient(rater_model_loss, 0.5 * rng.normal(size=12 + 3 * 4), data, differences)
    _, spam = item_votes(0, 30)
    assert_gradient(crowd_loss, 0.5 * rng.normal(size=8 + 2 * 6), spam, spam.differences_NI())
    assert_gradient(pair_model_loss, 0.3 * rng.normal(size=3 * 5 + 1), pair_votes(0))


def test_a_planted_left_spammer_has_less_skill_than_the_honest():
    for seed in range(3):
        scores, data = item_votes(seed)
        crowd = crowd_bradley_terry(data)
        assert crowd.skill_W[4:].max() < 0.15 < 0.6 < crowd.skill_W[:4].min()
        assert crowd.first_W[4:].min() > 0.95
        model = fit_rater_model(data)
        assert model.discrimination_W[4:].max() < model.discrimination_W[:4].min()
        assert model.first_W[4:].min() > 1
        assert np.abs(model.first_W[:4]).max() < 0.7
        for found in (crowd.scores_I, model.scores_I):
            assert np.corrcoef(found, scores)[0, 1] > 0.9


def test_what_sways_raters_is_found_within_its_doubt():
    data, scores, sharp, first, longer = swayed(1)
    model = fit_rater_model(data)
    deviation = np.sqrt(np.diag(laplace_covariance(model, data)))
    truth = np.concatenate([scores, np.log(sharp), first, longer])
    found = model.parameters() - np.concatenate([np.full(12, model.scores_I.mean()), np.zeros(12)])
    # Scale is shared between scores and discrimination; the pulls have theirs to themselves.
    assert (np.abs(found - truth)[16:] < 3 * deviation[16:]).all()
    assert np.corrcoef(model.scores_I, scores)[0, 1] > 0.99
    np.testing.assert_allclose(
        model.discrimination_W / model.discrimination_W[1], sharp / sharp[1], rtol=0.3
    )


def test_the_covariance_is_the_inverse_of_the_numeric_hessian():
    _, data = item_votes(0, 30)
    model = fit_rater_model(data)
    at, differences = model.parameters(), data.differences_NI()
    steps = 1e-5 * np.eye(len(at))
    hessian = np.stack(
        [
            rater_model_loss(at + step, data, differences)[1]
            - rater_model_loss(at - step, data, differences)[1]
            for step in steps
        ]
    ) / (2 * 1e-5)
    np.testing.assert_allclose(
        laplace_covariance(model, data), np.linalg.inv(hessian), rtol=1e-4, atol=1e-6
    )


def test_one_vote_on_a_pair_gives_the_posterior_by_integration():
    data = pair_voting([0], [0], [1.0])
    grid = np.linspace(-12, 12, 200_001)
    density = np.exp(-((grid / PREFERENCE_SD) ** 2) / 2) * expit(
        fit_pair_model(data).discrimination_W[0] * grid
    )
    expected = density[grid > 0].sum() / density.sum()
    assert fit_pair_model(data).first_better_P[0] == pytest.approx(expected, abs=2e-3)
    assert 0 not in GRID_G


def test_votes_on_pairs_are_weighed_by_who_gave_them():
    rng = np.random.default_rng(3)
    pairs, raters = 400, 8
    truth = rng.normal(scale=PREFERENCE_SD, size=pairs)
    item, rater = np.repeat(np.arange(pairs), 4), rng.integers(raters, size=4 * pairs)
    side = rng.choice([-1, 1], size=len(item))
    sharp = np.array([3.0, 3, 3, 3, 3, 0.2, 0.2, 0.2])
    first = np.array([0.0, 0, 0, 0, 0, 3, 3, 3])
    won = rng.random(len(item)) < expit(sharp[rater] * truth[item] + first[rater] * side)
    data = pair_voting(item, rater, won, side_N=side)
    model = fit_pair_model(data)
    assert model.first_W[5:].min() > 1 > np.abs(model.first_W[:5]).max()
    right = np.mean((model.first_better_P > 0.5) == (truth > 0))
    share = np.bincount(item, won) / 4
    majority_right = np.mean(np.where(share == 0.5, 0.5, (share > 0.5) == (truth > 0)))
    assert right > majority_right + 0.05
    # Soft labels mean what they say.
    sure = np.maximum(model.first_better_P, 1 - model.first_better_P)
    assert sure.mean() == pytest.approx(right, abs=0.04)


def test_gold_pairs_are_certain_and_tell_of_raters():
    rng = np.random.default_rng(4)
    item, rater = np.repeat(np.arange(100), 2), np.tile([0, 1], 100)
    truth = rng.integers(2, size=100)
    won = np.where(rater == 0, truth[item] == 0, rng.random(200) < 0.5)
    model = fit_pair_model(pair_voting(item, rater, won, gold_P=truth))
    np.testing.assert_allclose(model.first_better_P, truth == 0, atol=1e-12)
    assert model.discrimination_W[0] > 2 * model.discrimination_W[1]


def test_a_liking_for_length_that_all_share_is_not_one_raters():
    rng = np.random.default_rng(5)
    pairs, raters = 500, 6
    longer = rng.normal(size=pairs)
    truth = longer + rng.normal(size=pairs)
    item, rater = np.repeat(np.arange(pairs), 4), rng.integers(raters, size=4 * pairs)
    pull = np.where(np.arange(raters) == 5, 2.0, 0.0)
    won = rng.random(len(item)) < expit(2 * truth[item] + pull[rater] * longer[item])
    model = fit_pair_model(pair_voting(item, rater, won, longer_P=longer))
    assert model.longer_W[5] > model.longer_W[:5].max() + 0.5
    assert model.length_slope > 0.5


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0], [0], [1.0]), "with itself"),
        (([0], [1], [2.0]), "outside"),
        (([0, 1], [1], [1.0]), "as many of each"),
        (([0.5], [1], [1.0]), "whole numbers"),
        (([-1], [1], [1.0]), "run from -1"),
    ],
)
def test_comparisons_that_make_no_sense_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        comparisons(*columns)

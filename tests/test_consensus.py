"""Consensus finds planted truths and raters, keeps gold, and does not turn labels round."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from plaudit.statistics.dawid_skene import (
    dawid_skene,
    likeliest_strength,
    one_coin,
    weighted_majority,
)
from plaudit.statistics.expectation import renaming
from plaudit.statistics.glad import glad, glad_loss
from plaudit.statistics.mace import mace
from plaudit.statistics.majority import majority
from plaudit.statistics.votes import UNKNOWN, expected_accuracy, gold_labels, most_likely, votes

METHODS = [majority, weighted_majority, one_coin, dawid_skene, glad, mace]
MODELS = METHODS[1:]


def made(seed: int, accuracy, items: int = 300, labels: int = 2, per_item: int = 5):
    """Votes by raters of known accuracy whose errors are even."""
    rng = np.random.default_rng(seed)
    accuracy = np.asarray(accuracy)
    truth = rng.integers(labels, size=items)
    rater = np.concatenate([rng.permutation(len(accuracy))[:per_item] for _ in range(items)])
    item = np.repeat(np.arange(items), per_item)
    wrong = (truth[item] + rng.integers(1, labels, size=len(item))) % labels
    said = np.where(rng.random(len(item)) < accuracy[rater], truth[item], wrong)
    return votes(item, rater, said, items=items, raters=len(accuracy), labels=labels), truth


@pytest.mark.parametrize("method", MODELS)
@pytest.mark.parametrize("labels", [2, 3])
def test_models_beat_the_majority_where_raters_differ(method, labels):
    gains = []
    for seed in range(3):
        found, truth = made(seed, [0.95, 0.95, 0.9] + [1 / labels] * 5, labels=labels)
        by_majority = expected_accuracy(majority(found).posterior_IK, truth)
        gains.append(expected_accuracy(method(found).posterior_IK, truth) - by_majority)
    assert min(gains) > 0.04


@pytest.mark.parametrize("method", METHODS)
def test_posteriors_are_distributions_and_gold_is_certain(method):
    found, truth = made(1, [0.9, 0.7, 0.6, 0.5, 0.8], items=60, labels=3, per_item=3)
    gold = np.where(np.arange(60) < 10, (truth + 1) % 3, UNKNOWN)
    posterior = method(found, gold).posterior_IK
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    assert (posterior >= 0).all()
    np.testing.assert_array_equal(posterior[:10], np.eye(3)[gold[:10]])


@pytest.mark.parametrize("method", METHODS)
def test_items_without_votes_and_raters_without_any_are_no_trouble(method):
    found = votes([0, 0, 2], [0, 1, 1], [1, 1, 0], items=4, raters=5, labels=3)
    posterior = method(found).posterior_IK
    assert np.isfinite(posterior).all()
    assert posterior[0].argmax() == 1
    np.testing.assert_allclose(posterior[1], posterior[3])


def test_one_coin_recovers_accuracies_and_its_posterior_is_the_formulas():
    accuracy = np.array([0.95, 0.85, 0.75, 0.65, 0.9, 0.8])
    found, _ = made(2, accuracy, items=2000, labels=3, per_item=6)
    np.testing.assert_allclose(one_coin(found).accuracy_W, accuracy, atol=0.03)
    # A fixed point by hand: two raters, one item, all parameters from the last M step.
    small = votes([0, 0, 1], [0, 1, 0], [0, 1, 0], labels=2)
    result = one_coin(small)
    a, prior = result.accuracy_W, result.prior_K
    weight = prior * [a[0] * (1 - a[1]), (1 - a[0]) * a[1]]
    np.testing.assert_allclose(result.posterior_IK[0], weight / weight.sum(), atol=1e-3)
    right = result.posterior_IK[0, 0] + result.posterior_IK[1, 0]
    assert a[0] == pytest.approx((right + 4) / (2 + 6), abs=1e-3)


def test_a_confusion_shows_a_habit_that_one_number_cannot():
    rng = np.random.default_rng(3)
    found, truth = made(3, [0.85] * 6, items=600, per_item=4)
    # Rater 0 presses label 0 nine times in ten.
    said = np.where(found.raters_N == 0, (rng.random(len(found)) > 0.9).astype(int), found.labels_N)
    habit = votes(found.items_N, found.raters_N, said)
    result = dawid_skene(habit)
    np.testing.assert_allclose(result.confusion_WKK[0, :, 0], [0.9, 0.9], atol=0.06)
    np.testing.assert_allclose(result.confusion_WKK[1:, [0, 1], [0, 1]], 0.85, atol=0.08)
    np.testing.assert_allclose(result.confusion_WKK.sum(axis=2), 1)
    assert result.accuracy_W[0] < 0.6
    assert mace(habit).spam_WK[0, 0] > 0.8
    assert mace(habit).competence_W[0] < 0.2
    assert expected_accuracy(result.posterior_IK, truth) > 0.9


def test_raters_of_few_votes_are_taken_for_average_ones():
    found, _ = made(4, [0.8] * 40, items=60, per_item=3)
    result = dawid_skene(found, strength=1000.0)
    spread = result.confusion_WKK.std(axis=0).max()
    assert spread < 0.01 < dawid_skene(found, strength=0.1).confusion_WKK.std(axis=0).max()
    same = np.tile(30 * np.array([[0.8, 0.2], [0.3, 0.7]]), (20, 1, 1))
    different = np.where(np.arange(20)[:, None, None] % 2, same, same[:, ::-1])
    assert likeliest_strength(same) == 256
    assert likeliest_strength(different) < 10


def test_glads_gradient_is_its_losss():
    found, truth = made(5, [0.9, 0.6, 0.7], items=6, labels=3, per_item=3)
    gold = gold_labels(np.where(np.arange(6) < 2, truth, UNKNOWN), 6, 3)
    at = np.random.default_rng(0).normal(size=3 + 6 + 3)
    numeric = approx_fprime(at, lambda x: glad_loss(x, found, gold)[0], 1e-7)
    np.testing.assert_allclose(glad_loss(at, found, gold)[1], numeric, atol=1e-5)


def test_glad_finds_which_items_are_hard():
    rng = np.random.default_rng(6)
    items, raters = 200, 12
    easy = np.where(np.arange(items) < 100, 3.0, 0.1)
    truth = rng.integers(2, size=items)
    item, rater = np.repeat(np.arange(items), raters), np.tile(np.arange(raters), items)
    right = rng.random(len(item)) < 1 / (1 + np.exp(-easy[item]))
    result = glad(votes(item, rater, np.where(right, truth[item], 1 - truth[item])))
    assert np.median(result.easiness_I[:100]) > 3 * np.median(result.easiness_I[100:])
    assert result.ability_W.min() > 0


def test_renamed_labels_are_set_right():
    found, truth = made(7, [0.9] * 5, labels=3)
    straight = np.eye(3)[truth]
    assert renaming(found, straight) is None
    turned = straight[:, [1, 2, 0]]
    order = renaming(found, turned)
    assert order is not None
    np.testing.assert_array_equal(turned[:, order], straight)


def test_a_majority_of_liars_is_believed_unless_gold_tells():
    found, truth = made(8, [0.2] * 6, items=400)
    assert expected_accuracy(one_coin(found).posterior_IK, truth) < 0.1
    gold = np.where(np.arange(400) < 100, truth, UNKNOWN)
    rest = np.where(gold == UNKNOWN, truth, UNKNOWN)
    for method in (one_coin, dawid_skene):
        assert expected_accuracy(method(found, gold).posterior_IK, rest) > 0.8


def test_majority_shares_weights_and_ties():
    found = votes([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [0, 0, 1, 0, 1])
    result = majority(found)
    np.testing.assert_allclose(result.posterior_IK, [[2 / 3, 1 / 3], [0.5, 0.5]])
    np.testing.assert_allclose(result.accuracy_W, [0.75, 0.75, 0])
    assert expected_accuracy(result.posterior_IK, [0, 1]) == 0.75
    weighted = majority(found, weights_W=[1, 1, 5])
    np.testing.assert_array_equal(most_likely(weighted.posterior_IK), [1, 0])
    with pytest.raises(ValueError, match="weight is negative"):
        majority(found, weights_W=[1, -1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [0, 1], [0]), "one of each for every vote"),
        (([], [], []), "one of each for every vote"),
        (([0.5], [0], [0]), "whole numbers"),
        (([-1], [0], [0]), "run from -1"),
    ],
)
def test_votes_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        votes(*(np.array(a, dtype=None if a else int) for a in arguments))


def test_gold_and_priors_that_make_no_sense_are_refused():
    found, _ = made(9, [0.8] * 3, items=10, per_item=2)
    for gold, message in (([0], "expected 10 ints"), ([5] * 10, "gold labels are not")):
        with pytest.raises(ValueError, match=message):
            one_coin(found, gold)
    with pytest.raises(ValueError, match="accuracy_prior"):
        one_coin(found, accuracy_prior=(0, 1))
    for method in (one_coin, dawid_skene, mace, glad):
        with pytest.raises(ValueError, match="one label only"):
            method(votes([0], [0], [0]))
    with pytest.raises(ValueError, match="truth of no item"):
        expected_accuracy(np.ones((2, 2)) / 2, [UNKNOWN, UNKNOWN])

"""The floors learn what they can learn, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from plaudit.statistics import auc, pair_accuracy
from plaudit.statistics.floors import (
    bigram_features,
    bigram_vocabulary,
    fit_bigram_bradley_terry,
    fit_bigram_classifier,
    logistic_loss,
    longer_wins,
    majority_rate,
)

WORDS = ["tea", "coffee", "milk", "sugar", "cup", "hot", "cold", "please"]


def sentences(rng, n: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(n)]


def planted_pairs(rng, n: int) -> tuple[list[str], list[str]]:
    """Equal bags of words; the better text has "not hot", the worse one "hot not"."""
    ends = sentences(rng, n), sentences(rng, n)
    return [f"{t} x not hot y" for t in ends[0]], [f"{t} x hot not y" for t in ends[1]]


def test_features_by_hand():
    vocabulary = bigram_vocabulary(["Tea, tea!"])
    assert list(vocabulary) == ["tea", ",", "!", "tea ,", ", tea", "tea !"]
    found = bigram_features(["TEA tea, please", ""], vocabulary).toarray()
    log2 = np.log(2)
    np.testing.assert_allclose(found, [[np.log(3), log2, 0, log2, 0, 0], [0] * 6])


def test_longer_wins_and_majority_by_hand():
    assert longer_wins(["aaa", "a", "bb"], ["aa", "bb", "cc"]).tolist() == [1, 0, 0.5]
    assert majority_rate([1, 1, 0, 0.5]) == 0.625
    assert majority_rate([1, 1, 0], [1, 1, 6]) == 0.75
    with pytest.raises(ValueError, match="at least one"):
        majority_rate([])
    with pytest.raises(ValueError, match="labels"):
        majority_rate([2.0])


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    features = csr_array(rng.choice([-1.0, 0.0, 0.0, 1.0], (12, 5)))
    rest = features, rng.random(12), rng.random(12) + 0.5, np.array([1.0, 2.0, 0.5, 1.0, 0.0])
    at = rng.normal(size=5)
    _, gradient = logistic_loss(at, *rest)
    shifts = 1e-5 * np.eye(5)
    rise = [logistic_loss(at + s, *rest)[0] - logistic_loss(at - s, *rest)[0] for s in shifts]
    np.testing.assert_allclose(gradient, np.array(rise) / 2e-5, atol=1e-8)


def test_bradley_terry_finds_a_planted_bigram_in_new_texts():
    rng = np.random.default_rng(0)
    model = fit_bigram_bradley_terry(*planted_pairs(rng, 150))
    better, worse = planted_pairs(rng, 150)
    assert pair_accuracy(model.score(better), model.score(worse)).mean() > 0.95
    assert longer_wins(better, worse).mean() < 0.6


def test_bradley_terry_of_noise_is_at_chance():
    rng = np.random.default_rng(1)
    model = fit_bigram_bradley_terry(sentences(rng, 300), sentences(rng, 300))
    held_out = pair_accuracy(model.score(sentences(rng, 400)), model.score(sentences(rng, 400)))
    assert 0.42 < held_out.mean() < 0.58


def test_the_classifier_finds_a_planted_word_and_the_base_rate():
    rng = np.random.default_rng(0)
    texts = sentences(rng, 600)
    labels = np.array([rng.random() < (0.95 if "milk" in t.split() else 0.4) for t in texts], float)
    model = fit_bigram_classifier(texts[:300], labels[:300])
    assert auc(model.score(texts[300:]), labels[300:]) > 0.7
    constant = fit_bigram_classifier(["same"] * 10, [1] * 8 + [0] * 2)
    np.testing.assert_allclose(constant.score(["same"]), np.log(4), atol=1e-4)


def test_weights_equal_duplication():
    rng = np.random.default_rng(0)
    texts, others = sentences(rng, 30), sentences(rng, 30)
    counts, labels = rng.integers(1, 4, 30), rng.integers(0, 2, 30)
    rows = np.repeat(np.arange(30), counts)
    again, others_again = [texts[i] for i in rows], [others[i] for i in rows]
    weighted = fit_bigram_classifier(texts, labels, counts).score(others)
    repeated = fit_bigram_classifier(again, labels[rows]).score(others)
    np.testing.assert_allclose(weighted, repeated, atol=1e-3)
    weighted = fit_bigram_bradley_terry(texts, others, counts).score(others)
    repeated = fit_bigram_bradley_terry(again, others_again).score(others)
    np.testing.assert_allclose(weighted, repeated, atol=1e-3)


def test_a_mean_rating_is_its_ratings():
    texts = ["tea", "tea", "tea", "milk", "cup"]
    apart = fit_bigram_classifier(texts, [1, 1, 0, 0, 1]).score(WORDS)
    together = fit_bigram_classifier(["tea", "milk", "cup"], [2 / 3, 0, 1], [3, 1, 1]).score(WORDS)
    np.testing.assert_allclose(apart, together, atol=1e-4)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="worse"):
        fit_bigram_bradley_terry(["a"], ["b", "c"])
    with pytest.raises(ValueError, match="at least one"):
        fit_bigram_bradley_terry([], [])
    with pytest.raises(ValueError, match="one class"):
        fit_bigram_classifier(["a", "b"], [1, 1])
    with pytest.raises(ValueError, match="texts"):
        fit_bigram_classifier(["a"], [1, 0])

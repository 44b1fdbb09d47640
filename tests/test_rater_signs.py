"""Planted bad raters are flagged, for the right reason, and honest ones are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import beta

from benchmarks.rater_signs import KINDS, flagged_shares, planted
from plaudit.statistics.habits import (
    GRID,
    PairVotes,
    accuracy_posterior,
    fisher_exact,
    gold_below,
    holm,
    robust_z,
    two_sided_binomial,
)
from plaudit.statistics.rater_signs import Rules, flag_raters
from plaudit.statistics.votes import UNKNOWN, votes


def test_all_planted_bad_raters_are_flagged_and_hardly_an_honest_one():
    shares = dict(zip(KINDS, flagged_shares(range(4), 150, 0.0), strict=True))
    assert shares["random"] == shares["left"] == shares["longer"] == 1
    assert shares["honest"] <= 0.05


def test_each_is_flagged_for_what_it_does():
    made = planted(1, 200)
    signs = flag_raters(made.pairs)
    for kind, reason in (("random", "accuracy"), ("left", "left"), ("longer", "longer")):
        for rater in np.flatnonzero(made.kind_W == KINDS.index(kind)):
            assert reason in signs.reasons[rater]
    honest_W = made.kind_W == 0
    assert (np.abs(signs.towards_longer_W[honest_W]) < 0.3).all()
    assert signs.agreement_z_W[honest_W].min() > signs.agreement_z_W[~honest_W].max()


def test_honest_raters_are_no_length_lovers_where_the_better_is_nearly_always_the_longer():
    made = planted(0, 200, raters=(15, 0, 0, 0))
    truth_is_longer = made.pairs.longer_I.copy()
    rate = np.mean(made.pairs.votes.labels_N == truth_is_longer[made.pairs.votes.items_N])
    assert rate > 0.55
    assert not flag_raters(made.pairs).flagged_W.any()


def test_what_is_no_habit_of_the_vote_is_noted_and_flags_nobody():
    made = planted(2, 100, raters=(12, 0, 0, 0))
    seconds_N = np.where(made.pairs.votes.raters_N == 3, 0.5, made.pairs.seconds_N)
    fast = PairVotes(
        votes=made.pairs.votes,
        left_N=made.pairs.left_N,
        longer_I=made.pairs.longer_I,
        seconds_N=seconds_N,
        gold_I=made.pairs.gold_I,
    )
    signs = flag_raters(fast)
    assert signs.notes[3] == ("fast",)
    assert not signs.flagged_W.any()


def test_one_who_always_ties_is_flagged():
    made = planted(3, 100, raters=(12, 0, 0, 0))
    label_N = np.where(made.pairs.votes.raters_N == 5, 2, made.pairs.votes.labels_N)
    tied = PairVotes(
        votes=votes(made.pairs.votes.items_N, made.pairs.votes.raters_N, label_N, labels=3),
        left_N=made.pairs.left_N,
        longer_I=made.pairs.longer_I,
        seconds_N=made.pairs.seconds_N,
        gold_I=made.pairs.gold_I,
    )
    signs = flag_raters(tied)
    assert signs.reasons[5] == ("ties",)
    assert signs.flagged_W.sum() == 1


def test_on_gold_alone_accuracy_is_the_beta_posterior():
    right, wrong = 7, 5
    found = votes(np.arange(12), np.zeros(12, dtype=int), np.repeat([0, 1], [right, wrong]))
    gold_is_first = np.tile([1.0, 0.0], (12, 1))
    posterior_G = accuracy_posterior(found, gold_is_first)[0]
    expected = beta.pdf(GRID, 1 + right, 1 + wrong)
    np.testing.assert_allclose(posterior_G, expected / expected.sum(), rtol=1e-9)
    assert gold_below(right, wrong, 0.7) == pytest.approx(beta.cdf(0.7, 8, 6))
    # A vote on an item where the others are even says nothing.
    even = accuracy_posterior(found, np.full((12, 2), 0.5))[0]
    np.testing.assert_allclose(even, 1 / len(GRID))


def test_gold_counts_and_a_tie_may_be_the_right_answer():
    made = planted(4, 60, raters=(10, 0, 0, 0))
    gold_I = np.full(made.pairs.votes.items, UNKNOWN)
    gold_I[:10] = 2
    signs = flag_raters(
        PairVotes(
            votes=made.pairs.votes,
            left_N=made.pairs.left_N,
            longer_I=made.pairs.longer_I,
            seconds_N=made.pairs.seconds_N,
            gold_I=gold_I,
        ),
        Rules(gold_floor=0.3),
    )
    on_gold_N = made.pairs.votes.items_N < 10
    ties = (made.pairs.votes.labels_N[on_gold_N] == 2).sum()
    assert signs.gold_right_W.sum() == ties
    assert (signs.gold_right_W + signs.gold_wrong_W).sum() == on_gold_N.sum()


def test_holm_and_robust_z_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, np.nan, 0.03]), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    np.testing.assert_allclose(robust_z([1, 2, 3, 100]), np.array([-1.5, -0.5, 0.5, 97.5]) / 1.4826)
    np.testing.assert_array_equal(robust_z([1, 1, 1, 4, 0]), [0, 0, 0, np.inf, -np.inf])


def test_exact_tests_are_scipys():
    rng = np.random.default_rng(0)
    for table in rng.integers(0, 20, size=(40, 2, 2)):
        assert fisher_exact(table) == pytest.approx(stats.fisher_exact(table)[1], abs=1e-9)
        k, n = table[0, 0], table[0].sum()
        if n:
            assert two_sided_binomial(k, n) == pytest.approx(stats.binomtest(k, n).pvalue)
    assert np.isnan(two_sided_binomial(0, 0))


def test_arrays_of_the_wrong_length_are_refused():
    made = planted(0, 30)
    with pytest.raises(ValueError, match="longer_I has 3 entries"):
        flag_raters(
            PairVotes(
                votes=made.pairs.votes,
                left_N=made.pairs.left_N,
                longer_I=np.zeros(3, dtype=int),
                seconds_N=made.pairs.seconds_N,
                gold_I=made.pairs.gold_I,
            )
        )

"""Agreement has the published values, and the same from votes as from patterns."""

from __future__ import annotations

import evalica
import numpy as np
import pandas as pd
import pytest

from plaudit.statistics.agreement import (
    gwet_ac1,
    krippendorff_alpha,
    krippendorff_alpha_interval,
    leave_one_out,
    percent_agreement,
    split_half,
)
from plaudit.statistics.kappa import cohen_kappa, kappa_matrix
from plaudit.statistics.patterns import patterns, patterns_of
from plaudit.statistics.votes import votes

PUBLISHED = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Four observers and twelve units, with gaps (Krippendorff 2011, example C)."""


def published_votes():
    cells = [
        (unit, observer, int(value) - 1)
        for observer, line in enumerate(PUBLISHED.split("\n")[1:-1])
        for unit, value in enumerate(line.split())
        if value != "."
    ]
    return votes(*np.array(cells).T)


def random_votes(seed: int, items: int = 40, raters: int = 6, labels: int = 4):
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=items)
    said = np.where(rng.random((items, raters)) < 0.6, truth[:, None], rng.integers(labels))
    item, rater = np.nonzero(rng.random((items, raters)) < 0.7)
    return votes(item, rater, said[item, rater], items=items, raters=raters, labels=labels)


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_has_the_published_values(level, alpha):
    found = krippendorff_alpha(patterns_of(published_votes()), level, np.arange(1, 6))
    assert found == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_is_evalicas_with_votes_missing(level):
    for seed in range(3):
        found = random_votes(seed)
        table = np.full((found.raters, found.items), np.nan)
        table[found.raters_N, found.items_N] = found.labels_N + 1
        expected = evalica.alpha(pd.DataFrame(table), distance=level).alpha
        ours = krippendorff_alpha(patterns_of(found), level, np.arange(1, found.labels + 1))
        assert ours == pytest.approx(expected, abs=1e-9)


def test_patterns_of_millions_of_items_give_what_the_votes_would():
    small = random_votes(0)
    table = patterns_of(small)
    many = patterns(table.counts_PK, table.items_P * 100_000)
    repeated = patterns(np.repeat(table.counts_PK, 7, axis=0), np.repeat(table.items_P, 7))
    assert len(repeated.items_P) == len(table.items_P)
    for of in (percent_agreement, gwet_ac1, leave_one_out):
        assert of(many) == pytest.approx(of(table))
    interval = krippendorff_alpha_interval(many, "ordinal", resamples=200)
    assert interval.low < interval.point < interval.high < interval.low + 0.01


def test_alphas_interval_covers_what_more_items_would_show():
    truth = krippendorff_alpha(patterns_of(random_made(10**4, 99)))
    covered = 0
    for seed in range(100):
        found = krippendorff_alpha_interval(
            patterns_of(random_made(100, seed)), resamples=300, seed=seed
        )
        covered += found.low <= truth <= found.high
    assert covered >= 88


def random_made(items: int, seed: int):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=items)
    right = rng.random((items, 3)) < 0.8
    said = np.where(right, truth[:, None], 1 - truth[:, None])
    item, rater = np.nonzero(np.ones_like(said))
    return votes(item, rater, said[item, rater])


def test_nothing_to_agree_on_is_nan_and_no_pairs_are_refused():
    assert np.isnan(krippendorff_alpha(patterns([[3, 0], [2, 0]])))
    for of in (krippendorff_alpha, percent_agreement, leave_one_out, split_half, gwet_ac1):
        with pytest.raises(ValueError, match="no item has two votes"):
            of(patterns([[1, 0], [0, 1]]))
    with pytest.raises(ValueError, match="whole numbers"):
        patterns([[0.5, 1]])
    with pytest.raises(ValueError, match="level is 'metric'"):
        krippendorff_alpha(patterns([[1, 1]]), "metric")


def test_small_cases_agree_with_counting_by_hand():
    table = patterns([[3, 0], [2, 1], [1, 0]])
    assert percent_agreement(table) == pytest.approx((1 + 1 / 3) / 2)
    # Item 2: each of the two is half right against a tie of the others, the third is wrong.
    assert leave_one_out(table) == pytest.approx((3 + 2 * 0.5) / 6)
    assert split_half(patterns([[4, 0]])) == 1
    # Two and two: halves are (2, 0)/(0, 2) with probability 1/3, else tied, which agrees by half.
    assert split_half(patterns([[2, 2]]), draws=20_000) == pytest.approx(1 / 3, abs=0.02)
    share = np.array([(1 + 2 / 3 + 1) / 3, 1 / 9])
    by_chance = (share * (1 - share)).sum()
    assert gwet_ac1(table) == pytest.approx((2 / 3 - by_chance) / (1 - by_chance))


def test_kappa_has_the_textbook_value_and_weights_by_distance():
    # Cohen's table [[20, 5], [10, 15]]: 0.7 seen, 0.5 by chance.
    a = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    b = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    far = cohen_kappa([0, 1, 2, 0], [0, 1, 2, 2], "quadratic")
    near = cohen_kappa([0, 1, 2, 0], [0, 1, 2, 1], "quadratic")
    assert far < near
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=200), rng.integers(5, size=200)
    # Quadratic kappa is the concordance correlation of the two, with 1 / N variances.
    concordance = 2 * np.cov(x, y, bias=True)[0, 1]
    concordance /= x.var() + y.var() + (x.mean() - y.mean()) ** 2
    assert cohen_kappa(x, y, "quadratic") == pytest.approx(concordance)
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))


def test_the_matrix_holds_every_two_raters_kappa_over_shared_items():
    found = random_votes(3)
    kappa, shared = kappa_matrix(found)
    for a in range(found.raters):
        for b in range(a):
            of_a, of_b = (
                dict(
                    zip(
                        found.items_N[found.raters_N == r],
                        found.labels_N[found.raters_N == r],
                        strict=True,
                    )
                )
                for r in (a, b)
            )
            both = sorted(of_a.keys() & of_b.keys())
            expected = cohen_kappa([of_a[i] for i in both], [of_b[i] for i in both])
            assert shared[a, b] == len(both)
            np.testing.assert_allclose([kappa[a, b], kappa[b, a]], expected)
    with pytest.raises(ValueError, match="twice"):
        kappa_matrix(votes([0, 0], [1, 1], [0, 1]))

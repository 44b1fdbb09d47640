"""Intervals cover, win rates are fair, and small cases agree with counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from plaudit.statistics import (
    auc,
    brier,
    cluster_bootstrap,
    expected_calibration_error,
    length_controlled_win_rate,
    pair_accuracy,
    sample_size,
    wilson,
    win_rate,
    win_scores,
)
from plaudit.statistics.win_rate import LENGTH_RIDGE, QUALITY_RIDGE, fit_logistic


def mean(weights, values) -> float:
    return float(weights @ values / weights.sum())


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.490162, 0.943318), (50, 100, 0.403832, 0.596168), (1, 20, 0.008881, 0.236131)],
)
def test_wilson_has_the_published_values(successes, n, low, high):
    interval = wilson(successes, n)
    np.testing.assert_allclose(interval, (low, successes / n, high), atol=1e-6)


def test_wilson_at_the_ends_is_one_sided_and_exact():
    z_squared = 1.959964**2
    assert wilson(0, 10).low == 0.0
    np.testing.assert_allclose(wilson(0, 10).high, z_squared / (10 + z_squared), atol=1e-6)
    assert wilson(10, 10).high == 1.0
    np.testing.assert_allclose(wilson(10, 10).low, 10 / (10 + z_squared), atol=1e-6)
    for wrong in [(1, 0), (3, 2), (-1, 2)]:
        with pytest.raises(ValueError, match="successes"):
            wilson(*wrong)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence=95)


def test_clustered_intervals_cover_the_truth_where_naive_ones_do_not():
    covered = {"clustered": 0, "naive": 0}
    prompts, samples, seeds = 50, 6, 300
    clusters = np.repeat(np.arange(prompts), samples)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        values = 0.3 + np.repeat(rng.normal(size=prompts), samples)
        values += 0.5 * rng.normal(size=len(clusters))
        for name, ids in (("clustered", clusters), ("naive", np.arange(len(clusters)))):
            interval = cluster_bootstrap(mean, ids, values, resamples=300, seed=seed)
            covered[name] += interval.low <= 0.3 <= interval.high
    # 95 %, less the percentile interval's known shortfall at 50 clusters; 3 standard errors.
    assert 0.90 <= covered["clustered"] / seeds <= 0.985
    assert covered["naive"] / seeds < 0.75


def test_bootstrap_of_duplicated_rows_is_no_tighter():
    rng = np.random.default_rng(0)
    values, clusters = rng.normal(size=40), np.arange(40)
    once = cluster_bootstrap(mean, clusters, values)
    thrice = cluster_bootstrap(mean, np.tile(clusters, 3), np.tile(values, 3))
    np.testing.assert_allclose(once, thrice)


def test_bootstrap_is_a_function_of_its_seed_and_reads_any_cluster_names():
    values, names = np.arange(6.0), np.array(["b", "a", "b", "c", "a", "c"])
    first = cluster_bootstrap(mean, names, values, seed=1)
    assert first == cluster_bootstrap(mean, [1, 0, 1, 2, 0, 2], values, seed=1)
    assert first.point == 2.5
    assert (first.low, first.high) == (1.0, 4.0)  # the means of the lowest and highest cluster
    noise = np.random.default_rng(0).normal(size=50)
    seeded = [cluster_bootstrap(mean, np.arange(50), noise, seed=s) for s in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_bootstrap_refuses_what_it_cannot_answer():
    with pytest.raises(ValueError, match="at least 2"):
        cluster_bootstrap(mean, np.zeros(5), np.arange(5.0))
    with pytest.raises(ValueError, match="rows"):
        cluster_bootstrap(mean, np.arange(5), np.arange(4.0))
    labels = np.array([1, 0, 0, 0])  # the only good one is missing from a third of the resamples

    def area(weights, scores, labels):
        return auc(scores, labels, weights)

    with pytest.raises(ValueError, match="undefined"):
        cluster_bootstrap(area, np.arange(4), np.arange(4.0), labels)


def test_few_undefined_resamples_are_left_out():
    rng = np.random.default_rng(0)
    labels, scores = (np.arange(40) < 4).astype(float), rng.normal(size=40)

    def area(weights, scores, labels):
        return auc(scores, labels, weights)

    interval = cluster_bootstrap(area, np.arange(40), scores, labels)
    assert 0 <= interval.low < interval.point == auc(scores, labels) < interval.high <= 1


def test_win_scores_count_an_exact_tie_as_half():
    assert win_scores([2, 1, 0.1 + 0.2, 1], [1, 2, 0.3, 1]).tolist() == [1, 0, 1, 0.5]
    assert pair_accuracy([3, 1], [1, 1]).tolist() == [1, 0.5]
    with pytest.raises(ValueError, match="NaN"):
        win_scores([np.nan], [1.0])
    with pytest.raises(ValueError, match="shape"):
        win_scores([1.0, 2.0], [1.0])


def test_win_rate_is_the_mean_and_its_interval_is_never_certain():
    clusters = np.arange(100)
    interval = win_rate(np.repeat([1.0, 0.5, 0.0], [50, 20, 30]), clusters)
    assert interval.point == 0.6
    np.testing.assert_allclose(interval, (0.515, 0.6, 0.685), atol=0.01)  # sd 0.436 / 10 * 1.96
    won = win_rate(np.ones(40), np.repeat(np.arange(10), 4))
    np.testing.assert_allclose(won, wilson(10, 10))
    assert win_rate(np.zeros(40), np.repeat(np.arange(10), 4)).high == wilson(0, 10).high
    with pytest.raises(ValueError, match="wins"):
        win_rate([0.0, np.nan], [0, 1])


def planted(rng, pairs: int, quality: float, length_effect: float):
    """Wins of a model that writes about 200 characters more than the other."""
    length_a, length_b = rng.integers(300, 1500, pairs), rng.integers(100, 1300, pairs)
    difference = length_a - length_b
    logit = quality + length_effect * np.tanh(difference / difference.std())
    return (rng.random(pairs) < expit(logit)).astype(float), length_a, length_b


def test_length_control_finds_equal_quality_where_only_length_wins():
    wins, a, b = planted(np.random.default_rng(0), 3000, quality=0.0, length_effect=2.0)
    raw = win_rate(wins, np.arange(3000), resamples=300)
    controlled = length_controlled_win_rate(wins, a, b, np.arange(3000), resamples=300)
    assert raw.low > 0.58
    assert controlled.low < 0.5 < controlled.high
    assert controlled.high - controlled.low < 0.06


def test_length_control_recovers_planted_quality_and_its_interval_covers():
    truth, covered, points = expit(0.5), 0, []
    for seed in range(100):
        wins, a, b = planted(np.random.default_rng(seed), 400, quality=0.5, length_effect=-1.5)
        interval = length_controlled_win_rate(wins, a, b, np.arange(400), resamples=200, seed=seed)
        covered += interval.low <= truth <= interval.high
        points.append(interval.point)
    assert 88 <= covered <= 99
    assert abs(np.mean(points) - truth) < 0.01


def test_a_model_against_itself_is_at_exactly_one_half():
    clusters, length = np.arange(30), np.arange(30) + 100
    assert length_controlled_win_rate(np.full(30, 0.5), length, length, clusters).point == 0.5
    samples = np.random.default_rng(0).permutation(length)
    assert length_controlled_win_rate(np.full(30, 0.5), length, samples, clusters).point == 0.5


def test_length_control_is_fair_to_both_sides():
    wins, a, b = planted(np.random.default_rng(1), 200, quality=0.3, length_effect=1.0)
    clusters = np.repeat(np.arange(50), 4)
    one = length_controlled_win_rate(wins, a, b, clusters, resamples=200)
    other = length_controlled_win_rate(1 - wins, b, a, clusters, resamples=200)
    np.testing.assert_allclose(other, (1 - one.high, 1 - one.point, 1 - one.low), atol=1e-6)


def test_without_length_differences_the_rate_is_the_raw_one():
    wins, length = np.array([1, 1, 0, 0.5, 1, 0]), np.full(6, 70)
    clusters = [0, 0, 1, 1, 2, 2]
    assert length_controlled_win_rate(wins, length, length, clusters) == win_rate(wins, clusters)
    with pytest.raises(ValueError, match="differs by 5"):
        length_controlled_win_rate(wins, length + 5, length, clusters)
    with pytest.raises(ValueError, match="lengths"):
        length_controlled_win_rate(wins, length[:5], length[:5], clusters)
    with pytest.raises(ValueError, match="finite"):
        length_controlled_win_rate(wins, np.full(6, np.nan), length, clusters)


def test_separated_wins_stay_finite():
    rng = np.random.default_rng(0)
    a, b = rng.integers(10, 90, 60), rng.integers(10, 90, 60)
    won = length_controlled_win_rate(np.ones(60), a, b, np.arange(60), resamples=50)
    assert 0.999 < won.point < 1 and won.low == wilson(60, 60).low
    by_length = length_controlled_win_rate(win_scores(a, b), a, b, np.arange(60), resamples=200)
    assert 0.1 < by_length.low < 0.5 < by_length.high < 0.9
    one_lost = np.r_[0.0, np.ones(59)]
    assert np.isfinite(length_controlled_win_rate(one_lost, a, b, np.arange(60))).all()


def test_logistic_fit_is_stationary_and_weights_equal_duplication():
    rng = np.random.default_rng(0)
    features = np.stack([np.ones(50), rng.normal(size=50)], axis=1)
    targets, counts = rng.choice([0.0, 0.5, 1.0], 50), rng.integers(0, 4, 50)
    ridge = np.array([QUALITY_RIDGE, LENGTH_RIDGE])
    weighted = fit_logistic(counts.astype(float), features, targets, ridge, np.zeros(2))
    rows = np.repeat(np.arange(50), counts)
    far = np.array([-20.0, 10.0])  # where a whole Newton step would be 1e6 long
    repeated = fit_logistic(np.ones(len(rows)), features[rows], targets[rows], ridge, far)
    np.testing.assert_allclose(weighted, repeated, atol=1e-8)
    gradient = features.T @ (counts * (expit(features @ weighted) - targets)) + ridge * weighted
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_sample_size_has_the_tabulated_values():
    table = {0.52: 4906, 0.55: 785, 0.60: 197, 0.65: 88, 0.40: 197}
    assert {rate: sample_size(rate) for rate in table} == table
    assert sample_size(0.55, power=0.9) == 1051  # (1.95996 + 1.28155)^2 / 0.01 = 1050.7
    with pytest.raises(ValueError, match="rate"):
        sample_size(0.5)


def test_a_sample_of_that_size_has_that_power():
    rng, n = np.random.default_rng(0), sample_size(0.6)
    rates = rng.binomial(n, 0.6, 20000) / n
    power = (np.abs(rates - 0.5) > 1.959964 * 0.5 / np.sqrt(n)).mean()
    assert 0.77 < power < 0.83


def test_auc_by_counting_pairs():
    # Good 3, 2, 1 against bad 2, 0: (1 + 1) + (0.5 + 1) + (0 + 1) = 4.5 of 6.
    assert auc([3, 2, 1, 2, 0], [1, 1, 1, 0, 0]) == 4.5 / 6
    # The first good one weighs 2, the first bad one 3: (6 + 2) + (1.5 + 1) + (0 + 1) of 4 * 4.
    assert auc([3, 2, 1, 2, 0], [1, 1, 1, 0, 0], [2, 1, 1, 3, 1]) == 11.5 / 16
    assert auc([1, 1, 1], [1, 0, 0]) == 0.5
    assert np.isnan(auc([1, 2], [1, 1])) and np.isnan(auc([1, 2], [0, 1], [1, 0]))
    with pytest.raises(ValueError, match="NaN"):
        auc([np.nan, 1], [0, 1])
    with pytest.raises(ValueError, match="labels"):
        auc([0, 1], [0, 2])


def test_auc_of_mean_ratings_is_that_of_the_ratings():
    # One response was rated good twice and bad once.
    assert auc([0.2, 0.5, 0.9], [0, 2 / 3, 1], [1, 3, 2]) == pytest.approx(
        auc([0.2, 0.5, 0.5, 0.5, 0.9, 0.9], [0, 1, 1, 0, 1, 1])
    )


def test_calibration_by_hand():
    # Two bins of two: |0.15 - 0.5| and |0.85 - 1|, each half of the mass.
    error = expected_calibration_error([0.1, 0.8, 0.2, 0.9], [0, 1, 1, 1], bins=2)
    assert error == pytest.approx((0.35 + 0.15) / 2)
    assert brier([0.1, 0.8, 0.2, 0.9], [0, 1, 1, 1]) == pytest.approx(0.175)
    assert brier([1.0, 0.0], [1, 1], [3, 1]) == 0.25
    with pytest.raises(ValueError, match="probabilities"):
        brier([1.2], [1])
    with pytest.raises(ValueError, match="bins"):
        expected_calibration_error([0.5], [1], bins=0)


def test_calibration_bins_have_equal_mass_and_keep_ties_together():
    probabilities = np.repeat([0.3, 0.7], 50)
    labels = np.concatenate([np.arange(50) < 15, np.arange(50) < 35]).astype(float)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0)
    rng = np.random.default_rng(0)
    p, y = rng.random(200), rng.integers(0, 2, 200)
    order = np.argsort(p)
    by_hand = [abs(p[rows].mean() - y[rows].mean()) for rows in np.split(order, 10)]
    assert expected_calibration_error(p, y) == pytest.approx(np.mean(by_hand))


def test_calibration_tells_good_forecasters_from_sure_ones_and_weights_equal_duplication():
    rng = np.random.default_rng(0)
    p = rng.random(5000)
    y = (rng.random(5000) < p).astype(float)
    assert expected_calibration_error(p, y) < 0.03
    assert expected_calibration_error(expit(4 * np.log(p / (1 - p))), y) > 0.1
    counts = rng.integers(0, 3, 5000)
    rows = np.repeat(np.arange(5000), counts)
    for measure in (lambda p, y, w: expected_calibration_error(p, y, 10, w), brier):
        assert measure(p, y, counts) == pytest.approx(measure(p[rows], y[rows], None))

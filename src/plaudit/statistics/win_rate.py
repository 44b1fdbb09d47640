"""Win rates of one model against another, raw and at equal length.

Shapes: N pairs (rows); F features of a pair: 1 and the length term.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit, ndtri

from plaudit.statistics.intervals import Interval, cluster_bootstrap, normal_quantile, wilson

LENGTH_RIDGE = 0.1
"""A normal prior on the effect of length with a standard deviation of about 3 on the logit."""
QUALITY_RIDGE = 1e-6
"""Keeps the logit finite (18 for 1,000 pairs) where every pair is won; without effect elsewhere."""
NEWTON_STEPS = 100
TOLERANCE = 1e-8

Floats = NDArray[np.float64]


def win_scores(a_N: ArrayLike, b_N: ArrayLike) -> Floats:
    """1 where ``a`` is higher, 0.5 where the two are exactly equal, 0 where ``b`` is higher: [N].

    Raises:
        ValueError: the lengths differ, or a score is NaN (a failed score is not a loss).
    """
    a, b = np.asarray(a_N, dtype=float), np.asarray(b_N, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"scores of {a.shape} against {b.shape}; pairs need the same shape")
    if failed := int((np.isnan(a) | np.isnan(b)).sum()):
        raise ValueError(f"{failed} pairs have a score that is NaN; leave them out and count them")
    return np.where(a == b, 0.5, (a > b).astype(float))


def win_rate(
    wins_N: ArrayLike,
    clusters_N: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The mean of wins in [0, 1] (a tie is 0.5), with the interval clustered by prompt.

    Where every pair is won, or every one lost, resampling sees no variation; there the ends are
    those of Wilson's interval with as many trials as clusters.

    Raises:
        ValueError: a win outside [0, 1], or fewer than two clusters.
    """
    wins = _checked(wins_N)
    interval = cluster_bootstrap(
        _mean, clusters_N, wins, resamples=resamples, seed=seed, confidence=confidence
    )
    return _never_certain(interval, wins, clusters_N, confidence)


def length_controlled_win_rate(
    wins_N: ArrayLike,
    length_a_N: ArrayLike,
    length_b_N: ArrayLike,
    clusters_N: ArrayLike,
    *,
    ridge: float = LENGTH_RIDGE,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The win rate of ``a`` over ``b``, had their responses been equally long.

    ``logit P(win) = theta + beta tanh(d / sd(d))`` with ``d = length_a - length_b``; the rate is
    ``sigma(theta)`` (AlpacaEval 2, Dubois et al. 2024, arXiv:2404.04475, without its term for
    the difficulty of an instruction). ``d`` is not centred, ``sd`` is that of all rows; ``ridge``
    adds ``ridge beta^2 / 2`` to the summed loss, and a ridge of 1e-6 on ``theta`` keeps a
    separated fit finite. Where all lengths are equal there is no length term, and the rate is
    ``win_rate``; where every pair is won, its note on the interval holds.

    Args:
        wins_N: 1 where ``a`` won, 0 where ``b`` did, 0.5 for ties; anything between is soft.
        length_a_N, length_b_N: of the two responses, in characters or tokens.
        clusters_N: the prompt of each pair.

    Raises:
        ValueError: a win outside [0, 1], a length that is not finite, fewer than two clusters, or
            one and the same difference of length in every pair, not to be told from quality.
    """
    wins = _checked(wins_N)
    features_NF = _features(_differences(length_a_N, length_b_N, len(wins)))
    if features_NF is None:
        return win_rate(wins, clusters_N, resamples=resamples, seed=seed, confidence=confidence)
    ridge_F = np.array([QUALITY_RIDGE, ridge])
    start_F = fit_logistic(np.ones(len(wins)), features_NF, wins, ridge_F, np.zeros(2))

    def rate(weights_N: Floats, features_NF: Floats, wins_N: Floats) -> float:
        return float(expit(fit_logistic(weights_N, features_NF, wins_N, ridge_F, start_F)[0]))

    interval = cluster_bootstrap(
        rate,
        clusters_N,
        features_NF,
        wins,
        resamples=resamples,
        seed=seed,
        confidence=confidence,
    )
    return _never_certain(interval, wins, clusters_N, confidence)


def sample_size(rate: float, power: float = 0.8, confidence: float = 0.95) -> int:
    """Decisive votes with which a two-sided test tells a true win rate from 0.5.

    ``(z_confidence + z_power)^2 / (4 (rate - 0.5)^2)``, rounded up: independent votes, variance
    that of 0.5. Votes that share prompts need ``1 + (m - 1) rho`` times as many.

    Raises:
        ValueError: the rate is 0.5 or outside [0, 1], or the power is not between 0 and 1.
    """
    if not 0 <= rate <= 1 or rate == 0.5:
        raise ValueError(f"rate is {rate}; no number of votes tells 0.5 from 0.5")
    if not 0 < power < 1:
        raise ValueError(f"power is {power}; it lies between 0 and 1, such as 0.8")
    z = normal_quantile(confidence) + float(ndtri(power))
    return math.ceil(z**2 * 0.25 / (rate - 0.5) ** 2)


def fit_logistic(
    weights_N: Floats,
    features_NF: Floats | csr_array,
    targets_N: Floats,
    ridge_F: Floats,
    start_F: Floats,
) -> Floats:
    """The ``c`` [F] that minimises ``sum_n w_n (log(1 + e^z_n) - y_n z_n) + ridge . c^2 / 2``.

    ``z = features c`` and targets ``y`` in [0, 1]; Newton's method, each step halved until the
    loss does not rise. It stops when the next step would gain less than 1e-8 nats.
    """
    found_F = start_F
    loss = _loss(found_F, weights_N, features_NF, targets_N, ridge_F)
    for _ in range(NEWTON_STEPS):
        fitted_N = expit(features_NF @ found_F)
        gradient_F = features_NF.T @ (weights_N * (fitted_N - targets_N)) + ridge_F * found_F
        curvature_N = weights_N * fitted_N * (1 - fitted_N)
        hessian_FF = (features_NF.T * curvature_N) @ features_NF + np.diag(ridge_F)
        step_F = np.linalg.solve(hessian_FF, gradient_F)
        if gradient_F @ step_F < TOLERANCE:
            return found_F - step_F
        # Far out on a flat tail a whole step overshoots by orders of magnitude.
        while (lower := _loss(found_F - step_F, weights_N, features_NF, targets_N, ridge_F)) > loss:
            step_F = step_F / 2
        found_F, loss = found_F - step_F, lower
    raise AssertionError("Newton's method did not converge on a convex loss")


def _loss(
    at_F: Floats, w_N: Floats, features_NF: Floats | csr_array, y_N: Floats, ridge_F: Floats
) -> float:
    z_N = features_NF @ at_F
    return float(w_N @ (np.logaddexp(0, z_N) - y_N * z_N) + ridge_F @ at_F**2 / 2)


def _differences(length_a_N: ArrayLike, length_b_N: ArrayLike, rows: int) -> Floats:
    a, b = np.asarray(length_a_N, dtype=float), np.asarray(length_b_N, dtype=float)
    if not len(a) == len(b) == rows:
        raise ValueError(f"{rows} wins, but {len(a)} and {len(b)} lengths; expected as many")
    if not np.isfinite(a - b).all():
        raise ValueError("lengths are not all finite; leave out the pairs without a response")
    return a - b


def _features(difference_N: Floats) -> Floats | None:
    """``[1, tanh(d / sd(d))]`` of each pair, or nothing where all lengths are equal."""
    if not difference_N.any():
        return None
    spread = difference_N.std()
    if spread == 0:
        raise ValueError(
            f"every pair differs by {difference_N[0]:g} in length, so the effect of length cannot"
            " be told from that of quality; report the raw win rate"
        )
    return np.stack([np.ones(len(difference_N)), np.tanh(difference_N / spread)], axis=1)


def _mean(weights_N: Floats, values_N: Floats) -> float:
    return float(weights_N @ values_N / weights_N.sum())


def _checked(wins_N: ArrayLike) -> Floats:
    wins = np.asarray(wins_N, dtype=float)
    if wrong := int((~((wins >= 0) & (wins <= 1))).sum()):
        raise ValueError(f"{wrong} wins are NaN or outside [0, 1]; expected 1, 0.5 (a tie) or 0")
    return wins


def _never_certain(
    interval: Interval, wins_N: Floats, clusters_N: ArrayLike, confidence: float
) -> Interval:
    if wins_N.any() and not (wins_N == 1).all():
        return interval
    clusters = len(np.unique(np.asarray(clusters_N)))
    ends = wilson(clusters * wins_N[0], clusters, confidence)
    return Interval(ends.low, interval.point, ends.high)

"""Intervals: of a rate, and of any statistic of rows that come in clusters.

Shapes: N rows, C clusters (prompts, conversations), R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

UNDEFINED_ALLOWED = 0.1


class Interval(NamedTuple):
    """An estimate and its doubt: ``low`` and ``high`` are the ends of the interval."""

    low: float
    point: float
    high: float


def normal_quantile(confidence: float) -> float:
    """``z`` with ``P(|Z| < z) = confidence`` for a standard normal ``Z``: 1.96 at 0.95.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it lies between 0 and 1, such as 0.95")
    return float(ndtri((1 + confidence) / 2))


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """The score interval of a rate of independent trials (Wilson 1927).

    ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`` with
    ``p = successes / n``, which is the point. Successes may be fractional (a tie is half a win).

    Raises:
        ValueError: there are no trials, or more successes than trials.
    """
    if not (n > 0 and 0 <= successes <= n):
        raise ValueError(
            f"{successes} successes of {n} trials; expected 0 <= successes <= n, n > 0"
        )
    z, rate = normal_quantile(confidence), successes / n
    scale = 1 + z**2 / n
    centre = (rate + z**2 / (2 * n)) / scale
    half = z * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / scale
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == n else float(centre + half)
    return Interval(low, rate, high)


def cluster_bootstrap(
    statistic: Callable[..., float],
    clusters_N: ArrayLike,
    *arrays: ArrayLike,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The percentile interval under resampling of whole clusters with replacement.

    Rows of one cluster are not independent; clusters are taken to be (Davison & Hinkley 1997,
    section 3.8). ``statistic(weights_N, *arrays)`` sees every row in every resample, weighted by
    how often its cluster was drawn, so nothing is copied; the point has weights of 1. A statistic
    may be NaN where a resample leaves it undefined (one class only): such resamples are left out.
    With fewer than about 20 clusters the interval is too narrow.

    Args:
        clusters_N: the cluster of each row: numbers or strings.
        arrays: what the statistic reads, each with N rows.

    Raises:
        ValueError: fewer than two clusters, lengths that differ, or a statistic that is undefined
            on all rows or on more than a tenth of the resamples.
    """
    cluster_N, count = _numbered(clusters_N)
    arrays_N = [np.asarray(array) for array in arrays]
    if lengths := [len(array) for array in arrays_N if len(array) != len(cluster_N)]:
        raise ValueError(f"arrays have {lengths} rows where clusters have {len(cluster_N)}")
    point = float(statistic(np.ones(len(cluster_N)), *arrays_N))
    rng = np.random.default_rng(seed)
    values_R = np.empty(resamples)
    for r in range(resamples):
        drawn_C = np.bincount(rng.integers(count, size=count), minlength=count).astype(float)
        values_R[r] = statistic(drawn_C[cluster_N], *arrays_N)
    return percentile_interval(point, values_R, confidence)


def _numbered(clusters_N: ArrayLike) -> tuple[NDArray[np.intp], int]:
    names_C, cluster_N = np.unique(np.asarray(clusters_N), return_inverse=True)
    if len(names_C) < 2:
        raise ValueError(
            f"{len(names_C)} cluster(s) of rows: an interval needs at least 2, better 20 or more;"
            " add prompts, not more samples of one prompt"
        )
    return cluster_N, len(names_C)


def percentile_interval(
    point: float, values_R: NDArray[np.float64], confidence: float = 0.95
) -> Interval:
    """The middle ``confidence`` of the values of resamples; those that are NaN are left out.

    Raises:
        ValueError: the point is NaN, or more than a tenth of the values are.
    """
    normal_quantile(confidence)  # the same check of the confidence everywhere
    defined_R = values_R[~np.isnan(values_R)]
    undefined = len(values_R) - len(defined_R)
    if np.isnan(point) or undefined > UNDEFINED_ALLOWED * len(values_R):
        raise ValueError(
            f"the statistic is {point} on all rows and undefined in {undefined} of"
            f" {len(values_R)} resamples; more clusters are needed, with every class in several"
        )
    low, high = np.quantile(defined_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), point, float(high))

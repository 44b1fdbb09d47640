"""How well a reward model learned from so many labelled pairs will rank: the learning curve.

A reward model is linear in F features of a response; the true utility is linear in them too, but
for a part that no feature shows. Then what is learned from N pairs is a direction, and with ``rho``
the correlation of its scores' differences with the true differences,

    accuracy = 1 - arccos(rho) / pi             (the signs of two normal variables, Sheppard 1899)
    rho^2 = rho_max^2 N^b / (N^b + h^b)         (the curve that is fitted, in h and b)

``h`` is the number of pairs at which half of what can be learned is; it grows with the features
and with the noise of the labels, and ``b`` is near 1.

Shapes: N pairs, F features, S sizes, R replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from plaudit.statistics.intervals import Interval

Floats = NDArray[np.float64]
L2 = 1.0
NEWTON_STEPS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """Held-out accuracy against the number of labelled pairs, for labels of one kind."""

    half_pairs: float
    """``h``."""
    exponent: float
    """``b``."""
    spread: float
    """Standard deviation, between projects like this one, of ``logit(rho^2 / rho_max^2)``."""
    ceiling: float
    """``rho_max``: correlation of the best scores with the true utility."""

    def accuracy(self, pairs: float, z: float = 0.0) -> float:
        """At a number of pairs; ``z`` standard deviations above what is expected."""
        share = expit(self.exponent * np.log(pairs / self.half_pairs) + z * self.spread)
        return accuracy_of_correlation(self.ceiling * np.sqrt(share))

    def slowed(self, factor: float) -> LearningCurve:
        """For a model that needs so many times the pairs."""
        return replace(self, half_pairs=factor * self.half_pairs)

    def interval(self, pairs: float, z: float) -> Interval:
        """In which one project like this one will be."""
        low, point, high = (self.accuracy(pairs, side) for side in (-z, 0.0, z))
        return Interval(low, point, high)

    def pairs(self, accuracy: float, z: float = 0.0) -> float:
        """At which an accuracy is reached by a project ``z`` deviations above the expected one.

        Infinite where it is at or above the ceiling.
        """
        share = (correlation_of_accuracy(accuracy) / self.ceiling) ** 2
        if share >= 1:
            return float("inf")
        return float(self.half_pairs * np.exp((logit(share) - z * self.spread) / self.exponent))


def accuracy_of_correlation(rho: float) -> float:
    """How often two normal variables of mean 0 have the same sign: ``1 - arccos(rho) / pi``."""
    return float(1 - np.arccos(np.clip(rho, -1, 1)) / np.pi)


def correlation_of_accuracy(accuracy: float) -> float:
    """Its inverse, ``cos(pi (1 - accuracy))``."""
    return float(np.cos(np.pi * (1 - accuracy)))


def learned_correlation(
    features_NF: Floats, probability_N: Floats, direction_F: Floats, ceiling: float
) -> float:
    """``rho`` of a Bradley-Terry reward model fitted to soft labels.

    Minimises ``-sum_n (q_n log sigma(w . x_n) + (1 - q_n) log sigma(-w . x_n)) + |w|^2 / 2``;
    features are independent and of variance 1, so that the correlation is a cosine.

    Args:
        features_NF: of the second response less those of the first.
        probability_N: ``q``, that the second is better.
        direction_F: of the true utility, of length 1.
    """
    learned_F = fit_bradley_terry(features_NF, probability_N)
    length = float(np.linalg.norm(learned_F))
    return ceiling * float(learned_F @ direction_F) / length if length else 0.0


def fit_bradley_terry(features_NF: Floats, probability_N: Floats) -> Floats:
    """The coefficients, [F], by Newton's method."""
    count = features_NF.shape[1]
    found_F = np.zeros(count)
    for _ in range(NEWTON_STEPS):
        predicted_N = expit(features_NF @ found_F)
        slope_F = features_NF.T @ (predicted_N - probability_N) + L2 * found_F
        bend_N = predicted_N * (1 - predicted_N)
        bend_FF = (features_NF * bend_N[:, None]).T @ features_NF + L2 * np.eye(count)
        step_F = np.linalg.solve(bend_FF, slope_F)
        found_F -= step_F
        if np.abs(step_F).max() < 1e-8:
            return found_F
    raise RuntimeError("Newton's method did not come to rest in a penalised logistic regression")


def fit_curve(sizes_S: Sequence[int], correlations_RS: ArrayLike, ceiling: float) -> LearningCurve:
    """The curve through simulated correlations, by least squares of ``logit(rho^2 / rho_max^2)``.

    Raises:
        ValueError: nothing was learned, at any size.
    """
    shares_RS = (np.maximum(np.asarray(correlations_RS), 0.0) / ceiling) ** 2
    if shares_RS[:, -1].mean() < 0.01:
        raise ValueError(
            "nothing is learned from the labels of this pool: they say next to nothing of which "
            "response is better; expected raters who are right more often than not"
        )
    logits_RS = logit(np.clip(shares_RS, 1e-4, 1 - 1e-6))
    at_S = np.log(np.asarray(sizes_S, dtype=float))
    slope, intercept = np.polyfit(at_S, logits_RS.mean(axis=0), 1)
    residual_RS = logits_RS - (intercept + slope * at_S)
    return LearningCurve(
        half_pairs=float(np.exp(-intercept / slope)),
        exponent=float(slope),
        spread=float(residual_RS.std(ddof=2)),
        ceiling=ceiling,
    )

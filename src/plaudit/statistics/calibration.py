"""Whether probabilities mean what they say.

For preferences the probability is that of the response shown first, the order being random: with
the better one always first, every label is 1 and a constant 1 is perfectly calibrated.

Shapes: N predictions, U distinct probabilities, B bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def expected_calibration_error(
    probabilities_N: ArrayLike,
    labels_N: ArrayLike,
    bins: int = 10,
    weights_N: ArrayLike | None = None,
) -> float:
    """``sum_b W_b / W |mean p - mean y|`` over bins of equal mass, ``W_b`` the weight in a bin.

    Naeini et al. 2015, with the adaptive bins of Nguyen & O'Connor 2015. Predictions of one
    probability stay in one bin, so the order of rows does not matter. Biased upwards when bins
    hold few predictions: a perfect forecaster of 100 rows in 10 bins is at about 0.1.

    Raises:
        ValueError: no predictions or no bins, lengths that differ, or a value outside [0, 1].
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; at least 1 is needed")
    probabilities, labels, weights = _checked(probabilities_N, labels_N, weights_N)
    _, at_N = np.unique(probabilities, return_inverse=True)
    mass_U = np.bincount(at_N, weights)
    gap_U = np.bincount(at_N, weights * (labels - probabilities))
    middle_U = (np.cumsum(mass_U) - mass_U / 2) / mass_U.sum()
    bin_U = np.minimum((middle_U * bins).astype(int), bins - 1)
    gap_B = np.bincount(bin_U, gap_U, minlength=bins)
    return float(np.abs(gap_B).sum() / mass_U.sum())


def brier(
    probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None
) -> float:
    """The mean of ``(p - y)^2`` (Brier 1950): 0 is perfect, a constant 0.5 scores 0.25.

    Raises:
        ValueError: no predictions, lengths that differ, or a value outside [0, 1].
    """
    probabilities, labels, weights = _checked(probabilities_N, labels_N, weights_N)
    return float(weights @ (probabilities - labels) ** 2 / weights.sum())


def _checked(
    probabilities_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    probabilities, labels = np.asarray(probabilities_N, float), np.asarray(labels_N, float)
    weights = np.ones(len(probabilities)) if weights_N is None else np.asarray(weights_N, float)
    if not len(probabilities) == len(labels) == len(weights) > 0:
        raise ValueError(
            f"{len(probabilities)} probabilities, {len(labels)} labels and {len(weights)} weights;"
            " expected as many of each, and at least one"
        )
    for name, values in (("probabilities", probabilities), ("labels", labels)):
        if wrong := int((~((values >= 0) & (values <= 1))).sum()):
            raise ValueError(f"{wrong} {name} are NaN or outside [0, 1]")
    return probabilities, labels, weights

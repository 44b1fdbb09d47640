"""Majority: every vote counts the same, or by a weight that is known beforehand.

Shapes: N votes, I items, W raters, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plaudit.statistics.votes import UNKNOWN, Floats, Integers, Votes, gold_labels, sums


@dataclass(frozen=True, kw_only=True, slots=True)
class Majority:
    """Shares of the vote."""

    posterior_IK: Floats
    """The share of each label: not a probability that it is right. Uniform without votes."""
    accuracy_W: Floats
    """How often the rater is with the majority; of tied labels, each is a part of it."""


def majority(
    votes: Votes, gold_I: ArrayLike | None = None, weights_W: ArrayLike | None = None
) -> Majority:
    """``share_i(k) = sum_w v_w 1[l_iw = k] / sum_w v_w``, with ``v_w`` the rater's weight or 1.

    Args:
        gold_I: the right label of each item or ``UNKNOWN``; its posterior is then 1.
        weights_W: a weight of each rater, 0 or more, such as log-odds of a known accuracy.

    Raises:
        ValueError: not one weight for each rater, or one that is negative or not finite.
    """
    weights_N = None
    if weights_W is not None:
        weights_N = _checked(weights_W, votes.raters)[votes.raters_N]
    gold = gold_labels(gold_I, votes.items, votes.labels)
    shares_IK = clamped(normalised(votes.counts_IK(weights_N)), gold)
    return Majority(posterior_IK=shares_IK, accuracy_W=agreement_W(votes, modes(shares_IK)))


def normalised(counts_IK: Floats) -> Floats:
    """Rows that sum to 1, uniform where nothing was counted."""
    total_I1 = counts_IK.sum(axis=1, keepdims=True)
    uniform = np.full_like(counts_IK, 1 / counts_IK.shape[1])
    return np.divide(counts_IK, total_I1, out=uniform, where=total_I1 > 0)


def clamped(posterior_IK: Floats, gold_I: Integers) -> Floats:
    """The posterior with certainty where the right label is known."""
    known_I = np.flatnonzero(gold_I != UNKNOWN)
    found_IK = posterior_IK.copy()
    found_IK[known_I] = 0.0
    found_IK[known_I, gold_I[known_I]] = 1.0
    return found_IK


def modes(shares_IK: Floats) -> Floats:
    """1 for the label with the largest share, or 1 / m for each of m that are equal."""
    return normalised((shares_IK >= shares_IK.max(axis=1, keepdims=True) - 1e-12).astype(float))


def agreement_W(votes: Votes, posterior_IK: Floats) -> Floats:
    """The mean posterior of the labels that each rater chose; NaN for one who never voted."""
    given_N = posterior_IK[votes.items_N, votes.labels_N]
    cast_W = np.bincount(votes.raters_N, minlength=votes.raters).astype(float)
    cast_W[cast_W == 0] = np.nan
    return sums(votes.raters_N, given_N, votes.raters) / cast_W


def _checked(weights_W: ArrayLike, raters: int) -> Floats:
    weights = np.asarray(weights_W, dtype=float)
    if weights.shape != (raters,):
        raise ValueError(f"weights of shape {weights.shape}; expected one for each of {raters}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("a rater's weight is negative or not finite; expected 0 or more")
    return weights

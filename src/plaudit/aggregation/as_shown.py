"""Dawid-Skene of pairs as they were shown, where every rater may have seen another order.

What is true of a pair is which candidate is better; what a rater does, he does to the left and the
right one. So the truth is kept in the item's order and each vote is read in its own, and a habit of
pressing left is a row of the rater's confusion and no evidence. Ties are an answer, not a truth:
they say of a pair what the rater's habits make of them.

Shapes: N votes, I pairs, W raters, K truths (left is better, right is), L answers (left, right,
tie).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.statistics import UNKNOWN, Votes

STRENGTH = 10.0
"""Of the prior round the pooled confusion, in votes a row: a rater of ten votes is taken half for
himself, half for an average one. From 3 to 100 reward models do equally well by it
(``docs/collect/targets.md``)."""
ROUNDS = 500
TOLERANCE = 1e-6
MIRROR_L = np.array([1, 0, 2])
_HALF_RIGHT_KL = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0]])


@dataclass(frozen=True, kw_only=True, slots=True)
class AsShown:
    """What the votes say of pairs, and of raters."""

    first_I: np.ndarray
    """The probability that the first candidate is the better one."""
    confusion_WKL: np.ndarray
    """``P(answer l | truth k)``, both as shown; rows sum to 1."""
    converged: bool

    @property
    def skill_W(self) -> np.ndarray:
        """How often a rater who decides picks the better one, left and right counted alike."""
        decided_WK = self.confusion_WKL[:, :, :2].sum(2)
        right_WK = np.diagonal(self.confusion_WKL[:, :, :2], axis1=1, axis2=2)
        return (right_WK / decided_WK).mean(1)

    @property
    def left_bias_W(self) -> np.ndarray:
        """How much more often than half a rater who decides presses left."""
        decided_WK = self.confusion_WKL[:, :, :2].sum(2)
        return (self.confusion_WKL[:, :, 0] / decided_WK).mean(1) - 0.5

    @property
    def information_W(self) -> np.ndarray:
        """What one vote says of an even question, in bits: 1 of who is always right, 0 of noise."""
        mean_W1L = self.confusion_WKL.mean(1, keepdims=True)
        return (self.confusion_WKL * np.log2(self.confusion_WKL / mean_W1L)).sum(2).mean(1)


def dawid_skene_as_shown(
    votes: Votes, turned_N: np.ndarray, known_I: np.ndarray, *, strength: float = STRENGTH
) -> AsShown:
    """``C_w[k, l] = (n_w[k, l] + s P[k, l]) / (n_w[k] + s)`` with all in the order of the screen.

    E: ``logit q_i = sum_n log C_w[first's side, l] - log C_w[second's side, l]``, both orders
    averaged where the order is not known; ``P`` is the confusion of all raters together (Dawid &
    Skene 1979, with the hierarchy of Paun et al. 2018). Begun from the shares of the vote.

    Args:
        votes: with labels 0 the first is better, 1 the second, 2 a tie, of the item.
        turned_N: how likely the second stood left.
        known_I: the right label, or ``UNKNOWN``; a known tie has probability one half.
    """
    known_I1 = np.array([1.0, 0.0, 0.5, np.nan])[np.where(known_I == UNKNOWN, 3, known_I)]
    counts_I3 = votes.counts_IK() + 0.25
    first_I = _clamped((counts_I3[:, 0] + counts_I3[:, 2] / 2) / counts_I3.sum(1), known_I1)
    order_NK = np.stack([turned_N, turned_N], axis=1)
    for _ in range(ROUNDS):
        confusion_WKL = _confusion(votes, first_I, order_NK, strength)
        likely_NK, order_NK = _likelihood(votes, confusion_WKL, turned_N)
        gain_N = np.log(likely_NK[:, 0] / likely_NK[:, 1])
        logit_I = np.bincount(votes.items_N, gain_N, minlength=votes.items)
        new_I = _clamped(1 / (1 + np.exp(-np.clip(logit_I, -500, 500))), known_I1)
        moved, first_I = float(np.abs(new_I - first_I).max()), new_I
        if moved < TOLERANCE:
            break
    return AsShown(first_I=first_I, confusion_WKL=confusion_WKL, converged=moved < TOLERANCE)


def _confusion(
    votes: Votes, first_I: np.ndarray, order_NK: np.ndarray, strength: float
) -> np.ndarray:
    """Each rater's confusion as shown, from the truths (first, second) and orders as believed."""
    truth_NK = np.stack([first_I, 1 - first_I], axis=1)[votes.items_N]
    counts_WKL = np.zeros((votes.raters, 2, 3))
    for k in (0, 1):
        straight_N = truth_NK[:, k] * (1 - order_NK[:, k])
        counts_WKL[:, k] += _by_answer(votes, votes.labels_N, straight_N)
        turned_N = truth_NK[:, k] * order_NK[:, k]
        counts_WKL[:, 1 - k] += _by_answer(votes, MIRROR_L[votes.labels_N], turned_N)
    pooled_KL = counts_WKL.sum(0) + _HALF_RIGHT_KL
    prior_KL = strength * pooled_KL / pooled_KL.sum(1, keepdims=True)
    found_WKL = counts_WKL + prior_KL
    return found_WKL / found_WKL.sum(2, keepdims=True)


def _by_answer(votes: Votes, labels_N: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
    """The weight of each rater's answers, [W, L]."""
    cells_N = votes.raters_N * 3 + labels_N
    return np.bincount(cells_N, weight_N, minlength=votes.raters * 3).reshape(votes.raters, 3)


def _likelihood(
    votes: Votes, confusion_WKL: np.ndarray, turned_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each vote under either truth (first, second), and how likely it was then turned."""
    of_N = confusion_WKL[votes.raters_N]
    rows = np.arange(len(votes))
    straight_NK = of_N[rows, :, votes.labels_N] * (1 - turned_N)[:, None]
    turned_NK = of_N[rows, :, MIRROR_L[votes.labels_N]][:, ::-1] * turned_N[:, None]
    both_NK = straight_NK + turned_NK
    return both_NK, turned_NK / both_NK


def _clamped(first_I: np.ndarray, known_I: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(known_I), first_I, known_I)

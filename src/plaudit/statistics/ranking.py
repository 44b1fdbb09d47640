"""How well scores rank: single responses good over bad, and the two responses of a pair.

Shapes: N responses, Q pairs, U distinct scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.statistics.win_rate import win_scores


def auc(scores_N: ArrayLike, labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> float:
    """The area under the ROC curve: how often a good response scores above a bad one.

    ``sum_ij w_i w_j (1[s_i > s_j] + 1[s_i = s_j] / 2) / sum_ij w_i w_j`` over good ``i`` and bad
    ``j`` (Mann & Whitney 1947). A label between 0 and 1, such as a mean of several ratings, is
    that part of a good response and the rest of a bad one. NaN when only one class is present.

    Raises:
        ValueError: lengths differ, a score is NaN, or a label lies outside [0, 1].
    """
    scores, labels = np.asarray(scores_N, dtype=float), np.asarray(labels_N, dtype=float)
    weights = np.ones(len(scores)) if weights_N is None else np.asarray(weights_N, dtype=float)
    if not len(scores) == len(labels) == len(weights):
        raise ValueError(f"{len(scores)} scores, {len(labels)} labels, {len(weights)} weights")
    if failed := int(np.isnan(scores).sum()):
        raise ValueError(f"{failed} scores are NaN; leave them out and count them")
    if not ((labels >= 0) & (labels <= 1)).all():
        raise ValueError("labels lie outside [0, 1]; expected 1 for good and 0 for bad")
    distinct_U, at_N = np.unique(scores, return_inverse=True)
    good_U = np.bincount(at_N, weights * labels, minlength=len(distinct_U))
    bad_U = np.bincount(at_N, weights * (1 - labels), minlength=len(distinct_U))
    pairs = good_U.sum() * bad_U.sum()
    if pairs == 0:
        return float("nan")
    return float(good_U @ (np.cumsum(bad_U) - bad_U / 2) / pairs)


def pair_accuracy(better_Q: ArrayLike, worse_Q: ArrayLike) -> NDArray[np.float64]:
    """1 where the better response scores higher, 0.5 for a tie, 0 where it scores lower: [Q].

    Raises:
        ValueError: the lengths differ, or a score is NaN.
    """
    return win_scores(better_Q, worse_Q)

"""Agreement of two raters beyond chance, and of every two of many.

Shapes: N items that both judged, W raters, K labels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from plaudit.statistics.votes import Floats, Integers, Votes, votes

Weighting = Literal["none", "linear", "quadratic"]


def cohen_kappa(
    labels_a_N: ArrayLike,
    labels_b_N: ArrayLike,
    weighting: Weighting = "none",
) -> float:
    """``1 - sum_ck v_ck o_ck / sum_ck v_ck e_ck``: disagreement seen over that by chance.

    ``o`` is the joint distribution of the two raters' labels, ``e`` the product of its margins;
    ``v_ck`` is ``1[c != k]`` (Cohen 1960), ``|c - k|`` or ``(c - k)^2`` (Cohen 1968; quadratic for
    strength of preference). NaN where both give one and the same label throughout.

    Raises:
        ValueError: lengths that differ, no items, labels that are not whole numbers from 0.
    """
    a, b = np.asarray(labels_a_N), np.asarray(labels_b_N)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"{a.shape} labels of one rater, {b.shape} of the other; expected pairs")
    both = votes(np.tile(np.arange(len(a)), 2), np.repeat([0, 1], len(a)), np.append(a, b))
    return float(kappa_matrix(both, weighting)[0][0, 1])


def kappa_matrix(found: Votes, weighting: Weighting = "none") -> tuple[Floats, Integers]:
    """Cohen's kappa of every two raters over the items that both judged.

    Returns:
        kappa [W, W], NaN where it is undefined, and how many items the two share [W, W]. With few
        shared items kappa is nearly noise. A rater's own entry is 1, or NaN without variation.

    Raises:
        ValueError: a rater judged an item twice.
    """
    given_KIW = [_given(found, k) for k in range(found.labels)]
    shape = (found.raters, found.raters, found.labels, found.labels)
    joint_WWKK = np.zeros(shape)
    for c, of_a_IW in enumerate(given_KIW):
        for k, of_b_IW in enumerate(given_KIW):
            joint_WWKK[:, :, c, k] = (of_a_IW.T @ of_b_IW).toarray()
    kappa = _kappas(joint_WWKK.reshape(-1, *shape[2:]), weighting)
    return kappa.reshape(shape[:2]), joint_WWKK.sum(axis=(2, 3)).astype(np.intp)


def _given(found: Votes, label: int) -> csr_array:
    cells_N = found.items_N * found.raters + found.raters_N
    if len(np.unique(cells_N)) < len(cells_N):
        raise ValueError("a rater judged an item twice; keep one judgment of each")
    said_N = found.labels_N == label
    where = (found.items_N[said_N], found.raters_N[said_N])
    return csr_array((np.ones(said_N.sum()), where), shape=(found.items, found.raters))


def _kappas(joint_QKK: Floats, weighting: Weighting) -> Floats:
    size = joint_QKK.shape[1]
    gap_KK = np.abs(np.arange(size)[:, None] - np.arange(size))
    powers = {"none": 0, "linear": 1, "quadratic": 2}
    if weighting not in powers:
        raise ValueError(f"weighting is {weighting!r}; expected none, linear or quadratic")
    weight_KK = np.where(gap_KK == 0, 0.0, gap_KK.astype(float) ** powers[weighting])
    a_QK, b_QK = joint_QKK.sum(axis=2), joint_QKK.sum(axis=1)
    total_Q = a_QK.sum(axis=1)
    seen_Q = (joint_QKK * weight_KK).sum(axis=(1, 2)) * total_Q
    by_chance_Q = np.einsum("qc,qk,ck->q", a_QK, b_QK, weight_KK)
    undefined = np.full_like(seen_Q, np.nan)
    return 1 - np.divide(seen_Q, by_chance_Q, out=undefined, where=by_chance_Q > 0)

"""Agreement beyond chance, and the ceiling that people set for anything that predicts them.

All of it is read from patterns of label counts, raters being interchangeable; see ``kappa`` for
agreement between named raters. Rules of thumb for alpha (0.8 good, 0.667 tentative) come from
content analysis: preferences lie far lower, so show ``leave_one_out`` beside it.

Shapes: P patterns, K labels, R resamples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from plaudit.statistics.intervals import Interval, percentile_interval
from plaudit.statistics.patterns import Patterns
from plaudit.statistics.votes import Floats

Level = Literal["nominal", "ordinal", "interval", "ratio"]
CELLS_AT_ONCE = 4_000_000
"""Bounds the memory of resampling: numbers of one block of resamples."""


def krippendorff_alpha(
    found: Patterns, level: Level = "nominal", values_K: ArrayLike | None = None
) -> float:
    """``1 - D_o / D_e = 1 - (n - 1) sum_ck o_ck d_ck / sum_ck n_c n_k d_ck``.

    The coincidences ``o_ck = sum_items n_ic (n_ik - 1[c = k]) / (m_i - 1)`` leave out items with
    one vote, so votes may be missing; ``n_c = sum_k o_ck``, ``n = sum_c n_c``. The distance ``d``:
    nominal ``1[c != k]``; ordinal ``(sum_(g = c..k) n_g - (n_c + n_k) / 2)^2``; interval ``(v_c -
    v_k)^2``; ratio ``((v_c - v_k) / (v_c + v_k))^2`` (Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability"). NaN where all votes are one label: without variation there is nothing to
    agree on beyond chance.

    Args:
        values_K: what labels stand for, in rising order for ordinal; their numbers by default.

    Raises:
        ValueError: no item has two votes, a level that is not known, values that are not one a
            label, or below 0 for ratio.
    """
    coincidences_PKK, items_P = _coincidences(found)
    table_1KK = np.tensordot(items_P[None], coincidences_PKK, axes=1).astype(float)
    return float(_alphas(table_1KK, level, _values(values_K, found, level))[0])


def krippendorff_alpha_interval(
    found: Patterns,
    level: Level = "nominal",
    values_K: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Alpha with its percentile interval under resampling of items.

    Items are drawn with replacement; as those of one pattern are alike, a resample is one draw of
    how many items each pattern has, which takes no longer for millions of votes than for hundreds.

    Raises:
        ValueError: as ``krippendorff_alpha``, or alpha is undefined on too many resamples.
    """
    coincidences_PKK, items_P = _coincidences(found)
    values = _values(values_K, found, level)
    rng = np.random.default_rng(seed)
    block = max(1, CELLS_AT_ONCE // max(1, len(items_P)))
    alphas = []
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        drawn_RP = rng.multinomial(int(items_P.sum()), items_P / items_P.sum(), size=size)
        table_RKK = np.tensordot(drawn_RP, coincidences_PKK, axes=1).astype(float)
        alphas.append(_alphas(table_RKK, level, values))
    point = krippendorff_alpha(found, level, values_K)
    return percentile_interval(point, np.concatenate(alphas), confidence)


def percent_agreement(found: Patterns) -> float:
    """How often two votes on one item, drawn without replacement, are the same; mean over items.

    ``mean_i sum_k n_ik (n_ik - 1) / (m_i (m_i - 1))``.

    Raises:
        ValueError: no item has two votes.
    """
    pairable = _pairable(found)
    return float(_agreeing_P(pairable) @ pairable.items_P / pairable.items_P.sum())


def gwet_ac1(found: Patterns) -> float:
    """``(p_a - p_e) / (1 - p_e)`` with ``p_e = sum_k pi_k (1 - pi_k) / (K - 1)``.

    ``p_a`` is ``percent_agreement`` and ``pi_k`` the mean share of label k in an item (Gwet 2008).
    Unlike kappa and alpha it stays near ``p_a`` where one label is much more common than others.

    Raises:
        ValueError: no item has two votes, or there is one label only.
    """
    labels = found.counts_PK.shape[1]
    if labels < 2:
        raise ValueError("there is one label only; agreement by chance needs at least two")
    voted_P = found.votes_P > 0
    shares_PK = found.counts_PK[voted_P] / found.votes_P[voted_P, None]
    share_K = found.items_P[voted_P] @ shares_PK / found.items_P[voted_P].sum()
    by_chance = float((share_K * (1 - share_K)).sum() / (labels - 1))
    return (percent_agreement(found) - by_chance) / (1 - by_chance)


def leave_one_out(found: Patterns) -> float:
    """The human ceiling: how often a vote is the most common one among the others on its item.

    A tie of m among the others counts 1 / m. What predicts single votes cannot in the long run
    beat this by much; what predicts a consensus of several can.

    Raises:
        ValueError: no item has two votes.
    """
    pairable = _pairable(found)
    right_P = np.zeros(len(pairable.items_P))
    for k in range(pairable.counts_PK.shape[1]):
        others_PK = pairable.counts_PK.copy()
        others_PK[:, k] -= 1
        modes_PK = others_PK == others_PK.max(axis=1, keepdims=True)
        right_P += pairable.counts_PK[:, k] * modes_PK[:, k] / modes_PK.sum(axis=1)
    return float(right_P @ pairable.items_P / (pairable.votes_P @ pairable.items_P))


def split_half(found: Patterns, *, draws: int = 200, seed: int = 0) -> float:
    """How often the majorities of two random halves of an item's votes agree; mean over items.

    Of an odd number one vote is left out. Tied majorities agree in the part that one drawn from
    each would. The ceiling of a consensus of half as many votes; 200 draws a pattern.

    Raises:
        ValueError: no item has two votes.
    """
    pairable = _pairable(found)
    rng = np.random.default_rng(seed)
    agreed_P = np.array([_halves_agree(row_K, draws, rng) for row_K in pairable.counts_PK])
    return float(agreed_P @ pairable.items_P / pairable.items_P.sum())


def _halves_agree(counts_K: Floats, draws: int, rng: np.random.Generator) -> float:
    counts = counts_K.astype(np.int64)
    half = int(counts.sum()) // 2
    first_DK = rng.multivariate_hypergeometric(counts, half, size=draws)
    second_DK = np.array([rng.multivariate_hypergeometric(counts - f, half) for f in first_DK])
    return float((_share_modes(first_DK) * _share_modes(second_DK)).sum(axis=1).mean())


def _share_modes(counts_DK: np.ndarray) -> Floats:
    modes_DK = (counts_DK == counts_DK.max(axis=1, keepdims=True)).astype(float)
    return modes_DK / modes_DK.sum(axis=1, keepdims=True)


def _pairable(found: Patterns) -> Patterns:
    pairable = found.pairable()
    if not pairable.items_P.sum():
        raise ValueError("no item has two votes; agreement needs items that several raters judged")
    return pairable


def _agreeing_P(pairable: Patterns) -> Floats:
    counts_PK, votes_P = pairable.counts_PK, pairable.votes_P
    return (counts_PK * (counts_PK - 1)).sum(axis=1) / (votes_P * (votes_P - 1))


def _coincidences(found: Patterns) -> tuple[Floats, Floats]:
    """``o_ck`` of one item of each pattern, [P, K, K], and how many items it has."""
    pairable = _pairable(found)
    counts_PK = pairable.counts_PK
    pairs_PKK = counts_PK[:, :, None] * counts_PK[:, None, :]
    diagonal = np.arange(counts_PK.shape[1])
    pairs_PKK[:, diagonal, diagonal] -= counts_PK
    return pairs_PKK / (pairable.votes_P - 1)[:, None, None], pairable.items_P


def _alphas(table_RKK: Floats, level: Level, values_K: Floats) -> Floats:
    marginal_RK = table_RKK.sum(axis=2)
    distance_RKK = _distances(marginal_RK, level, values_K)
    observed_R = (table_RKK * distance_RKK).sum(axis=(1, 2))
    expected_R = np.einsum("rc,rk,rck->r", marginal_RK, marginal_RK, distance_RKK)
    total_R = marginal_RK.sum(axis=1)
    ratio_R = np.divide(
        (total_R - 1) * observed_R,
        expected_R,
        out=np.full_like(observed_R, np.nan),
        where=expected_R > 0,
    )
    return 1 - ratio_R


def _distances(marginal_RK: Floats, level: Level, values_K: Floats) -> Floats:
    """Squared distances of labels, [R or 1, K, K]."""
    if level == "nominal":
        return 1 - np.eye(len(values_K))[None]
    if level == "ordinal":
        places_RK = np.cumsum(marginal_RK, axis=1) - marginal_RK / 2
    else:
        places_RK = values_K[None]
    gap_RKK = places_RK[:, :, None] - places_RK[:, None, :]
    if level != "ratio":
        return gap_RKK**2
    sum_RKK = places_RK[:, :, None] + places_RK[:, None, :]
    return np.divide(gap_RKK, sum_RKK, out=np.zeros_like(gap_RKK), where=sum_RKK > 0) ** 2


def _values(values_K: ArrayLike | None, found: Patterns, level: Level) -> Floats:
    labels = found.counts_PK.shape[1]
    if level not in ("nominal", "ordinal", "interval", "ratio"):
        raise ValueError(f"level is {level!r}; expected nominal, ordinal, interval or ratio")
    values = np.arange(labels, dtype=float) if values_K is None else np.asarray(values_K, float)
    if values.shape != (labels,) or not np.isfinite(values).all():
        raise ValueError(f"values of shape {values.shape}; expected a number for each of {labels}")
    if level == "ordinal" and (np.diff(values) <= 0).any():
        raise ValueError("values of an ordinal scale do not rise; put its labels in order")
    if level == "ratio" and (values < 0).any():
        raise ValueError("a ratio scale has no values below 0; use interval")
    return values

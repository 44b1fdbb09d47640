"""Leaderboards by Bradley-Terry: scores with doubt clustered by prompt or by rater, and ranks.

Scores are in logits, their mean over the determined items 0; ``elo_scale`` gives the usual numbers.
A weak prior keeps the score of an undefeated item finite; how far such an item is ahead is then the
prior's word, so it is named in ``undetermined_I`` and its interval is wide.

Shapes: N comparisons, D distinct rows of the design, I items, F covariates, T = I + F, C clusters,
R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, hstack
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from plaudit.statistics.comparisons import Comparisons
from plaudit.statistics.intervals import normal_quantile
from plaudit.statistics.votes import Floats, Integers
from plaudit.statistics.win_rate import fit_logistic

Booleans = NDArray[np.bool_]
PRIOR_PRECISION = 1e-3
"""Of a score: a standard deviation of 32 logits. An item that won all of 10 comparisons is put
about 7 logits ahead; one with 100 of mixed outcome is moved by a ten-thousandth of its score."""
COVARIATE_PRECISION = 0.01
FEW_CLUSTERS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """Scores of items with their intervals."""

    scores_I: Floats
    low_I: Floats
    high_I: Floats
    covariance_TT: Floats
    """Of scores, then effects: by the sandwich, or of a bootstrap's resamples."""
    ranks_I: Integers
    """1 + the number of items that are surely better: whose low end is above this one's high."""
    effects_F: Floats
    """Of the covariates, in logits a unit."""
    undetermined_I: Booleans
    """Items that never both won and lost against the main group, by whatever path."""
    warnings: tuple[str, ...]


def bradley_terry(
    data: Comparisons,
    clusters_N: ArrayLike | None = None,
    covariates_NF: ArrayLike | None = None,
    *,
    weights_N: ArrayLike | None = None,
    confidence: float = 0.95,
    prior_precision: float = PRIOR_PRECISION,
) -> Leaderboard:
    """``P(i over j) = sigma(s_i - s_j + e . z)`` by maximum likelihood (Bradley & Terry 1952).

    A tie counts once, as half a win each. The covariance is ``H^-1 G H^-1`` with ``H = sum_n w_n
    p_n (1 - p_n) x_n x_n' + prior`` and ``G = C / (C - 1) sum_c u_c u_c' + prior``, ``u_c = sum_(n
    in c) w_n (y_n - p_n) x_n``: scores of the likelihood are summed within a cluster before they
    are squared, so that repeated rows, both orders of a pair or a rater's habit do not pass for
    independent votes (Liang & Zeger 1986). With the prior in G a direction that no data speak of
    is as doubtful as the prior; undetermined items take the larger of this and ``H^-1``.

    Args:
        clusters_N: the prompt (or the rater) of each row; every row its own by default.
        covariates_NF: differences between i and j in style, such as ``style_differences``; the
            scores are then those at equal style.
        weights_N: such as ``1 / max(n_pair, 50)`` to undo a sampler's preference for some pairs.

    Raises:
        ValueError: lengths that differ, or fewer than two clusters.
    """
    design_NT, ridge_T = _design(data, covariates_NF, prior_precision)
    weights = _weights(weights_N, len(data))
    found_T = fit_logistic(weights, design_NT, data.won_N, ridge_T, np.zeros(len(ridge_T)))
    undetermined_I, warnings = _undetermined(data)
    centre_TT = _centring(undetermined_I, len(ridge_T))
    robust_TT, model_TT = _covariances(
        found_T, data, design_NT, weights, ridge_T, _clusters(clusters_N, len(data))
    )
    covariance_TT = centre_TT @ robust_TT @ centre_TT.T
    by_model_TT = centre_TT @ model_TT @ centre_TT.T
    half_I = _half_widths(covariance_TT, by_model_TT, undetermined_I, confidence)
    centred_T = centre_TT @ found_T
    scores_I = centred_T[: data.items]
    return Leaderboard(
        scores_I=scores_I,
        low_I=scores_I - half_I,
        high_I=scores_I + half_I,
        covariance_TT=covariance_TT,
        ranks_I=rank_by_intervals(scores_I - half_I, scores_I + half_I),
        effects_F=centred_T[data.items :],
        undetermined_I=undetermined_I,
        warnings=warnings + _few(_clusters(clusters_N, len(data))),
    )


def bradley_terry_bootstrap(
    data: Comparisons,
    clusters_N: ArrayLike,
    covariates_NF: ArrayLike | None = None,
    *,
    resamples: int = 500,
    seed: int = 0,
    confidence: float = 0.95,
    prior_precision: float = PRIOR_PRECISION,
) -> Leaderboard:
    """As ``bradley_terry``, with percentile intervals under resampling of whole clusters.

    Equal rows are merged first, so that a resample of clusters is a new weight for each distinct
    row, and each fit begins from that of all rows. Scores are those of the fit on all rows, never
    a mean of resamples. Call it once by prompt and once by rater: the wider interval is the one
    to believe.

    Raises:
        ValueError: lengths that differ, or fewer than two clusters.
    """
    whole = bradley_terry(
        data, clusters_N, covariates_NF, confidence=confidence, prior_precision=prior_precision
    )
    cluster_N, count = _numbered(_clusters(clusters_N, len(data)))
    design_NT, ridge_T = _design(data, covariates_NF, prior_precision)
    rows_DT, won_D, at_N = _distinct(data, covariates_NF, design_NT)
    weight_CD = csr_array((np.ones(len(data)), (cluster_N, at_N)), shape=(count, len(won_D)))
    start_T = np.append(whole.scores_I, whole.effects_F)
    rng = np.random.default_rng(seed)
    values_RT = np.empty((resamples, len(ridge_T)))
    for r in range(resamples):
        drawn_C = np.bincount(rng.integers(count, size=count), minlength=count).astype(float)
        values_RT[r] = fit_logistic(weight_CD.T @ drawn_C, rows_DT, won_D, ridge_T, start_T)
    values_RT = values_RT @ _centring(whole.undetermined_I, len(ridge_T)).T
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low_I, high_I = np.quantile(values_RT[:, : data.items], ends, axis=0)
    # Every resample of a separated item is separated, and says nothing of how far.
    low_I = np.where(whole.undetermined_I, whole.low_I, low_I)
    high_I = np.where(whole.undetermined_I, whole.high_I, high_I)
    return replace(
        whole,
        low_I=low_I,
        high_I=high_I,
        covariance_TT=np.cov(values_RT.T),
        ranks_I=rank_by_intervals(low_I, high_I),
    )


def elo_scale(scores: ArrayLike, anchor: float = 1000.0, scale: float = 400.0) -> Floats:
    """``anchor + scale / ln 10 * s``: 400 points more are ten to one."""
    return anchor + scale / np.log(10) * np.asarray(scores, dtype=float)


def rank_by_intervals(low_I: ArrayLike, high_I: ArrayLike) -> Integers:
    """``1 + #{j : low_j > high_i}``: items whose intervals overlap may share a rank."""
    low, high = np.asarray(low_I, dtype=float), np.asarray(high_I, dtype=float)
    return 1 + (low[None] > high[:, None]).sum(axis=1)


def style_differences(of_i_NF: ArrayLike, of_j_NF: ArrayLike) -> Floats:
    """``z = (x_i - x_j) / (x_i + x_j)``, then divided by its root mean square, [N, F].

    Of counts such as tokens, headers, list items and bold words (FastChat's style control). It is
    not centred, so that 0 keeps meaning equal style and swapping i and j changes only the sign. A
    column that never differs stays 0.

    Raises:
        ValueError: shapes that differ, or a count below 0.
    """
    i, j = np.asarray(of_i_NF, dtype=float), np.asarray(of_j_NF, dtype=float)
    if i.shape != j.shape or i.ndim != 2 or (i < 0).any() or (j < 0).any():
        raise ValueError(f"style counts of {i.shape} and {j.shape}; expected two tables from 0 up")
    relative_NF = np.divide(i - j, i + j, out=np.zeros_like(i), where=i + j > 0)
    size_F = np.sqrt((relative_NF**2).mean(axis=0))
    return relative_NF / np.where(size_F > 0, size_F, 1)


def _design(
    data: Comparisons, covariates_NF: ArrayLike | None, prior_precision: float
) -> tuple[csr_array, Floats]:
    differences_NI = data.differences_NI()
    if covariates_NF is None:
        return differences_NI, np.full(data.items, prior_precision)
    covariates = np.asarray(covariates_NF, dtype=float)
    if covariates.ndim != 2 or len(covariates) != len(data):
        raise ValueError(f"covariates of shape {covariates.shape}; expected {len(data)} rows")
    ridge_F = np.full(covariates.shape[1], COVARIATE_PRECISION)
    ridge_T = np.append(np.full(data.items, prior_precision), ridge_F)
    return csr_array(hstack([differences_NI, csr_array(covariates)])), ridge_T


def _covariances(
    found_T: Floats,
    data: Comparisons,
    design_NT: csr_array,
    weights_N: Floats,
    ridge_T: Floats,
    clusters_N: np.ndarray,
) -> tuple[Floats, Floats]:
    """The sandwich, and the inverse Hessian."""
    cluster_N, count = _numbered(clusters_N)
    p_N = expit(design_NT @ found_T)
    curved_NT = design_NT * (weights_N * p_N * (1 - p_N))[:, None]
    hessian_TT = (design_NT.T @ curved_NT).toarray() + np.diag(ridge_T)
    residual_N = weights_N * (data.won_N - p_N)
    member_CN = csr_array((residual_N, (cluster_N, np.arange(len(data)))), (count, len(data)))
    score_CT = csr_array(member_CN @ design_NT)
    meat_TT = count / (count - 1) * (score_CT.T @ score_CT).toarray() + np.diag(ridge_T)
    inverse_TT = np.linalg.inv(hessian_TT)
    return inverse_TT @ meat_TT @ inverse_TT, inverse_TT


def _half_widths(
    covariance_TT: Floats, by_model_TT: Floats, undetermined_I: Booleans, confidence: float
) -> Floats:
    """Of the scores' intervals; where nothing is determined, the larger of the two variances."""
    items = len(undetermined_I)
    variance_I, by_model_I = np.diag(covariance_TT)[:items], np.diag(by_model_TT)[:items]
    larger_I = np.maximum(variance_I, by_model_I)
    return normal_quantile(confidence) * np.sqrt(np.where(undetermined_I, larger_I, variance_I))


def _centring(undetermined_I: Booleans, size: int) -> Floats:
    """The matrix that takes the mean score of the determined items from all scores, [T, T]."""
    matrix_TT = np.eye(size)
    determined_I = ~undetermined_I
    items = len(undetermined_I)
    matrix_TT[:items, :items] -= determined_I / determined_I.sum()
    return matrix_TT


def _distinct(
    data: Comparisons, covariates_NF: ArrayLike | None, design_NT: csr_array
) -> tuple[csr_array, Floats, Integers]:
    """The distinct rows with their outcomes, and which of them each row is."""
    columns = [data.i_N[:, None], data.j_N[:, None], data.won_N[:, None]]
    if covariates_NF is not None:
        columns.append(np.asarray(covariates_NF, dtype=float))
    _, first_D, at_N = np.unique(np.hstack(columns), axis=0, return_index=True, return_inverse=True)
    return csr_array(design_NT[first_D]), data.won_N[first_D], at_N.reshape(-1)


def _clusters(clusters_N: ArrayLike | None, size: int) -> np.ndarray:
    clusters = np.arange(size) if clusters_N is None else np.asarray(clusters_N)
    if clusters.shape != (size,):
        raise ValueError(f"clusters of shape {clusters.shape}; expected one for each of {size}")
    return clusters


def _numbered(clusters_N: np.ndarray) -> tuple[Integers, int]:
    names_C, cluster_N = np.unique(clusters_N, return_inverse=True)
    if len(names_C) < 2:
        raise ValueError("one cluster of rows: an interval needs at least 2, better 20 or more")
    return cluster_N.reshape(-1), len(names_C)


def _few(clusters_N: np.ndarray) -> tuple[str, ...]:
    count = len(np.unique(clusters_N))
    if count >= FEW_CLUSTERS:
        return ()
    return (f"only {count} clusters: intervals are too narrow below about {FEW_CLUSTERS}",)


def _weights(weights_N: ArrayLike | None, size: int) -> Floats:
    weights = np.ones(size) if weights_N is None else np.asarray(weights_N, dtype=float)
    if weights.shape != (size,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"weights of shape {weights.shape}; expected {size} numbers from 0 up")
    return weights


def _undetermined(data: Comparisons) -> tuple[Booleans, tuple[str, ...]]:
    """Items outside the largest group in which everyone can be reached by wins (Ford 1957)."""
    i_won_N, j_won_N = data.won_N > 0, data.won_N < 1
    winner = np.concatenate([data.i_N[i_won_N], data.j_N[j_won_N]])
    loser = np.concatenate([data.j_N[i_won_N], data.i_N[j_won_N]])
    beats = csr_array((np.ones(len(winner)), (winner, loser)), (data.items, data.items))
    parts, _ = connected_components(beats, directed=False)
    _, group_I = connected_components(beats, directed=True, connection="strong")
    outside_I = group_I != np.bincount(group_I).argmax()
    warnings = []
    if parts > 1:
        warnings.append(
            f"items fall into {parts} groups that were never compared with one another; scores"
            " compare within a group only"
        )
    if outside_I.any():
        warnings.append(
            f"{outside_I.sum()} items always win or always lose against the rest: how far apart"
            " they are is not determined by the data"
        )
    return outside_I, tuple(warnings)

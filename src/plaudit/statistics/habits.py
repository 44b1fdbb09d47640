"""Measures of one rater against the others: accuracy, sides, length, time.

Everything is held against what the *others* say: the consensus of an item without the rater's own
vote. So one who likes length is told from one who agrees with a truth that is often the longer
one: an honest rater departs from the others as often where they find the shorter better as where
they find the longer better; a lover of length departs where they find the shorter better.

Shapes: N votes, I pairs, W raters, K labels (0 the first candidate, 1 the second, 2 a tie), G
values of an accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betainc, gammaln

from plaudit.statistics.dawid_skene import OneCoin
from plaudit.statistics.expectation import softmax
from plaudit.statistics.majority import clamped
from plaudit.statistics.votes import UNKNOWN, Floats, Integers, Votes, sums

Booleans = NDArray[np.bool_]
TIE = 2
GRID = np.linspace(0.005, 0.995, 199)
MAD_TO_SD = 1.4826
CLEAR = 0.6
"""The others prefer a candidate where they give it at least this probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairVotes:
    """Votes on pairs, with what is needed to see habits."""

    votes: Votes
    left_N: Integers
    """Which candidate stood left: 0, 1, or ``UNKNOWN``."""
    longer_I: Integers
    """Which candidate is longer: 0, 1, or ``UNKNOWN`` where they are about equal."""
    seconds_N: Floats
    """Time taken, NaN where not known."""
    gold_I: Integers
    """The right label, or ``UNKNOWN``."""


def gold_below(right: ArrayLike, wrong: ArrayLike, floor: float) -> Floats:
    """``P(accuracy < floor | right, wrong)`` under a uniform prior: Beta(1 + right, 1 + wrong)."""
    return betainc(1 + np.asarray(right), 1 + np.asarray(wrong), floor)


def decided(pairs: PairVotes) -> PairVotes:
    """The votes that are no ties, as votes of two labels; gold that is a tie is not known."""
    kept_N = pairs.votes.labels_N != TIE
    return PairVotes(
        votes=replace(pairs.votes.chosen(kept_N), labels=2),
        left_N=pairs.left_N[kept_N],
        longer_I=pairs.longer_I,
        seconds_N=pairs.seconds_N[kept_N],
        gold_I=np.where(pairs.gold_I == TIE, UNKNOWN, pairs.gold_I),
    )


def holm(p_W: ArrayLike) -> Floats:
    """P-values adjusted for their number (Holm 1979): the i-th smallest of m times m - i + 1, kept
    from falling and at most 1. NaN is not a test and stays.
    """
    p = np.asarray(p_W, dtype=float)
    adjusted = np.full_like(p, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def robust_z(values_W: ArrayLike) -> Floats:
    """``(x - median) / (1.4826 MAD)``: outliers do not hide themselves by widening the spread.

    Where more than half of the values are equal, 0 for those and infinite for the others.
    """
    values = np.asarray(values_W, dtype=float)
    if np.isnan(values).all():
        return values.copy()
    gap = values - np.nanmedian(values)
    spread = MAD_TO_SD * np.nanmedian(np.abs(gap))
    if spread > 0:
        return gap / spread
    return np.where((gap == 0) | np.isnan(gap), gap, np.copysign(np.inf, gap))


def consensus_of_others(
    votes: Votes, gold_I: Integers, trusted: OneCoin, weight_W: Floats
) -> Floats:
    """The posterior of each vote's item without that vote, [N, K].

    With ``trusted`` accuracies: ``log pi_k + sum_(v != w) u_v 1[l_iv = k] log(a_v (K - 1) /
    (1 - a_v))``, ``u_v`` 1 or, for those left out, 0. Gold items are certain.
    """
    gain_W = weight_W * np.log(trusted.accuracy_W * (votes.labels - 1) / (1 - trusted.accuracy_W))
    gain_N = gain_W[votes.raters_N]
    log_NK = (np.log(trusted.prior_K) + votes.counts_IK(gain_N))[votes.items_N]
    log_NK[np.arange(len(votes)), votes.labels_N] -= gain_N
    return clamped(softmax(log_NK), gold_I[votes.items_N])


def accuracy_posterior(votes: Votes, others_NK: Floats) -> Floats:
    """``p(a) prop prod_n (a q_n + (1 - a) (1 - q_n) / (K - 1))`` on ``GRID``, [W, 199].

    ``q_n`` is what the others give the rater's label: a vote on an item where they are at odds
    says little of him, one on gold (q 0 or 1) as much as can be; on gold alone it is Beta(1 +
    right, 1 + wrong).
    """
    q_N = others_NK[np.arange(len(votes)), votes.labels_N]
    wrong_N = (1 - q_N) / (votes.labels - 1)
    log_WG = np.stack(
        [sums(votes.raters_N, np.log(a * q_N + (1 - a) * wrong_N), votes.raters) for a in GRID],
        axis=1,
    )
    return softmax(log_WG)


def agreement_z(votes: Votes, others_NK: Floats, accuracy: float) -> Floats:
    """``(sum_n q_n - E) / sd``, [W]: agreement with others against a rater of mean accuracy.

    Such a one gives label k with probability ``p_k = a q_k + (1 - a) (1 - q_k) / (K - 1)``, which
    is then worth ``q_k``; items on which the others are at odds count little for either.
    """
    p_NK = accuracy * others_NK + (1 - accuracy) * (1 - others_NK) / (votes.labels - 1)
    mean_N = (p_NK * others_NK).sum(axis=1)
    variance_N = (p_NK * others_NK**2).sum(axis=1) - mean_N**2
    gap_N = others_NK[np.arange(len(votes)), votes.labels_N] - mean_N
    gap_W = sums(votes.raters_N, gap_N, votes.raters)
    variance_W = sums(votes.raters_N, variance_N, votes.raters)
    return ratio(gap_W, np.sqrt(variance_W))


def left_counts(pairs: PairVotes) -> tuple[Integers, Integers]:
    """How often each rater took the left one, and of how many decided votes, [W] each."""
    shown_N = pairs.left_N != UNKNOWN
    took_left_N = shown_N & (pairs.votes.labels_N == pairs.left_N)
    return count(pairs.votes, took_left_N), count(pairs.votes, shown_N)


def two_sided_binomial(successes: ArrayLike, trials: ArrayLike) -> Floats:
    """The exact p-values of a rate of one half; NaN without trials."""
    k, n = np.asarray(successes), np.asarray(trials)
    p = np.minimum(2 * bdtr(np.minimum(k, n - k).astype(float), n, 0.5), 1.0)
    return np.where(n > 0, p, np.nan)


def fisher_exact(table: ArrayLike) -> float:
    """The two-sided p-value of equal rates in the rows of a table of 2 x 2 counts.

    The sum of the hypergeometric probabilities that are no larger than that of the table (Fisher
    1934); 1 where a row or column is empty.
    """
    (a, b), (c, d) = np.asarray(table, dtype=int)
    first = np.arange(max(0, a - d), min(a + b, a + c) + 1)
    cells = np.stack([first, a + b - first, a + c - first, d - a + first])
    log_p = -gammaln(cells + 1.0).sum(axis=0)
    p = np.exp(log_p - log_p.max())
    return float(p[p <= p[a - first[0]] * (1 + 1e-7)].sum() / p.sum())


def towards_longer(pairs: PairVotes, others_NK: Floats) -> tuple[Floats, Floats]:
    """Whether a rater departs from the others towards the longer candidate, [W] each.

    ``departed / all`` where the others clearly prefer the shorter, less the same where they prefer
    the longer; 0 for one who errs evenly, 1 for one who always takes the longer.

    Returns:
        the difference, and Fisher's exact p-value (two-sided) of the two rates.
    """
    votes = pairs.votes
    longer_N = pairs.longer_I[votes.items_N]
    known_N = longer_N != UNKNOWN
    longer_q_N = others_NK[np.arange(len(votes)), np.maximum(longer_N, 0)]
    took_longer_N = votes.labels_N == longer_N
    tables = []
    for prefers_N, departed_N in (
        (known_N & (1 - longer_q_N >= CLEAR), took_longer_N),
        (known_N & (longer_q_N >= CLEAR), ~took_longer_N),
    ):
        tables.append([count(votes, prefers_N & departed_N), count(votes, prefers_N & ~departed_N)])
    table_WRC = np.moveaxis(np.array(tables), 2, 0)
    rate_WR = ratio(table_WRC[:, :, 0], table_WRC.sum(axis=2))
    p_W = [fisher_exact(table) if table.sum(1).all() else np.nan for table in table_WRC]
    return rate_WR[:, 0] - rate_WR[:, 1], np.array(p_W, dtype=float)


def median_seconds(pairs: PairVotes) -> Floats:
    """The median time of each rater's votes, [W]; NaN without any."""
    found_W = np.full(pairs.votes.raters, np.nan)
    known_N = np.isfinite(pairs.seconds_N) & (pairs.seconds_N > 0)
    order = np.argsort(pairs.votes.raters_N[known_N], kind="stable")
    raters, begins = np.unique(pairs.votes.raters_N[known_N][order], return_index=True)
    for rater, seconds in zip(
        raters, np.split(pairs.seconds_N[known_N][order], begins[1:]), strict=False
    ):
        found_W[rater] = np.median(seconds)
    return found_W


def count(votes: Votes, which_N: Booleans) -> Integers:
    """How many of each rater's votes are among these, [W]."""
    return np.bincount(votes.raters_N[which_N], minlength=votes.raters)


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """``above / below``, NaN where there is nothing below."""
    over, under = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0)

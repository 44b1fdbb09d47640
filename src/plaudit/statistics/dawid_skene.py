"""Dawid-Skene: the truth and how each rater errs, estimated together.

``one_coin`` knows one accuracy a rater: for few votes each. ``dawid_skene`` knows a confusion
matrix a rater, shrunk to that of all raters together, which also sees habits (pressing left, never
saying tie). Both are maxima of the posterior by expectation-maximisation in log space, begun from
the majority (``expectation``). Neither knows that some items are harder than others: ``glad`` does.

Shapes: N votes, I items, W raters, K labels (true, then given).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.special import gammaln

from plaudit.statistics.expectation import MAX_ITERATIONS, iterate, label_prior
from plaudit.statistics.majority import majority
from plaudit.statistics.votes import Floats, Votes, sums

ACCURACY_PRIOR = (4.0, 2.0)
"""Beta(4, 2): a rater of whom nothing is known is right 2 times in 3; it weighs as 6 votes."""
STRENGTHS = tuple(float(2 ** (e / 2)) for e in range(17))
"""1 to 256 votes: how much the pooled confusion's row may count in a rater's own."""
STRENGTH_ROUNDS = 6
STRENGTH_ITERATIONS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class OneCoin:
    """What one-coin Dawid-Skene found."""

    posterior_IK: Floats
    accuracy_W: Floats
    """The probability that the rater gives the true label."""
    prior_K: Floats
    iterations: int
    converged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DawidSkene:
    """What full Dawid-Skene found."""

    posterior_IK: Floats
    confusion_WKK: Floats
    """``P(rater says l | truth k)`` at [w, k, l]; rows sum to 1."""
    prior_K: Floats
    strength: float
    """Of the prior round the pooled confusion, in votes a row."""
    iterations: int
    converged: bool

    @property
    def accuracy_W(self) -> Floats:
        """The probability that the rater gives the true label of an item drawn at random."""
        return np.einsum("wkk,k->w", self.confusion_WKK, self.prior_K)


def one_coin(
    votes: Votes,
    gold_I: ArrayLike | None = None,
    *,
    accuracy_prior: tuple[float, float] = ACCURACY_PRIOR,
    max_iterations: int = MAX_ITERATIONS,
) -> OneCoin:
    """One accuracy ``a_w`` a rater, errors spread evenly over the other labels.

    E: ``log T_i(k) = log pi_k + sum_w (1[l = k] log a_w + 1[l != k] log((1 - a_w) / (K - 1)))``;
    M: ``a_w = (sum_i T_i(l_iw) + alpha) / (n_w + alpha + beta)``, ``pi_k`` likewise (Dawid & Skene
    1979 with one parameter a rater; the M step is the mode under Beta(alpha + 1, beta + 1)). Items
    of gold have their T fixed, and count.

    Raises:
        ValueError: fewer than two labels, or a prior that is not positive.
    """
    alpha, beta = _positive("accuracy_prior", *accuracy_prior)
    cast_W = np.bincount(votes.raters_N, minlength=votes.raters)

    def maximise(posterior_IK: Floats, _: object) -> tuple[Floats, Floats]:
        given_N = posterior_IK[votes.items_N, votes.labels_N]
        right_W = sums(votes.raters_N, given_N, votes.raters)
        return (right_W + alpha) / (cast_W + alpha + beta), label_prior(posterior_IK)

    def expect(parameters: tuple[Floats, Floats]) -> Floats:
        accuracy_W, prior_K = parameters
        gain_W = np.log(accuracy_W * (votes.labels - 1) / (1 - accuracy_W))
        return np.log(prior_K) + votes.counts_IK(gain_W[votes.raters_N])

    found = iterate(votes, gold_I, maximise, expect, max_iterations)
    return OneCoin(
        posterior_IK=found.posterior_IK,
        accuracy_W=found.parameters[0],
        prior_K=found.parameters[1],
        iterations=found.iterations,
        converged=found.converged,
    )


def weighted_majority(votes: Votes, gold_I: ArrayLike | None = None) -> OneCoin:
    """``share_i(k) = sum_w v_w 1[l_iw = k] / sum_w v_w`` in place of the posterior of ``one_coin``.

    ``v_w = max(0, log a_w (K - 1) / (1 - a_w))``, the log-odds of its accuracies: what a rater's
    word weighs where all err evenly (Nitzan & Paroush 1982). A share, not a probability.

    Raises:
        ValueError: fewer than two labels.
    """
    found = one_coin(votes, gold_I)
    odds_W = found.accuracy_W * (votes.labels - 1) / (1 - found.accuracy_W)
    weighed = majority(votes, gold_I, np.maximum(np.log(odds_W), 0))
    return replace(found, posterior_IK=weighed.posterior_IK)


def dawid_skene(
    votes: Votes,
    gold_I: ArrayLike | None = None,
    *,
    strength: float | None = None,
    max_iterations: int = MAX_ITERATIONS,
) -> DawidSkene:
    """A confusion matrix a rater, with a Dirichlet prior round that of all raters.

    E: ``log T_i(k) = log pi_k + sum_w log C_w[k, l_iw]``; M: ``C_w[k, l] = (n_w[k, l] + s P[k, l])
    / (n_w[k] + s)`` with ``n_w[k, l] = sum_i T_i(k) 1[l_iw = l]``, ``P`` the pooled confusion
    (itself with one right and one even vote in each row) and ``s`` the ``strength`` (Dawid & Skene
    1979; the hierarchy as in Paun et al. 2018). A rater of few votes is thus taken for an average
    one. Where no strength is given it is estimated: fit a little, take the ``s`` under which the
    raters' counts are likeliest (``likeliest_strength``) until it stays, and fit on.

    Raises:
        ValueError: fewer than two labels, or a strength that is not positive.
    """
    if strength is not None:
        _positive("strength", strength)
        return _with_strength(votes, gold_I, strength, max_iterations)
    given_IC = votes.given_IC()
    start = _with_strength(votes, gold_I, STRENGTHS[len(STRENGTHS) // 2], STRENGTH_ITERATIONS)
    for _ in range(STRENGTH_ROUNDS):
        likeliest = likeliest_strength(confusion_counts(given_IC, start.posterior_IK))
        if likeliest == start.strength:
            break
        start = _with_strength(votes, gold_I, likeliest, STRENGTH_ITERATIONS, start.posterior_IK)
    return _with_strength(votes, gold_I, start.strength, max_iterations, start.posterior_IK)


def _with_strength(
    votes: Votes,
    gold_I: ArrayLike | None,
    strength: float,
    max_iterations: int,
    start_IK: Floats | None = None,
) -> DawidSkene:
    given_IC = votes.given_IC()

    def maximise(posterior_IK: Floats, _: object) -> tuple[Floats, Floats]:
        counts_WKK = confusion_counts(given_IC, posterior_IK)
        pooled_KK = pooled_confusion(counts_WKK)
        total_WK1 = counts_WKK.sum(axis=2, keepdims=True)
        confusion_WKK = (counts_WKK + strength * pooled_KK) / (total_WK1 + strength)
        return confusion_WKK, label_prior(posterior_IK)

    def expect(parameters: tuple[Floats, Floats]) -> Floats:
        confusion_WKK, prior_K = parameters
        return np.log(prior_K) + label_evidence(given_IC, np.log(confusion_WKK))

    found = iterate(votes, gold_I, maximise, expect, max_iterations, start_IK)
    return DawidSkene(
        posterior_IK=found.posterior_IK,
        confusion_WKK=found.parameters[0],
        prior_K=found.parameters[1],
        strength=strength,
        iterations=found.iterations,
        converged=found.converged,
    )


def likeliest_strength(counts_WKK: Floats) -> float:
    """The ``s`` of ``STRENGTHS`` with the largest Dirichlet-multinomial likelihood of the counts.

    ``sum_wk log G(s) - log G(n_wk + s) + sum_l log G(n_wkl + s P_kl) - log G(s P_kl)``: small where
    raters differ from one another, large where they differ no more than by chance.
    """
    pooled_KK = pooled_confusion(counts_WKK)
    total_WK = counts_WKK.sum(axis=2)

    def log_likelihood(strength: float) -> float:
        rows_WK = gammaln(strength) - gammaln(total_WK + strength)
        prior_KK = strength * pooled_KK
        return float(rows_WK.sum() + (gammaln(counts_WKK + prior_KK) - gammaln(prior_KK)).sum())

    return max(STRENGTHS, key=log_likelihood)


def confusion_counts(given_IC: csr_array, posterior_IK: Floats) -> Floats:
    """``n_w[k, l]``: the expected number of a rater's labels ``l`` where the truth is ``k``.

    ``given_IC`` is ``Votes.given_IC()``: one sparse product, where votes are in millions.
    """
    labels = posterior_IK.shape[1]
    return (given_IC.T @ posterior_IK).reshape(-1, labels, labels).transpose(0, 2, 1)


def pooled_confusion(counts_WKK: Floats) -> Floats:
    """The confusion of all raters together, [K, K], with one right and one even vote a row."""
    labels = counts_WKK.shape[1]
    counts_KK = counts_WKK.sum(axis=0) + np.eye(labels) + 1 / labels
    return counts_KK / counts_KK.sum(axis=1, keepdims=True)


def label_evidence(given_IC: csr_array, log_confusion_WKK: Floats) -> Floats:
    """``sum_w log C_w[k, l_iw]``, [I, K]: what the votes on each item say of each label."""
    labels = log_confusion_WKK.shape[1]
    return given_IC @ log_confusion_WKK.transpose(0, 2, 1).reshape(-1, labels)


def _positive(name: str, *values: float) -> tuple[float, ...]:
    if not all(np.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"{name} is {values}; expected numbers above 0")
    return values

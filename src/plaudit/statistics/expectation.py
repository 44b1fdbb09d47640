"""Expectation-maximisation of a truth behind votes, and its start and guard.

Shapes: N votes, I items, K labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from plaudit.statistics.majority import clamped, normalised
from plaudit.statistics.votes import Floats, Integers, Votes, gold_labels, sums

MAX_ITERATIONS = 300
TOLERANCE = 1e-4
"""Iteration stops when no posterior moves by more: far less than votes leave in doubt."""
LABEL_PRIOR = 1.0
"""A pseudo-count of each label among the items."""

Parameters = TypeVar("Parameters")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted(Generic[Parameters]):
    """Where the iteration ended."""

    posterior_IK: Floats
    parameters: Parameters
    iterations: int
    converged: bool


def iterate(
    votes: Votes,
    gold_I: ArrayLike | None,
    maximise: Callable[[Floats, Parameters | None], Parameters],
    expect: Callable[[Parameters], Floats],
    max_iterations: int = MAX_ITERATIONS,
    start_IK: Floats | None = None,
) -> Fitted[Parameters]:
    """Alternate ``maximise(posterior_IK, last parameters)`` and ``expect(parameters)``.

    ``expect`` returns log-posteriors up to a constant a row. It begins from shares of the vote, or
    ``start_IK``; items of gold stay certain. Once, where it has converged on renamed labels, it is
    set right.

    Raises:
        ValueError: there is only one label.
    """
    if votes.labels < 2:
        raise ValueError("there is one label only; a consensus needs at least two to choose from")
    gold = gold_labels(gold_I, votes.items, votes.labels)
    posterior_IK = normalised(votes.counts_IK()) if start_IK is None else start_IK
    posterior_IK = clamped(posterior_IK, gold)
    parameters = maximise(posterior_IK, None)
    may_turn = True
    for iteration in range(1, max_iterations + 1):
        new_IK = clamped(softmax(expect(parameters)), gold)
        moved = float(np.abs(new_IK - posterior_IK).max())
        posterior_IK = new_IK
        if moved < TOLERANCE:
            order_K = renaming(votes, posterior_IK) if may_turn else None
            if order_K is None:
                return Fitted(
                    posterior_IK=posterior_IK,
                    parameters=parameters,
                    iterations=iteration,
                    converged=True,
                )
            posterior_IK, may_turn = clamped(posterior_IK[:, order_K], gold), False
        parameters = maximise(posterior_IK, parameters)
    return Fitted(
        posterior_IK=posterior_IK,
        parameters=parameters,
        iterations=max_iterations,
        converged=False,
    )


def renaming(votes: Votes, posterior_IK: Floats) -> Integers | None:
    """The order of columns that undoes renamed labels, or nothing where none are renamed.

    A likelihood does not know which label is called what. They count as renamed when votes agree
    with the posterior less often than chance, ``1 / K``, and another order agrees more often.
    """
    agreed_KK = np.stack([row_counts(votes, posterior_IK[:, k]) for k in range(votes.labels)])
    if np.trace(agreed_KK) >= len(votes) / votes.labels:
        return None
    truth_K, given_K = linear_sum_assignment(agreed_KK, maximize=True)
    order_K = truth_K[np.argsort(given_K)]
    return None if (order_K == np.arange(votes.labels)).all() else order_K


def row_counts(votes: Votes, weights_I: Floats) -> Floats:
    """The weight of the items to which each label was given, [K]."""
    return sums(votes.labels_N, weights_I[votes.items_N], votes.labels)


def label_prior(posterior_IK: Floats) -> Floats:
    """How common each label is, [K], with a pseudo-count each."""
    total_K = posterior_IK.sum(axis=0) + LABEL_PRIOR
    return total_K / total_K.sum()


def softmax(log_IK: Floats) -> Floats:
    """Probabilities from logarithms, row by row."""
    return np.exp(log_IK - log_totals(log_IK)[:, None])


def log_totals(log_IK: Floats) -> Floats:
    """``log sum_k exp``, [I]."""
    return np.asarray(logsumexp(log_IK, axis=1), dtype=float)

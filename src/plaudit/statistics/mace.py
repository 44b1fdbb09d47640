"""MACE: a rater either knows the answer or spams, and spams in a way of his own.

Shapes: N votes, I items, W raters, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plaudit.statistics.expectation import MAX_ITERATIONS, iterate
from plaudit.statistics.votes import Floats, Votes, sums

COMPETENCE_PRIOR = 0.5
"""Pseudo-votes for knowing and for spamming: the Beta(0.5, 0.5) of the paper."""
SPAM_PRIOR = 1.0
"""Pseudo-votes of each label in a rater's spam."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mace:
    """What MACE found."""

    posterior_IK: Floats
    competence_W: Floats
    """The probability that the rater knows rather than spams."""
    spam_WK: Floats
    """What the rater gives when he spams; a left-clicker's is nearly all of one label."""
    iterations: int
    converged: bool

    @property
    def accuracy_W(self) -> Floats:
        """The probability of the true label where all are equally common."""
        return self.competence_W + (1 - self.competence_W) / self.spam_WK.shape[1]


def mace(
    votes: Votes, gold_I: ArrayLike | None = None, *, max_iterations: int = MAX_ITERATIONS
) -> Mace:
    """``P(l | truth k, w) = theta_w 1[l = k] + (1 - theta_w) xi_w(l)``, every label as common.

    Hovy et al. 2013 (NAACL), section 3, by expectation-maximisation with pseudo-counts from the
    majority, where the paper takes a variational step and the best of several random starts.

    Raises:
        ValueError: fewer than two labels.
    """
    cast_W = np.bincount(votes.raters_N, minlength=votes.raters)
    cells_N = votes.raters_N * votes.labels + votes.labels_N

    def spam_counts(spamming_N: Floats) -> Floats:
        found = sums(cells_N, spamming_N, votes.raters * votes.labels)
        return found.reshape(votes.raters, votes.labels) + SPAM_PRIOR

    def maximise(posterior_IK: Floats, last: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
        knew_N = posterior_IK[votes.items_N, votes.labels_N] * knowing(votes, last)
        known_W = sums(votes.raters_N, knew_N, votes.raters)
        spam_WK = spam_counts(1 - knew_N)
        competence_W = (known_W + COMPETENCE_PRIOR) / (cast_W + 2 * COMPETENCE_PRIOR)
        return competence_W, spam_WK / spam_WK.sum(axis=1, keepdims=True)

    def expect(parameters: tuple[Floats, Floats]) -> Floats:
        competence_W, spam_WK = parameters
        spam_N = ((1 - competence_W)[:, None] * spam_WK)[votes.raters_N, votes.labels_N]
        return votes.counts_IK(np.log1p(competence_W[votes.raters_N] / spam_N))

    found = iterate(votes, gold_I, maximise, expect, max_iterations)
    return Mace(
        posterior_IK=found.posterior_IK,
        competence_W=found.parameters[0],
        spam_WK=found.parameters[1],
        iterations=found.iterations,
        converged=found.converged,
    )


def knowing(votes: Votes, last: tuple[Floats, Floats] | None) -> Floats:
    """``theta / (theta + (1 - theta) xi(l))``, [N]: that a right label was known, not luck."""
    if last is None:
        return np.full(len(votes), votes.labels / (votes.labels + 1))
    competence_W, spam_WK = last
    knew_N = competence_W[votes.raters_N]
    spam_N = (1 - knew_N) * spam_WK[votes.raters_N, votes.labels_N]
    return knew_N / (knew_N + spam_N)

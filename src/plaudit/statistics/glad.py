"""GLAD: raters differ in ability, items in how easy they are.

Shapes: N votes, I items, W raters, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from plaudit.statistics.expectation import log_totals, softmax
from plaudit.statistics.majority import clamped
from plaudit.statistics.votes import UNKNOWN, Floats, Integers, Votes, gold_labels, sums

ABILITY_MEAN, ABILITY_SD = 1.0, 1.0
EASINESS_MEAN, EASINESS_SD = 1.0, 1.0
"""Of the logarithm; the priors of the paper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Glad:
    """What GLAD found."""

    posterior_IK: Floats
    ability_W: Floats
    """``alpha``: 0 guesses, below 0 answers against the truth."""
    easiness_I: Floats
    """``beta`` above 0; near 0 nobody does better than chance."""
    prior_K: Floats
    converged: bool

    @property
    def accuracy_W(self) -> Floats:
        """The probability of the true label of an item of the usual (geometric mean) easiness."""
        return expit(self.ability_W * np.exp(np.log(self.easiness_I).mean()))


def glad(votes: Votes, gold_I: ArrayLike | None = None, *, max_iterations: int = 500) -> Glad:
    """``P(l_iw = truth) = sigma(alpha_w beta_i)``, errors spread evenly over the other labels.

    Whitehill et al. 2009 (NeurIPS): ``alpha ~ N(1, 1)``, ``log beta ~ N(1, 1)``. Instead of EM,
    the likelihood summed over the unknown truth is climbed by L-BFGS: by Fisher's identity its
    derivative by ``x = alpha beta`` of a vote is ``T_i(l) - sigma(x)``, the same that an M step
    would use. At an ability of 0 labels may be renamed; the prior's mean decides which is which.

    Raises:
        ValueError: fewer than two labels.
    """
    if votes.labels < 2:
        raise ValueError("there is one label only; a consensus needs at least two to choose from")
    gold = gold_labels(gold_I, votes.items, votes.labels)
    start = np.concatenate(
        [
            np.full(votes.raters, ABILITY_MEAN),
            np.full(votes.items, EASINESS_MEAN),
            np.zeros(votes.labels),
        ]
    )
    found = minimize(
        glad_loss,
        start,
        args=(votes, gold),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxfun": 2 * max_iterations},
    )
    ability_W, log_easiness_I, logits_K = _parts(found.x, votes)
    posterior_IK, _ = _posterior(found.x, votes, gold)
    return Glad(
        posterior_IK=posterior_IK,
        ability_W=ability_W,
        easiness_I=np.exp(log_easiness_I),
        prior_K=softmax(logits_K[None])[0],
        converged=bool(found.success),
    )


def glad_loss(parameters: Floats, votes: Votes, gold_I: Integers) -> tuple[float, Floats]:
    """The negative log-posterior of ``[ability_W, log easiness_I, prior's logits_K]``.

    Returns:
        the loss, in nats, and its gradient. The logits have a N(0, 1) prior, to be finite.
    """
    ability_W, log_easiness_I, logits_K = _parts(parameters, votes)
    posterior_IK, log_likelihood = _posterior(parameters, votes, gold_I)
    easiness_N = np.exp(log_easiness_I)[votes.items_N]
    x_N = ability_W[votes.raters_N] * easiness_N
    error_N = expit(x_N) - posterior_IK[votes.items_N, votes.labels_N]
    from_ability_W = (ability_W - ABILITY_MEAN) / ABILITY_SD
    from_easiness_I = (log_easiness_I - EASINESS_MEAN) / EASINESS_SD
    loss = -log_likelihood + (logits_K @ logits_K) / 2
    loss += (from_ability_W @ from_ability_W + from_easiness_I @ from_easiness_I) / 2
    prior_K = softmax(logits_K[None])[0]
    gradient = [
        sums(votes.raters_N, error_N * easiness_N, votes.raters) + from_ability_W / ABILITY_SD,
        sums(votes.items_N, error_N * x_N, votes.items) + from_easiness_I / EASINESS_SD,
        votes.items * prior_K - posterior_IK.sum(axis=0) + logits_K,
    ]
    return float(loss), np.concatenate(gradient)


def _posterior(parameters: Floats, votes: Votes, gold_I: Integers) -> tuple[Floats, float]:
    """The truth's posterior, and the log-likelihood summed over what is not known of it."""
    ability_W, log_easiness_I, logits_K = _parts(parameters, votes)
    x_N = ability_W[votes.raters_N] * np.exp(log_easiness_I)[votes.items_N]
    wrong_N = log_expit(-x_N) - np.log(votes.labels - 1)
    wrong_I = sums(votes.items_N, wrong_N, votes.items)
    gain_IK = votes.counts_IK(log_expit(x_N) - wrong_N)
    log_IK = np.log(softmax(logits_K[None])) + wrong_I[:, None] + gain_IK
    # A clamped item's likelihood is that of its one label.
    log_I = log_totals(log_IK)
    known_I = np.flatnonzero(gold_I != UNKNOWN)
    posterior_IK = clamped(np.exp(log_IK - log_I[:, None]), gold_I)
    log_I[known_I] = log_IK[known_I, gold_I[known_I]]
    return posterior_IK, float(log_I.sum())


def _parts(parameters: Floats, votes: Votes) -> tuple[Floats, Floats, Floats]:
    ends = [votes.raters, votes.raters + votes.items]
    ability_W, log_easiness_I, logits_K = np.split(parameters, ends)
    return ability_W, log_easiness_I, logits_K

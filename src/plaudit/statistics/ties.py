"""Paired comparisons in which a tie is an outcome of its own.

Half a win each way (``bradley_terry``) is the quick way and finds nearly the same order; these also
say how likely a tie is. ``davidson`` lets ties depend on how close two items are, ``rao_kupper``
has a threshold below which a difference is not seen.

Shapes: N comparisons, I items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from plaudit.statistics.bradley_terry import PRIOR_PRECISION
from plaudit.statistics.comparisons import Comparisons
from plaudit.statistics.votes import Floats

TIE_PRECISION = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Tied:
    """Scores, in logits with mean 0, and how ties come about."""

    scores_I: Floats
    tie: float
    """Davidson: ``nu``; Rao-Kupper: the threshold ``eta``."""


def davidson(data: Comparisons, prior_precision: float = PRIOR_PRECISION) -> Tied:
    """``P(i) : P(j) : P(tie) = e^s_i : e^s_j : nu e^((s_i + s_j) / 2)`` (Davidson 1970).

    Raises:
        ValueError: an outcome is not 1, 0 or 0.5.
    """
    found = _fit(data, davidson_loss, prior_precision)
    return Tied(scores_I=found[:-1], tie=float(np.exp(found[-1])))


def rao_kupper(data: Comparisons, prior_precision: float = PRIOR_PRECISION) -> Tied:
    """``P(i) = sigma(s_i - s_j - eta)``, ``P(j) = sigma(s_j - s_i - eta)``, ties the rest.

    Rao & Kupper 1967, with ``eta > 0``.

    Raises:
        ValueError: an outcome is not 1, 0 or 0.5.
    """
    found = _fit(data, rao_kupper_loss, prior_precision)
    return Tied(scores_I=found[:-1], tie=float(np.exp(found[-1])))


def davidson_loss(gap_N: Floats, log_nu: float, won_N: Floats) -> tuple[float, Floats, float]:
    """The loss in nats, and its derivatives by each difference of scores and by ``log nu``."""
    logits_3N = np.stack([gap_N / 2, -gap_N / 2, np.full_like(gap_N, log_nu)])
    total_N = np.logaddexp.reduce(logits_3N, axis=0)
    p_3N = np.exp(logits_3N - total_N)
    said_3N = np.stack([won_N == 1, won_N == 0, won_N == 0.5]).astype(float)
    loss = float((total_N - (said_3N * logits_3N).sum(axis=0)).sum())
    error_3N = p_3N - said_3N
    return loss, (error_3N[0] - error_3N[1]) / 2, float(error_3N[2].sum())


def rao_kupper_loss(gap_N: Floats, log_eta: float, won_N: Floats) -> tuple[float, Floats, float]:
    """The loss in nats, and its derivatives by each difference of scores and by ``log eta``."""
    eta = float(np.exp(log_eta))
    above_N, below_N = expit(gap_N - eta), expit(-gap_N - eta)
    # P(tie) = sigma(x + eta) - sigma(x - eta) = sigma(x + eta) sigma(eta - x) (1 - e^(-2 eta)).
    tie_N = log_expit(gap_N + eta) + log_expit(eta - gap_N) + np.log(-np.expm1(-2 * eta))
    log_N = np.select(
        [won_N == 1, won_N == 0], [log_expit(gap_N - eta), log_expit(-gap_N - eta)], tie_N
    )
    by_gap_N = np.select([won_N == 1, won_N == 0], [1 - above_N, below_N - 1], below_N - above_N)
    rest = 2 * np.exp(-2 * eta) / -np.expm1(-2 * eta)
    by_eta_N = np.select(
        [won_N == 1, won_N == 0], [above_N - 1, below_N - 1], below_N + above_N + rest
    )
    return -float(log_N.sum()), -by_gap_N, -float(by_eta_N.sum()) * eta


def _fit(
    data: Comparisons,
    of_gaps: Callable[[Floats, float, Floats], tuple[float, Floats, float]],
    prior_precision: float,
) -> Floats:
    if not np.isin(data.won_N, (0, 0.5, 1)).all():
        raise ValueError("an outcome is not 1, 0 or 0.5 (a tie); soft outcomes have no tie in them")
    differences_NI = data.differences_NI()
    precision = np.append(np.full(data.items, prior_precision), TIE_PRECISION)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        value, by_gap_N, by_tie = of_gaps(
            differences_NI @ parameters[:-1], parameters[-1], data.won_N
        )
        gradient = np.append(differences_NI.T @ by_gap_N, by_tie)
        return value + precision @ parameters**2 / 2, gradient + precision * parameters

    start = np.append(np.zeros(data.items), -1.0)
    options = {"maxiter": 2000, "gtol": 1e-6, "ftol": 1e-13}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return found.x

"""Consensus on pairs that each belong to a prompt of their own, by raters who differ.

No item recurs, so there is nothing to score; each pair has a latent preference instead, which is
summed over, not maximised (with a handful of votes a pair, maxima of both would flatter the
raters: Neyman & Scott 1948). What comes out is a probability for each pair: a soft label.

Shapes: N votes, P pairs, W raters, G values of a preference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from plaudit.statistics.expectation import log_totals
from plaudit.statistics.rater_model import DISCRIMINATION_SD, MAX_ITERATIONS, PULL_SD
from plaudit.statistics.votes import Floats, Integers, gold_labels, sums

PREFERENCE_SD = 2.0**0.5
"""Of a difference of two scores of N(0, 1)."""
SLOPE_SD = 1.0
NODES = 48
_HALF = NODES // 2
GRID_G = PREFERENCE_SD * 4.5 * (np.arange(NODES) - _HALF + 0.5) / _HALF
"""Midpoints from -4.5 to 4.5 standard deviations; none at 0, so that each has a side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairVoting:
    """Votes on pairs of a first and a second candidate; made by ``pair_voting``."""

    pairs_N: Integers
    raters_N: Integers
    won_N: Floats
    """1 where the first candidate was preferred, 0 where the second was, 0.5 for a tie."""
    side_N: Floats
    """1 where the first candidate was shown first (left), -1 where the second was, 0 unknown."""
    longer_P: Floats
    """Length of the first less that of the second, in standard deviations or squashed."""
    gold_P: Integers
    """0 where the first is known to be better, 1 where the second is, else ``UNKNOWN``."""
    raters: int

    def __len__(self) -> int:
        return len(self.pairs_N)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairModel:
    """What was found of pairs and raters."""

    first_better_P: Floats
    """The probability that the first candidate is the better one."""
    discrimination_W: Floats
    first_W: Floats
    """The pull to what is shown first, in logits."""
    longer_W: Floats
    """The pull to the longer beyond what all raters share."""
    length_slope: float
    """``t``: what all raters share of it is taken for the truth, as votes alone cannot tell."""
    converged: bool


def pair_voting(
    pairs_N: ArrayLike,
    raters_N: ArrayLike,
    won_N: ArrayLike,
    *,
    side_N: ArrayLike | None = None,
    longer_P: ArrayLike | None = None,
    gold_P: ArrayLike | None = None,
    pairs: int | None = None,
    raters: int | None = None,
) -> PairVoting:
    """Votes on pairs from arrays; sides, lengths and gold unknown by default.

    Raises:
        ValueError: lengths that differ, an outcome outside [0, 1], or gold that is no side.
    """
    pair_N, rater_N = np.asarray(pairs_N, dtype=np.intp), np.asarray(raters_N, dtype=np.intp)
    won = np.asarray(won_N, dtype=float)
    size = int(pair_N.max()) + 1 if pairs is None else pairs
    side = np.zeros(len(won)) if side_N is None else np.asarray(side_N, dtype=float)
    longer = np.zeros(size) if longer_P is None else np.asarray(longer_P, dtype=float)
    if not len(pair_N) == len(rater_N) == len(won) == len(side) or len(longer) != size:
        raise ValueError(
            f"{len(pair_N)} pairs, {len(rater_N)} raters, {len(won)} outcomes, {len(side)} sides of"
            f" votes and {len(longer)} lengths of {size} pairs; expected as many of each"
        )
    if not ((won >= 0) & (won <= 1)).all():
        raise ValueError("an outcome lies outside [0, 1]; expected 1, 0 or 0.5 (a tie)")
    return PairVoting(
        pairs_N=pair_N,
        raters_N=rater_N,
        won_N=won,
        side_N=side,
        longer_P=longer,
        gold_P=gold_labels(gold_P, size, 2),
        raters=int(rater_N.max()) + 1 if raters is None else raters,
    )


def fit_pair_model(data: PairVoting) -> PairModel:
    """``P(first over second | w) = sigma(a_w d_p + b_w side + c_w x_p)``, summed over ``d_p``.

    ``d_p ~ N(t x_p, 2)`` with ``x_p`` the difference in length and ``t ~ N(0, 1)`` what truth and
    length have in common; raters' priors are those of ``fit_rater_model``. Gold leaves ``d_p`` its
    side only. L-BFGS on the raters' parameters and ``t``; memory is 48 numbers a vote, thrice.
    """
    found = minimize(
        pair_model_loss,
        np.zeros(3 * data.raters + 1),
        args=(data,),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS},
    )
    log_W, first_W, longer_W, slope_1 = _parts(found.x, data)
    posterior_PG, _, _ = _posterior(found.x, data)
    return PairModel(
        first_better_P=posterior_PG[:, GRID_G > 0].sum(axis=1),
        discrimination_W=np.exp(log_W),
        first_W=first_W,
        longer_W=longer_W,
        length_slope=float(slope_1[0]),
        converged=bool(found.success),
    )


def pair_model_loss(parameters: Floats, data: PairVoting) -> tuple[float, Floats]:
    """The negative log-posterior at ``[log a, b, c, t]``, in nats, and its gradient.

    By Fisher's identity the gradient is the mean, over a pair's preference given its votes, of the
    gradient with that preference known.
    """
    posterior_PG, log_likelihood, z_NG = _posterior(parameters, data)
    slope_N = np.exp(parameters[: data.raters])[data.raters_N]
    error_NG = (expit(z_NG) - data.won_N[:, None]) * posterior_PG[data.pairs_N]
    error_N = error_NG.sum(axis=1)
    by_rater = [
        sums(data.raters_N, term_N, data.raters)
        for term_N in (
            slope_N * (error_NG @ GRID_G),
            error_N * data.side_N,
            error_N * data.longer_P[data.pairs_N],
        )
    ]
    gap_P = posterior_PG @ GRID_G - parameters[-1] * data.longer_P
    by_slope = -gap_P @ data.longer_P / PREFERENCE_SD**2
    spread = np.array([DISCRIMINATION_SD, PULL_SD, PULL_SD])
    precision = np.append(np.repeat(spread, data.raters), SLOPE_SD) ** -2.0
    loss = precision @ parameters**2 / 2 - log_likelihood
    return float(loss), np.append(np.concatenate(by_rater), by_slope) + precision * parameters


def _posterior(parameters: Floats, data: PairVoting) -> tuple[Floats, float, Floats]:
    """Each pair's preference given its votes, the log-likelihood, and the logits of votes."""
    log_W, first_W, longer_W, slope_1 = _parts(parameters, data)
    pairs, longer_N = len(data.longer_P), data.longer_P[data.pairs_N]
    pull_N = first_W[data.raters_N] * data.side_N + longer_W[data.raters_N] * longer_N
    z_NG = np.exp(log_W)[data.raters_N, None] * GRID_G + pull_N[:, None]
    votes_NG = data.won_N[:, None] * z_NG - np.logaddexp(0, z_NG)
    columns = [sums(data.pairs_N, votes_NG[:, g], pairs) for g in range(NODES)]
    # Not normalised on the grid: where the mean is far out, the sum over nodes says so.
    from_mean_PG = (GRID_G - slope_1[0] * data.longer_P[:, None]) / PREFERENCE_SD
    log_PG = np.stack(columns, axis=1) - from_mean_PG**2 / 2
    log_PG[(data.gold_P == 0)[:, None] & (GRID_G < 0)] = -np.inf
    log_PG[(data.gold_P == 1)[:, None] & (GRID_G > 0)] = -np.inf
    total_P = log_totals(log_PG)
    return np.exp(log_PG - total_P[:, None]), float(total_P.sum()), z_NG


def _parts(parameters: Floats, data: PairVoting) -> list[Floats]:
    return np.split(parameters, data.raters * np.arange(1, 4))

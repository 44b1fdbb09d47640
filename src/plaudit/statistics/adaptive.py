"""How many votes an item needs: stop when its label is sure enough, or at the most.

Shapes: I items, K labels, L leads of one label over the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from plaudit.statistics.votes import Floats

THRESHOLD = 0.9
ROUNDING = 1e-9
"""A posterior that is the threshold but for rounding (two votes of accuracy 0.75 make 0.9) is."""


def needs_votes(
    posterior_IK: ArrayLike,
    votes_I: ArrayLike,
    *,
    least: int = 2,
    most: int = 5,
    threshold: float = THRESHOLD,
) -> NDArray[np.bool_]:
    """Which items are to be judged again, [I].

    An item is done when it has ``most`` votes, or at least ``least`` and ``max_k T_i(k) >=
    threshold``. With ``least`` 2 and ``most`` 3 this is the third vote on disagreement.

    Raises:
        ValueError: ``least`` above ``most``, a threshold outside (0, 1], or sizes that differ.
    """
    posterior, votes = np.asarray(posterior_IK, dtype=float), np.asarray(votes_I)
    _checked(least, most, threshold)
    if posterior.ndim != 2 or len(posterior) != len(votes):
        raise ValueError(f"posterior of shape {posterior.shape} for {len(votes)} numbers of votes")
    sure_I = (votes >= least) & (posterior.max(axis=1) >= threshold - ROUNDING)
    return np.asarray((votes < most) & ~sure_I, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What an adaptive plan costs and gives, for two labels."""

    votes: float
    """Mean votes an item: ``sum_n P(not stopped before vote n + 1)``."""
    accuracy: float
    """How often the likelier label is the true one; a draw counts half."""


def expected_cost(
    accuracy: float, *, least: int = 2, most: int = 5, threshold: float = THRESHOLD
) -> Cost:
    """Exact cost of ``needs_votes`` with raters of one known accuracy and even labels.

    The posterior depends on the lead of one label only, ``sigma(lead logit(a))``, which is a random
    walk with absorption (Wald 1945): its distribution is followed from vote to vote.

    Raises:
        ValueError: an accuracy outside (0.5, 1), or a plan that ``needs_votes`` refuses.
    """
    _checked(least, most, threshold)
    if not 0.5 < accuracy < 1:
        raise ValueError(f"accuracy is {accuracy}; expected above 0.5 (a coin) and below 1")
    lead_L = np.arange(-most, most + 1)
    sure_L = expit(np.abs(lead_L) * logit(accuracy)) >= threshold - ROUNDING
    going_L = (lead_L == 0).astype(float)
    votes, right = 0.0, 0.0
    for cast in range(1, most + 1):
        votes += float(going_L.sum())
        going_L = _voted(going_L, accuracy)
        stopped_L = going_L * (sure_L if least <= cast < most else cast == most)
        right += float(stopped_L @ ((lead_L > 0) + (lead_L == 0) / 2))
        going_L = going_L - stopped_L
    return Cost(votes=votes, accuracy=right)


def _voted(going_L: Floats, accuracy: float) -> Floats:
    up_L, down_L = np.roll(going_L, 1), np.roll(going_L, -1)
    return accuracy * up_L + (1 - accuracy) * down_L


def _checked(least: int, most: int, threshold: float) -> None:
    if not 1 <= least <= most:
        raise ValueError(f"least is {least} and most {most}; expected 1 <= least <= most")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected above 0, at most 1")

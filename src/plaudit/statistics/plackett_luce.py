"""Plackett-Luce: scores from whole rankings.

Not from all pairs of a ranking, which would count one judgment of k items k (k - 1) / 2 times.

Shapes: R rankings, L the longest of them, I items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components

from plaudit.statistics.votes import Floats, Integers

PRIOR_PRECISION = 1e-3


def order_of(ranks: ArrayLike) -> Integers:
    """The places of a ranking's items from best to worst, from their ranks (1 the best).

    Raises:
        ValueError: two ranks are equal. The model has no ties; breaking them by any order would
            invent a judgment. Use the pairs that are decided, with ``bradley_terry`` or ``ties``.
    """
    values = np.asarray(ranks)
    if len(np.unique(values)) < len(values):
        raise ValueError(
            f"ranks {values.tolist()} have a tie; Plackett-Luce has none: leave such rankings out"
            " or use their decided pairs with bradley_terry"
        )
    return np.argsort(values, kind="stable")


def plackett_luce(
    orders: Sequence[Sequence[int]], items: int, prior_precision: float = PRIOR_PRECISION
) -> Floats:
    """Scores with mean 0, [I], by ``P(order) = prod_k e^s_(k) / sum_(l >= k) e^s_(l)``.

    Plackett 1975, Luce 1959; maximum likelihood by L-BFGS, with a weak normal prior that keeps an
    item finite that is always first. An order may hold some of the items only; of two items it is
    a comparison of Bradley and Terry.

    Args:
        orders: of each ranking the items' numbers, best first.

    Raises:
        ValueError: an order of fewer than two items, an item twice in one, or a number too large.
    """
    padded_RL, length_R = _padded(orders, items)

    def loss(scores_I: Floats) -> tuple[float, Floats]:
        value, gradient_I = plackett_luce_loss(scores_I, padded_RL, length_R)
        penalty = prior_precision * float(scores_I @ scores_I) / 2
        return value + penalty, gradient_I + prior_precision * scores_I

    options = {"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-14}
    found = minimize(loss, np.zeros(items), jac=True, method="L-BFGS-B", options=options)
    return found.x - found.x.mean()


def plackett_luce_loss(
    scores_I: Floats, padded_RL: Integers, length_R: Integers
) -> tuple[float, Floats]:
    """The negative log-likelihood of all orders, in nats, and its gradient, [I]."""
    inside_RL = np.arange(padded_RL.shape[1]) < length_R[:, None]
    score_RL = np.where(inside_RL, scores_I[padded_RL], -np.inf)
    rest_RL = np.logaddexp.accumulate(score_RL[:, ::-1], axis=1)[:, ::-1]
    loss = float((rest_RL[inside_RL] - score_RL[inside_RL]).sum())
    # An item is still to be drawn at its own stage and at all before it.
    still_RL = np.cumsum(np.where(inside_RL, np.exp(-np.where(inside_RL, rest_RL, 0)), 0), axis=1)
    drawn_RL = np.where(inside_RL, np.exp(score_RL) * still_RL - 1, 0)
    gradient_I = np.bincount(padded_RL[inside_RL], drawn_RL[inside_RL], minlength=len(scores_I))
    return loss, gradient_I


def ranked_groups(orders: Sequence[Sequence[int]], items: int) -> Integers:
    """The group of each item, [I]: scores of different groups were never compared."""
    linked = np.zeros((items, items), dtype=bool)
    for order in orders:
        linked[order[:-1], order[1:]] = True
    return connected_components(linked, directed=False)[1].astype(np.intp)


def _padded(orders: Sequence[Sequence[int]], items: int) -> tuple[Integers, Integers]:
    length_R = np.array([len(order) for order in orders], dtype=np.intp)
    if not len(length_R) or length_R.min() < 2:
        raise ValueError("an order of fewer than two items, or none at all; expected two or more")
    padded_RL = np.zeros((len(orders), length_R.max()), dtype=np.intp)
    for r, order in enumerate(orders):
        if len(set(order)) < len(order) or min(order) < 0 or max(order) >= items:
            raise ValueError(f"order {list(order)} repeats an item or leaves 0..{items - 1}")
        padded_RL[r, : len(order)] = order
    return padded_RL, length_R

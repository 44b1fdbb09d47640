"""Two older scales: Elo, updated one comparison at a time, and Thurstone's normal model.

Shapes: N comparisons, I items.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from plaudit.statistics.bradley_terry import PRIOR_PRECISION
from plaudit.statistics.comparisons import Comparisons
from plaudit.statistics.votes import Floats


def elo(
    data: Comparisons, *, k: float = 4.0, start: float = 1000.0, scale: float = 400.0
) -> Floats:
    """``R_i += k (y - 1 / (1 + 10^((R_j - R_i) / scale)))`` row by row, and ``R_j`` the opposite.

    Elo 1978. The result depends on the order of the rows and on ``k``, and has no interval: it is
    for players who change. For models that do not, use ``bradley_terry``.
    """
    ratings = np.full(data.items, start)
    for i, j, won in zip(data.i_N, data.j_N, data.won_N, strict=True):
        expected = 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / scale))
        ratings[i] += k * (won - expected)
        ratings[j] -= k * (won - expected)
    return ratings


def thurstone(data: Comparisons, prior_precision: float = PRIOR_PRECISION) -> Floats:
    """Scores with mean 0, [I], by ``P(i over j) = Phi(s_i - s_j)``.

    Thurstone 1927, case V, in units of the standard deviation of a difference: 1.6 to 1.7 times as
    small as logits. A tie is half a win each way.
    """
    differences_NI = data.differences_NI()

    def loss(scores_I: Floats) -> tuple[float, Floats]:
        gap_N = differences_NI @ scores_I
        up_N, down_N = log_ndtr(gap_N), log_ndtr(-gap_N)
        log_density_N = -(gap_N**2) / 2 - np.log(2 * np.pi) / 2
        by_gap_N = data.won_N * np.exp(log_density_N - up_N)
        by_gap_N -= (1 - data.won_N) * np.exp(log_density_N - down_N)
        value = -(data.won_N @ up_N + (1 - data.won_N) @ down_N)
        value += prior_precision * float(scores_I @ scores_I) / 2
        return float(value), prior_precision * scores_I - differences_NI.T @ by_gap_N

    options = {"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-14}
    found = minimize(loss, np.zeros(data.items), jac=True, method="L-BFGS-B", options=options)
    return found.x - found.x.mean()

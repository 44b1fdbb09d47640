"""Scores of items that recur (models, samples of a prompt), by raters who differ and are swayed.

``fit_rater_model`` has a discrimination, a pull to the first and a pull to the longer for each
rater. ``crowd_bradley_terry`` has raters who look at the items with one probability and at the
sides with the rest. For pairs that each belong to a prompt of their own see ``pair_model``.

Both are maxima of the posterior by L-BFGS; their gradients are held to finite differences by the
tests.

Shapes: N comparisons, I items, W raters, T = I + 3 W parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import block_array, csr_array, diags_array
from scipy.special import expit

from plaudit.statistics.comparisons import Comparisons
from plaudit.statistics.votes import Floats, sums

SCORE_SD = 1.0
DISCRIMINATION_SD = 0.5
"""Of the logarithm, round a discrimination of 1."""
PULL_SD = 0.5
"""Of the pulls to the first and to the longer, in logits."""
KNOWING_MEAN, KNOWING_SD = 1.0, 1.0
"""Of ``gamma``: most raters look at the items."""
SIDE_SD = 1.5
"""Of ``b``: about even over all habits of side."""
LAPLACE_LIMIT = 4000
"""Parameters of which a dense covariance is still made: 128 MB."""
MAX_ITERATIONS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class RaterModel:
    """Scores and raters, in logits of a rater of discrimination 1."""

    scores_I: Floats
    discrimination_W: Floats
    """``a``: 0 does not see the items, 1 is the usual rater, more is a sharper one."""
    first_W: Floats
    """``b``: the pull to what is shown first."""
    longer_W: Floats
    """``c``: the pull to the longer, a unit of the length given."""
    converged: bool

    def parameters(self) -> Floats:
        """As ``rater_model_loss`` takes them, [T]."""
        log_W = np.log(self.discrimination_W)
        return np.concatenate([self.scores_I, log_W, self.first_W, self.longer_W])


def fit_rater_model(data: Comparisons) -> RaterModel:
    """``P(i over j | w) = sigma(a_w (s_i - s_j) + b_w first + c_w length)``.

    Priors ``s ~ N(0, 1)``, ``log a ~ N(0, 0.5^2)``, ``b, c ~ N(0, 0.5^2)``: a two-parameter item
    response model with covariates. Ties count as half a win each way. The prior centres scores at 0
    and fixes their sign, a rater of negative discrimination being ruled out.
    """
    start = np.zeros(data.items + 3 * data.raters)
    found = minimize(
        rater_model_loss,
        start,
        args=(data, data.differences_NI()),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS},
    )
    scores_I, log_W, first_W, longer_W = _parts(found.x, data)
    return RaterModel(
        scores_I=scores_I,
        discrimination_W=np.exp(log_W),
        first_W=first_W,
        longer_W=longer_W,
        converged=bool(found.success),
    )


def rater_model_loss(
    parameters_T: Floats, data: Comparisons, differences_NI: csr_array
) -> tuple[float, Floats]:
    """The negative log-posterior at ``[s, log a, b, c]``, in nats, and its gradient, [T]."""
    gap_N, slope_N, z_N = _logits(parameters_T, data, differences_NI)
    error_N = expit(z_N) - data.won_N
    precision_T = _precision(data)
    loss = (np.logaddexp(0, z_N) - data.won_N * z_N).sum()
    loss += precision_T @ parameters_T**2 / 2
    by_rater = [
        sums(data.raters_N, error_N * term_N, data.raters)
        for term_N in (slope_N * gap_N, data.side_N, data.longer_N)
    ]
    gradient_T = np.concatenate([differences_NI.T @ (error_N * slope_N), *by_rater])
    return float(loss), gradient_T + precision_T * parameters_T


def laplace_covariance(found: RaterModel, data: Comparisons) -> Floats:
    """The covariance of ``[s, log a, b, c]``, [T, T]: the inverse of the Hessian at the maximum.

    ``H = J' V J + R + precision`` with ``J = dz / d parameters``, ``V = p (1 - p)`` and ``R`` the
    residuals times what is not linear in z (MacKay 1992). Rows that repeat one judgment shrink it.

    Raises:
        ValueError: there are more than 4,000 parameters.
    """
    parameters_T = found.parameters()
    if len(parameters_T) > LAPLACE_LIMIT:
        raise ValueError(
            f"a covariance of {len(parameters_T)} parameters is too large (at most"
            f" {LAPLACE_LIMIT}); fit fewer items, or pairs with pair_model"
        )
    differences_NI = data.differences_NI()
    gap_N, slope_N, z_N = _logits(parameters_T, data, differences_NI)
    raters_NW = csr_array(
        (np.ones(len(data)), (np.arange(len(data)), data.raters_N)), (len(data), data.raters)
    )
    jacobian_NT = block_array(
        [
            [
                differences_NI * slope_N[:, None],
                raters_NW * (slope_N * gap_N)[:, None],
                raters_NW * data.side_N[:, None],
                raters_NW * data.longer_N[:, None],
            ]
        ],
        format="csr",
    )
    p_N = expit(z_N)
    hessian_TT = (jacobian_NT.T @ (jacobian_NT * (p_N * (1 - p_N))[:, None])).toarray()
    residual_N = (p_N - data.won_N) * slope_N
    items, ends = data.items, data.items + data.raters
    cross_IW = (differences_NI.T @ (raters_NW * residual_N[:, None])).toarray()
    hessian_TT[:items, items:ends] += cross_IW
    hessian_TT[items:ends, :items] += cross_IW.T
    own_W = sums(data.raters_N, residual_N * gap_N, data.raters)
    hessian_TT[np.arange(items, ends), np.arange(items, ends)] += own_W
    hessian_TT += diags_array(_precision(data)).toarray()
    return np.linalg.inv(hessian_TT)


def _logits(
    parameters_T: Floats, data: Comparisons, differences_NI: csr_array
) -> tuple[Floats, Floats, Floats]:
    scores_I, log_W, first_W, longer_W = _parts(parameters_T, data)
    gap_N, slope_N = differences_NI @ scores_I, np.exp(log_W)[data.raters_N]
    pull_N = first_W[data.raters_N] * data.side_N + longer_W[data.raters_N] * data.longer_N
    return gap_N, slope_N, slope_N * gap_N + pull_N


def _precision(data: Comparisons) -> Floats:
    return np.repeat(
        np.array([SCORE_SD, DISCRIMINATION_SD, PULL_SD, PULL_SD]) ** -2.0,
        [data.items, data.raters, data.raters, data.raters],
    )


def _parts(parameters_T: Floats, data: Comparisons) -> list[Floats]:
    return np.split(parameters_T, data.items + data.raters * np.arange(3))


@dataclass(frozen=True, kw_only=True, slots=True)
class CrowdBradleyTerry:
    """Scores, and how often each rater looks at them."""

    scores_I: Floats
    skill_W: Floats
    """``sigma(gamma)``: the share of votes that the items decide; the rest the sides do."""
    first_W: Floats
    """``sigma(b)``: how often the first is taken where the sides decide."""
    converged: bool


def crowd_bradley_terry(data: Comparisons) -> CrowdBradleyTerry:
    """``P(i over j | w) = sigma(gamma_w) sigma(s_i - s_j) + (1 - sigma(gamma_w)) sigma(b_w side)``.

    Chen et al. 2013 (WSDM) with a habit of side in place of a coin; ``s ~ N(0, 1)``,
    ``gamma ~ N(1, 1)``, ``b ~ N(0, 1.5^2)``.
    """
    start = np.zeros(data.items + 2 * data.raters)
    start[data.items : data.items + data.raters] = KNOWING_MEAN
    found = minimize(
        crowd_loss,
        start,
        args=(data, data.differences_NI()),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS},
    )
    scores_I, gamma_W, first_W = np.split(found.x, [data.items, data.items + data.raters])
    return CrowdBradleyTerry(
        scores_I=scores_I,
        skill_W=expit(gamma_W),
        first_W=expit(first_W),
        converged=bool(found.success),
    )


def crowd_loss(
    parameters: Floats, data: Comparisons, differences_NI: csr_array
) -> tuple[float, Floats]:
    """The negative log-posterior at ``[s, gamma, b]``, in nats, and its gradient."""
    scores_I, gamma_W, first_W = np.split(parameters, [data.items, data.items + data.raters])
    knows_N = expit(gamma_W)[data.raters_N]
    sees_N = expit(differences_NI @ scores_I)
    habit_N = expit(first_W[data.raters_N] * data.side_N)
    p_N = np.clip(knows_N * sees_N + (1 - knows_N) * habit_N, 1e-12, 1 - 1e-12)
    loss = -(data.won_N * np.log(p_N) + (1 - data.won_N) * np.log1p(-p_N)).sum()
    by_p_N = (p_N - data.won_N) / (p_N * (1 - p_N))
    by_gamma_N = by_p_N * knows_N * (1 - knows_N) * (sees_N - habit_N)
    by_first_N = by_p_N * (1 - knows_N) * habit_N * (1 - habit_N) * data.side_N
    from_mean_W = (gamma_W - KNOWING_MEAN) / KNOWING_SD
    loss += (scores_I @ scores_I) / (2 * SCORE_SD**2)
    loss += (from_mean_W @ from_mean_W + (first_W @ first_W) / SIDE_SD**2) / 2
    gradient = [
        differences_NI.T @ (by_p_N * knows_N * sees_N * (1 - sees_N)) + scores_I / SCORE_SD**2,
        sums(data.raters_N, by_gamma_N, data.raters) + from_mean_W / KNOWING_SD,
        sums(data.raters_N, by_first_N, data.raters) + first_W / SIDE_SD**2,
    ]
    return float(loss), np.concatenate(gradient)

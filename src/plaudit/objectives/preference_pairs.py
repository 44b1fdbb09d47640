"""Losses on pairs, against a reference; each gives one loss a pair, unreduced.

In the formulas ``a`` and ``c`` are the log-ratios (policy to reference, summed over tokens) of the
better and the worse response, ``d = a - c``, ``p`` the probability that the label is right, and
``|y|`` a number of tokens. Where ``p`` is below 1 a loss is its expectation over the label.

Shapes: Q pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from plaudit.objectives.preference_inputs import Pairs, Sides


def expected(loss: Callable[[Tensor], Tensor], margin_Q: Tensor, probability_Q: Tensor) -> Tensor:
    """``p f(m) + (1 - p) f(-m)``: a loss of the margin, expected over the label."""
    return probability_Q * loss(margin_Q) + (1.0 - probability_Q) * loss(-margin_Q)


def logistic(margin_Q: Tensor, probability_Q: Tensor | float) -> Tensor:
    """``-p log sigma(m) - (1 - p) log sigma(-m)``."""
    return -(probability_Q * logsigmoid(margin_Q) + (1.0 - probability_Q) * logsigmoid(-margin_Q))


def dpo_loss(difference_Q: Tensor, *, beta: float, probability_Q: Tensor | float = 1.0) -> Tensor:
    """``-p log sigma(beta d) - (1 - p) log sigma(-beta d)`` (Rafailov et al. 2023, equation 7).

    With ``p = 1 - e`` it is conservative DPO (Mitchell 2023); with ``p = (1 - e) / (1 - 2 e)``,
    above 1, robust DPO (Chowdhury et al. 2024), which has no lower bound.
    """
    return logistic(beta * difference_Q, probability_Q)


def dpo(pairs: Pairs, *, beta: float) -> Tensor:
    """``dpo_loss`` of the log-ratios."""
    return dpo_loss(pairs.log_ratio.difference_Q, beta=beta, probability_Q=pairs.probability_Q)


def ipo(pairs: Pairs, *, beta: float) -> Tensor:
    """``p (d - 1/(2 beta))^2 + (1 - p) (d + 1/(2 beta))^2`` (Azar et al. 2023, equation 17).

    ``beta`` is the paper's ``tau``.
    """
    return _squares(pairs.log_ratio.difference_Q, beta, pairs.probability_Q)


def ipo_mean(pairs: Pairs, *, beta: float) -> Tensor:
    """IPO on log-ratios averaged over tokens, as its authors advised TRL."""
    mean_Q = pairs.log_ratio.per(pairs.tokens).difference_Q
    return _squares(mean_Q, beta, pairs.probability_Q)


def _squares(difference_Q: Tensor, beta: float, probability_Q: Tensor) -> Tensor:
    return expected(lambda d: (d - 0.5 / beta).square(), difference_Q, probability_Q)


def hinge(pairs: Pairs, *, beta: float) -> Tensor:
    """``max(0, 1 - beta d)`` (Liu et al. 2023, RSO: SLiC's hinge on log-ratios)."""
    return expected(
        lambda m: (1.0 - m).clamp(min=0), beta * pairs.log_ratio.difference_Q, pairs.probability_Q
    )


def dpo_norm(pairs: Pairs, *, beta: float) -> Tensor:
    """``-log sigma(beta (a/|y_w| - c/|y_l|))`` (Lambert et al. 2024, Tulu 3)."""
    mean_Q = pairs.log_ratio.per(pairs.tokens).difference_Q
    return logistic(beta * mean_Q, pairs.probability_Q)


def r_dpo(pairs: Pairs, *, beta: float, rdpo_alpha: float) -> Tensor:
    """``-log sigma(beta d + alpha (|y_w| - |y_l|))`` (Park et al. 2024).

    The reward is less ``alpha`` a token, so a longer better response has some margin already.
    """
    longer_Q = pairs.tokens.difference_Q
    return logistic(
        beta * pairs.log_ratio.difference_Q + rdpo_alpha * longer_Q, pairs.probability_Q
    )


def ld_dpo(pairs: Pairs, *, shared: Sides, beta: float, ld_alpha: float) -> Tensor:
    """DPO with the log-ratios beyond the shorter length times ``alpha`` (Liu et al. 2024).

    Args:
        shared: the log-ratios over the first ``min(|y_w|, |y_l|)`` tokens.
    """
    reduced_Q = ld_alpha * pairs.log_ratio.difference_Q + (1 - ld_alpha) * shared.difference_Q
    return logistic(beta * reduced_Q, pairs.probability_Q)


def odpo(pairs: Pairs, *, beta: float, odpo_alpha: float) -> Tensor:
    """``-log sigma(beta d - alpha m)``, ``m`` the data's margin (Amini et al. 2024)."""
    return logistic(
        beta * pairs.log_ratio.difference_Q - odpo_alpha * pairs.margin_Q, pairs.probability_Q
    )


def nca(pairs: Pairs, *, beta: float) -> Tensor:
    """``-p log sigma(beta a) - (1 - p) log sigma(beta c) - (log sigma(-beta a) + log sigma(-beta
    c)) / 2`` (Chen et al. 2024, for two responses)."""
    a_Q, c_Q = (beta * side for side in pairs.log_ratio)
    p_Q = pairs.probability_Q
    attracted_Q = p_Q * logsigmoid(a_Q) + (1.0 - p_Q) * logsigmoid(c_Q)
    return -attracted_Q - 0.5 * (logsigmoid(-a_Q) + logsigmoid(-c_Q))


def bco_pair(pairs: Pairs, *, mean_Q: Tensor, beta: float) -> Tensor:
    """``-log sigma(beta a - delta) - log sigma(-(beta c - delta))`` (Jung et al. 2024).

    With ``p`` below 1 each response is good with that probability.

    Args:
        mean_Q: the running mean of log-ratios, without gradient; ``delta`` is ``beta`` times it.
    """
    a_Q, c_Q = (beta * (side - mean_Q) for side in pairs.log_ratio)
    return logistic(a_Q, pairs.probability_Q) + logistic(-c_Q, pairs.probability_Q)


def dpop(pairs: Pairs, *, beta: float, dpop_lambda: float) -> Tensor:
    """``-log sigma(beta (d - lambda max(0, -a)))`` (Pal et al. 2024, DPO-Positive)."""
    fallen_Q = (-pairs.log_ratio.chosen_Q).clamp(min=0)
    return -logsigmoid(beta * (pairs.log_ratio.difference_Q - dpop_lambda * fallen_Q))


def tdpo(pairs: Pairs, *, sequence_kl: Sides, beta: float, tdpo_alpha: float) -> Tensor:
    """``-log sigma(beta d - alpha beta (K_l - sg K_w))``, ``K = sum_t KL(ref || pi)``.

    Zeng et al. 2024, TDPO2; ``sg`` stops the gradient.

    Args:
        sequence_kl: ``K`` of both sides, in nats.
    """
    drift_Q = sequence_kl.rejected_Q - sequence_kl.chosen_Q.detach()
    return -logsigmoid(beta * (pairs.log_ratio.difference_Q - tdpo_alpha * drift_Q))


def wpo(pairs: Pairs, *, log_confidence: Sides, beta: float) -> Tensor:
    """``w(y_w) w(y_l)`` times DPO (Zhou et al. 2024, equation 2).

    ``w = exp(mean_t (log pi(y_t) - log sum_v pi(v)^2))``, without gradient: a response the policy
    itself would hardly write counts less.

    Args:
        log_confidence: ``log w`` of both sides.
    """
    weight_Q = (log_confidence.chosen_Q + log_confidence.rejected_Q).detach().exp()
    return weight_Q * dpo(pairs, beta=beta)


def apo_zero(pairs: Pairs, *, beta: float) -> Tensor:
    """``1 - sigma(beta a) + sigma(beta c)`` (D'Oosterlinck et al. 2024)."""
    a_Q, c_Q = pairs.log_ratio
    return torch.sigmoid(-beta * a_Q) + torch.sigmoid(beta * c_Q)


def apo_down(pairs: Pairs, *, beta: float) -> Tensor:
    """``sigma(beta a) + 1 - sigma(beta d)`` (D'Oosterlinck et al. 2024)."""
    return torch.sigmoid(beta * pairs.log_ratio.chosen_Q) + torch.sigmoid(
        -beta * pairs.log_ratio.difference_Q
    )


def sppo(pairs: Pairs, *, beta: float) -> Tensor:
    """``(a - (p - 1/2)/beta)^2 + (c + (p - 1/2)/beta)^2`` (Wu et al. 2024).

    ``beta`` is the inverse of the paper's ``eta``; with ``p = 1`` it is SPPO-hard.
    """
    target_Q = (pairs.probability_Q - 0.5) / beta
    a_Q, c_Q = pairs.log_ratio
    return (a_Q - target_Q).square() + (c_Q + target_Q).square()


def exo(pairs: Pairs, *, beta: float) -> Tensor:
    """``KL((q, 1 - q) || (p, 1 - p))`` with ``q = sigma(beta d)`` (Ji et al. 2024, for two).

    The label must be soft: at ``p = 1`` it is infinite.
    """
    margin_Q = beta * pairs.log_ratio.difference_Q
    q_Q, p_Q = margin_Q.sigmoid(), pairs.probability_Q
    return q_Q * (logsigmoid(margin_Q) - p_Q.log()) + (1.0 - q_Q) * (
        logsigmoid(-margin_Q) - torch.log1p(-p_Q)
    )


def aot(pairs: Pairs, *, sorted_reference_Q: Tensor, beta: float) -> Tensor:
    """``-log sigma(beta (u_(k) - v_(k)))`` at every rank ``k`` of the update (Melnyk et al. 2024).

    ``u`` is the policy's ``log pi(y_w) - log pi(y_l)`` and ``v`` the reference's, each sorted on
    its own: the policy's margins are to dominate the reference's as a distribution.

    Args:
        sorted_reference_Q: ``v`` at the rank that the pair has by ``u``.
    """
    return -logsigmoid(beta * (pairs.logprob.difference_Q - sorted_reference_Q))


def aot_unpaired(pairs: Pairs, *, matched: Sides, beta: float) -> Tensor:
    """``-log sigma(beta (a_(k) - c_(k)))`` at every rank ``k`` of the update (Melnyk et al. 2024).

    ``a`` and ``c`` are each sorted on their own: the better responses' log-ratios are to dominate
    the worse ones' as a distribution. A rank's loss is counted with the pair that has its ``a``;
    the pair that has its ``c`` adds the slope there. Each side weighs as its own pair does.

    Args:
        matched: at the rank of the pair's ``c`` the ``a``, and at the rank of its ``a`` the ``c``,
            without gradient.
    """
    a_Q, c_Q = pairs.log_ratio
    loss_Q = -logsigmoid(beta * (a_Q - matched.rejected_Q))
    slope_Q = -logsigmoid(beta * (matched.chosen_Q - c_Q))
    return loss_Q + slope_Q - slope_Q.detach()


def f_dpo_forward_kl(pairs: Pairs, *, beta: float) -> Tensor:
    """DPO under forward KL: log-ratios become ``-exp(-a)`` (Wang et al. 2023)."""
    return _by_divergence(lambda a: -(-a).exp(), pairs, beta)


def f_dpo_js(pairs: Pairs, *, beta: float) -> Tensor:
    """DPO under the Jensen-Shannon divergence: ``log sigma(a)`` (Wang et al. 2023)."""
    return _by_divergence(lambda a: -softplus(-a), pairs, beta)


def f_dpo_alpha(pairs: Pairs, *, beta: float, f_alpha: float) -> Tensor:
    """DPO under an alpha divergence: ``(1 - exp(-alpha a)) / alpha`` (Wang et al. 2023).

    Forward KL at ``alpha = 1``; reverse KL, which is DPO, as ``alpha`` goes to 0. TRL's
    ``f_alpha_divergence_coef`` is ``1 - alpha``.
    """
    alpha = f_alpha
    return _by_divergence(lambda a: -torch.expm1(-alpha * a) / alpha, pairs, beta)


def _by_divergence(slope: Callable[[Tensor], Tensor], pairs: Pairs, beta: float) -> Tensor:
    """DPO with ``f'(pi / ref)`` in place of the log-ratio, up to a constant that cancels."""
    a_Q, c_Q = pairs.log_ratio
    return logistic(beta * (slope(a_Q) - slope(c_Q)), pairs.probability_Q)


def discopop(pairs: Pairs, *, beta: float, discopop_tau: float) -> Tensor:
    """``(1 - s) softplus(-beta d) + s exp(-beta d)``, ``s = sigma(beta d / tau)``.

    Lu et al. 2024, the log-ratio modulated loss.
    """

    def loss(margin_Q: Tensor) -> Tensor:
        share_Q = (margin_Q / discopop_tau).sigmoid()
        return (1.0 - share_Q) * softplus(-margin_Q) + share_Q * (-margin_Q).exp()

    return expected(loss, beta * pairs.log_ratio.difference_Q, pairs.probability_Q)

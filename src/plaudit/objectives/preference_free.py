"""Losses on pairs without a reference; each gives one loss a pair, unreduced.

In the formulas ``y_w`` is the better response, ``y_l`` the worse, ``|y|`` a number of tokens, and
``p`` the probability that the label is right. Likelihood terms are of the response the label names
as the better one, whatever ``p``.

Shapes: Q pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.objectives.preference_inputs import Pairs
from plaudit.objectives.preference_pairs import expected, logistic


def nll(pairs: Pairs) -> Tensor:
    """``-log pi(y_w) / |y_w|`` (Pang et al. 2024, beside DPO)."""
    return -pairs.logprob.chosen_Q / pairs.tokens.chosen_Q


def orpo(pairs: Pairs, *, orpo_lambda: float) -> Tensor:
    """``NLL(y_w) - lambda log sigma(log odds(y_w) - log odds(y_l))`` (Hong et al. 2024).

    ``odds = P / (1 - P)`` with ``P = exp(log pi(y) / |y|)``; NLL per token.
    """
    chosen_Q, rejected_Q = (_log_odds(mean_Q) for mean_Q in pairs.logprob.per(pairs.tokens))
    return nll(pairs) + orpo_lambda * logistic(chosen_Q - rejected_Q, pairs.probability_Q)


def _log_odds(mean_logprob_Q: Tensor) -> Tensor:
    # Certainty has infinite odds: P is held one rounding step below 1.
    bounded_Q = mean_logprob_Q.clamp(max=-torch.finfo(mean_logprob_Q.dtype).eps)
    return bounded_Q - (-torch.expm1(bounded_Q)).log()


def simpo(pairs: Pairs, *, beta: float, simpo_gamma: float) -> Tensor:
    """``-log sigma(beta (log pi(y_w)/|y_w| - log pi(y_l)/|y_l|) - gamma)`` (Meng et al. 2024)."""
    mean_Q = pairs.logprob.per(pairs.tokens).difference_Q
    return expected(lambda m: logistic(m - simpo_gamma, 1.0), beta * mean_Q, pairs.probability_Q)


def cpo(pairs: Pairs, *, beta: float, cpo_alpha: float) -> Tensor:
    """``-log sigma(beta (log pi(y_w) - log pi(y_l))) - alpha log pi(y_w)`` (Xu et al. 2024).

    The likelihood is summed over tokens, as in the paper.
    """
    preference_Q = logistic(beta * pairs.logprob.difference_Q, pairs.probability_Q)
    return preference_Q - cpo_alpha * pairs.logprob.chosen_Q


def slic(pairs: Pairs, *, slic_delta: float) -> Tensor:
    """``max(0, delta - log pi(y_w) + log pi(y_l))`` (Zhao et al. 2023); ``nll`` is its rest."""
    return expected(
        lambda m: (slic_delta - m).clamp(min=0), pairs.logprob.difference_Q, pairs.probability_Q
    )

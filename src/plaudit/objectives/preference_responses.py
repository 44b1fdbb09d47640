"""Losses on single responses (KTO, BCO) and on rankings (Plackett-Luce), unreduced.

In the formulas ``r`` is a response's log-ratio (policy to reference, summed over tokens) and ``y``
its label: 1 good, 0 bad, between the probability that it is good.

Shapes: M responses, Q pairs of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.objectives.preference_inputs import Rated
from plaudit.objectives.preference_pairs import logistic


def kto(
    rated: Rated,
    *,
    z0_M: Tensor,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Tensor:
    """``y w_D (1 - sigma(beta (r - z0))) + (1 - y) w_U (1 - sigma(beta (z0 - r)))``.

    Ethayarajh et al. 2024, equation 8.

    Args:
        z0_M: the policy's KL to the reference, estimated on prompts with other prompts' responses
            over the whole update, at least 0, in nats and without gradient.
    """
    gain_M = beta * (rated.log_ratio_M - z0_M)
    desirable_M = desirable_weight * torch.sigmoid(-gain_M)
    undesirable_M = undesirable_weight * torch.sigmoid(gain_M)
    return rated.label_M * desirable_M + (1.0 - rated.label_M) * undesirable_M


def bco(rated: Rated, *, mean_M: Tensor, beta: float) -> Tensor:
    """``-y log sigma(beta r - delta) - (1 - y) log sigma(-(beta r - delta))`` (Jung et al. 2024).

    Args:
        mean_M: the running mean of log-ratios, without gradient; ``delta`` is ``beta`` times it.
    """
    return logistic(beta * (rated.log_ratio_M - mean_M), rated.label_M)


def plackett_luce(log_ratio_M: Tensor, better_Q: Tensor, worse_Q: Tensor, *, beta: float) -> Tensor:
    """``log(1 + sum_{j worse than m} exp(beta (r_j - r_m)))``: each one's choice from those below.

    Summed over the responses of a ranking it is Plackett-Luce's negative log-likelihood
    (Rafailov et al. 2023, equation 20), and for two responses DPO's.

    Args:
        better_Q, worse_Q: the responses of every pair that the ranking implies.
    """
    excess_Q = beta * (log_ratio_M[worse_Q] - log_ratio_M[better_Q])
    # At least 0, for the 1 in the logarithm.
    largest_M = torch.zeros_like(log_ratio_M).scatter_reduce(0, better_Q, excess_Q.detach(), "amax")
    shifted_Q = (excess_Q - largest_M[better_Q]).exp()
    return largest_M + (-largest_M).exp().index_add(0, better_Q, shifted_Q).log()

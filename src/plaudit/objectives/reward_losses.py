"""Losses of reward models: of comparisons, of choices out of several, and of ratings.

All are pure and unreduced. In both models of ties ``x`` is the log-odds of a tie between two equal
scores, so that one number means the same in both.

Shapes: Q pairs, M branches (responses), C levels of an ordinal rating.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus


def bradley_terry_loss(
    difference_Q: Tensor, *, probability_Q: Tensor | float = 1.0, margin_Q: Tensor | float = 0.0
) -> Tensor:
    """``-p log sigma(d - m) - (1 - p) log sigma(m - d)`` with ``d = r_better - r_worse``.

    Bradley & Terry 1952; the margin ``m`` as in Llama 2 (Touvron et al. 2023, equation 2). A
    ``p`` below 1 is a soft label: the posterior that the better one really is.
    """
    logit_Q = difference_Q - margin_Q
    return -(probability_Q * logsigmoid(logit_Q) + (1.0 - probability_Q) * logsigmoid(-logit_Q))


def davidson_loss(difference_Q: Tensor, *, probability_Q: Tensor, tie_logit: Tensor) -> Tensor:
    """``-log P`` where better : worse : tie are as ``e^(d/2) : e^(-d/2) : v`` (Davidson 1970).

    ``v = 2 e^x``. A label of exactly 1/2 is a tie; any other weighs the two sides,
    ``-p log P(better) - (1 - p) log P(worse)``.

    Args:
        tie_logit: ``x``, a single number.
    """
    half_Q = difference_Q / 2
    tie_Q = (math.log(2) + tie_logit).expand_as(half_Q)
    better_Q, worse_Q, tied_Q = torch.stack([half_Q, -half_Q, tie_Q]).log_softmax(0)
    return -_outcome(probability_Q, better_Q, worse_Q, tied_Q)


def rao_kupper_loss(difference_Q: Tensor, *, probability_Q: Tensor, tie_logit: Tensor) -> Tensor:
    """``P(better) = sigma(d - k)``, ``P(worse) = sigma(-d - k)``, a tie has the rest.

    Rao & Kupper 1967, with their threshold as ``e^k = 1 + 2 e^x``. Labels and arguments as in
    ``davidson_loss``.
    """
    k = softplus(math.log(2) + tie_logit)
    better_Q, worse_Q = logsigmoid(difference_Q - k), logsigmoid(-difference_Q - k)
    # 1 - sigma(d - k) - sigma(-d - k) = (e^2k - 1) sigma(d - k) sigma(-d - k), and here
    # e^2k - 1 = 4 e^x (1 + e^x)
    tied_Q = math.log(4) + tie_logit + softplus(tie_logit) + better_Q + worse_Q
    return -_outcome(probability_Q, better_Q, worse_Q, tied_Q)


def _outcome(probability_Q: Tensor, better_Q: Tensor, worse_Q: Tensor, tied_Q: Tensor) -> Tensor:
    decided_Q = probability_Q * better_Q + (1.0 - probability_Q) * worse_Q
    return torch.where(probability_Q == 0.5, tied_Q, decided_Q)


def choice_loss(difference_Q: Tensor, better_Q: Tensor, branches: int) -> Tensor:
    """``log(1 + sum_q e^(-d_q))`` over the pairs ``q`` a branch won; 0 for one that won none: [M].

    It is ``-log softmax`` of the branch among itself and those it was preferred to. Summed over all
    places of a full ranking this is Plackett-Luce (Plackett 1975); for the best alone it is the
    softmax of best-of-n labels (Ziegler et al. 2019); with two responses, Bradley-Terry.
    """
    zero_M = torch.zeros(branches, dtype=difference_Q.dtype, device=difference_Q.device)
    largest_M = zero_M.scatter_reduce(0, better_Q, -difference_Q.detach(), "amax")
    rest_Q = (-difference_Q - largest_M[better_Q]).exp()
    return largest_M + ((-largest_M).exp().index_add(0, better_Q, rest_Q)).log()


def pointwise_loss(score_M: Tensor, rating_M: Tensor) -> Tensor:
    """``-y log sigma(r) - (1 - y) log sigma(-r)``: the score as the log-odds of a good rating.

    Ratings ``y`` are in [0, 1]; beyond, the loss has no minimum.
    """
    return binary_cross_entropy_with_logits(score_M, rating_M, reduction="none")


def regression_loss(score_M: Tensor, rating_M: Tensor) -> Tensor:
    """``(r - y)^2``: the score as the rating itself."""
    return (score_M - rating_M).square()


def ordinal_loss(score_M: Tensor, share_MC: Tensor, thresholds: Tensor) -> Tensor:
    """``-sum_c y_c log P(c)`` with ``P(level <= c) = sigma(theta_c - r)`` (McCullagh 1980).

    Args:
        share_MC: the share of a response's ratings at each of the C levels; rows of 0 cost nothing.
        thresholds: the C - 1 borders ``theta`` between levels, rising.
    """
    upper_MC = torch.nn.functional.pad(thresholds - score_M[:, None], (0, 1), value=math.inf)
    lower_MC = torch.nn.functional.pad(thresholds - score_M[:, None], (1, 0), value=-math.inf)
    # log(sigma(u) - sigma(l)) = log sigma(u) + log sigma(-l) + log(1 - e^(l - u))
    gap_C = torch.nn.functional.pad(thresholds.diff(), (1, 1), value=math.inf)
    log_gap_C = torch.log(-torch.expm1(-gap_C))
    log_p_MC = -softplus(-upper_MC) - softplus(lower_MC) + log_gap_C
    return -(share_MC * log_p_MC).sum(-1)


def ordinal_thresholds(share_C: Tensor) -> Tensor:
    """``theta_c = logit(sum_(i <= c) share_i)``, the borders that fit ratings of equal scores.

    Args:
        share_C: how much of all ratings is at each level; every level has some.
    """
    return torch.logit(share_C.cumsum(0)[:-1] / share_C.sum())

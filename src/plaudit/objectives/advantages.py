"""Advantage estimators.

Shapes: S sequences, T tokens of the longest, N tokens, G responses of one prompt.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gae(
    rewards_ST: Tensor, values_ST: Tensor, mask_ST: Tensor, *, gamma: float, lam: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, equations 16 to 18).

    ``delta_t = r_t + gamma V_{t+1} - V_t`` and ``A_t = delta_t + gamma lam A_{t+1}``, with a value
    of 0 after a sequence's last token; returns are ``A + V``. To mask a slot, at the end or between
    tokens, is to leave it out: it is never read, and what follows it follows the slot before.

    Args:
        lam: one for all sequences, or [S].

    Returns:
        advantages and returns, both [S, T], 0 outside the mask.
    """
    advantages_ST = torch.zeros_like(rewards_ST)
    after_S = rewards_ST.new_zeros(len(rewards_ST))
    next_value_S = torch.zeros_like(after_S)
    for t in range(rewards_ST.shape[1] - 1, -1, -1):
        mask_S, value_S = mask_ST[:, t], values_ST[:, t]
        delta_S = rewards_ST[:, t] + gamma * next_value_S - value_S
        after_S = torch.where(mask_S, delta_S + gamma * lam * after_S, after_S)
        next_value_S = torch.where(mask_S, value_S, next_value_S)
        advantages_ST[:, t] = torch.where(mask_S, after_S, 0.0)
    return advantages_ST, torch.where(mask_ST, advantages_ST + values_ST, 0.0)


def length_adaptive_lambda(tokens_S: Tensor, *, alpha: float) -> Tensor:
    """VAPO (Yue et al. 2025): ``1 - 1 / (alpha l)``, not below 0, of ``l`` tokens.

    The weights ``lam^t`` of a response then sum to ``alpha l``, whatever its length.
    """
    return (1.0 - 1.0 / (alpha * tokens_S.float())).clamp(min=0.0)


def rewards_to_go(rewards_N: Tensor) -> Tensor:
    """``sum_{i >= t} r_i`` over the tokens of one response."""
    return rewards_N.flip(0).cumsum(0).flip(0)


def whiten(values_N: Tensor, *, shift_mean: bool = True) -> Tensor:
    """``(x - mean) / sqrt(var + 1e-8)`` with the biased variance (Ziegler et al. 2019, code).

    With ``shift_mean`` false the mean is put back.
    """
    centred_N = _centred(values_N)
    whitened_N = centred_N * torch.rsqrt(centred_N.square().mean() + 1e-8)
    return whitened_N if shift_mean else whitened_N + values_N.mean()


def group_advantages(rewards_G: Tensor) -> Tensor:
    """GRPO (Shao et al. 2024): ``(r - mean) / (std + 1e-6)``, the population's deviation.

    A group of equal rewards has advantages of exactly 0.
    """
    return _centred(rewards_G) / (deviation(rewards_G) + 1e-6)


def group_mean_advantages(rewards_G: Tensor) -> Tensor:
    """Dr. GRPO (Liu et al. 2025): ``r - mean``, free of the bias towards easy and hard prompts."""
    return _centred(rewards_G)


def leave_one_out_advantages(rewards_G: Tensor) -> Tensor:
    """RLOO (Ahmadian et al. 2024): ``r_i`` less the mean of the others.

    Equal to ``G / (G - 1)`` times ``group_mean_advantages``.
    """
    size = len(rewards_G)
    assert size > 1, "leave-one-out needs at least two responses of a prompt"
    return _centred(rewards_G) * (size / (size - 1))


def optimal_value(rewards_B: Tensor, *, beta: float) -> Tensor:
    """``V* = beta log mean exp(r / beta)`` over a prompt's reference samples [B] (A*-PO, stage 1).

    The value of the optimal policy of reward less ``beta`` KL (Brantley et al. 2025).
    """
    return beta * ((rewards_B / beta).logsumexp(0) - math.log(len(rewards_B)))


def deviation(values_N: Tensor) -> Tensor:
    """The population's standard deviation; exactly 0 of equal values."""
    return _centred(values_N).square().mean().sqrt()


def _centred(values_N: Tensor) -> Tensor:
    """``x - mean(x)``, by way of ``x - x_1``.

    The mean of equal values can be off by a rounding error, which a division by a deviation of 0
    would blow up to the size of a real advantage; their differences are exactly 0.
    """
    shifted_N = values_N - values_N.flatten()[:1]
    return shifted_N - shifted_N.mean()

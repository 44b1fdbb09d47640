"""Several rewards as one: sums, gates, ensembles, constraints, and bounded rewards.

Shapes: N responses of a step, R rewards of each, G responses of one prompt, M reference responses
of a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from plaudit.objectives.advantages import whiten

LEAST_PROBABILITY = 1e-4


def weighted_sum(rewards_RN: Sequence[Tensor], weights_R: Sequence[float]) -> Tensor:
    """``sum_r w_r reward_r``, [N]."""
    total_N = torch.zeros_like(rewards_RN[0])
    for reward_N, weight in zip(rewards_RN, weights_R, strict=True):
        total_N = total_N + weight * reward_N
    return total_N


def worst_of(rewards_RN: Sequence[Tensor]) -> Tensor:
    """The least of an ensemble's rewards, [N]: worst-case optimisation (Coste et al. 2024)."""
    return torch.stack(list(rewards_RN)).amin(0)


def mean_minus_variance(rewards_RN: Sequence[Tensor], coefficient: float) -> Tensor:
    """``mean_r - coefficient var_r``, [N]: uncertainty-weighted optimisation (Coste et al. 2024).

    The variance is the population's over the members of the ensemble; 0 for one member.
    """
    stacked_RN = torch.stack(list(rewards_RN))
    mean_N = stacked_RN.mean(0)
    return mean_N - coefficient * (stacked_RN - mean_N).square().mean(0)


def gated(safety_N: Tensor, helpful_N: Tensor, asked_N: Tensor, *, threshold: float) -> Tensor:
    """Llama 2 (Touvron et al. 2023, section 3.2.3): safety decides where it is in doubt.

    ``logit(safety)`` where ``safety < threshold`` or the prompt asks for it, else
    ``logit(helpful)``. Probabilities are kept ``LEAST_PROBABILITY`` away from 0 and 1.

    Args:
        safety_N, helpful_N: probabilities.
        asked_N: bool; the prompts on which safety always decides.
    """
    chosen_N = torch.where((safety_N < threshold) | asked_N, safety_N, helpful_N)
    return torch.logit(chosen_N, eps=LEAST_PROBABILITY)


def min_max(reward_N: Tensor, *, low: float, high: float) -> Tensor:
    """``(r - low) / (high - low)``, [N]; 0.5 where the two are one."""
    if high == low:
        return torch.full_like(reward_N, 0.5)
    return (reward_N - low) / (high - low)


def preference_as_reward(reward_N: Tensor, reference_NM: Sequence[Tensor]) -> Tensor:
    """PAR (Fu et al. 2025): ``mean_m sigmoid(r - r_ref_m)``, [N], between 0 and 1.

    By Bradley and Terry the chance that the response is preferred to the reference policy's own.

    Args:
        reference_NM: rewards of reference responses to each response's prompt, M >= 1 of each.
    """
    pairs = zip(reward_N, reference_NM, strict=True)
    return torch.stack([torch.sigmoid(r - reference_M).mean() for r, reference_M in pairs])


def standardised_in_group(rewards_G: Tensor) -> Tensor:
    """``(r - mean) / sqrt(var + 1e-12)`` with the sample variance; equal rewards give exactly 0."""
    shifted_G = rewards_G - rewards_G[:1]
    centred_G = shifted_G - shifted_G.mean()
    variance = centred_G.square().sum() / max(1, len(rewards_G) - 1)
    return centred_G * torch.rsqrt(variance + 1e-12)


def decoupled_sum(
    rewards_RN: Sequence[Tensor], weights_R: Sequence[float], groups: Sequence[int]
) -> Tensor:
    """GDPO (2026), before its batch normalisation: ``sum_r w_r (r - mean_G) / std_G``, [N].

    Each reward is standardised within its group on its own, so that distinct combinations of
    rewards keep distinct advantages; standardising their sum would let them collapse.

    Args:
        groups: how many neighbouring responses each prompt has; they sum to N.
    """
    parts = [
        torch.cat([standardised_in_group(part_G) for part_G in reward_N.split(list(groups))])
        for reward_N in rewards_RN
    ]
    return weighted_sum(parts, weights_R)


def decoupled_advantages(
    rewards_RN: Sequence[Tensor], weights_R: Sequence[float], groups: Sequence[int]
) -> Tensor:
    """GDPO: ``decoupled_sum``, whitened over the whole batch, [N]."""
    return whiten(decoupled_sum(rewards_RN, weights_R, groups))


def lagrangian(
    reward_N: Tensor, costs_RN: Sequence[Tensor], multipliers_R: Sequence[float]
) -> Tensor:
    """``(r - sum_i lam_i c_i) / (1 + sum_i lam_i)``, [N] (Dai et al. 2024, Safe RLHF).

    The same combination of rewards, of values and of advantages: an estimator linear in the reward
    (GAE, leave-one-out, less the mean) gives ``(A_R - lam A_C) / (1 + lam)``.
    """
    return (reward_N - weighted_sum(costs_RN, multipliers_R)) / (1.0 + sum(multipliers_R))


def adapt_multiplier(log_multiplier: float, violation: float, *, learning_rate: float) -> float:
    """The multiplier's logarithm after a step of ascent (Safe RLHF, equation 31).

    ``eta += learning_rate lam J_C`` with ``lam = exp(eta)``: the exact gradient of ``lam J_C`` in
    ``eta``.

    Args:
        violation: ``J_C``, the mean cost less its limit; above 0 it raises the multiplier.
    """
    return log_multiplier + learning_rate * math.exp(log_multiplier) * violation

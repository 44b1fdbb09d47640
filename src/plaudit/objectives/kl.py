"""Estimators of KL(policy || reference) from sampled tokens, and the adaptive coefficient.

With ``L = log policy - log reference`` of a token drawn from the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

LossEstimator = Literal["k2", "k3", "full"]
"""KL estimators whose gradient as a loss is that of KL(policy || reference)."""


def k1(log_ratio: Tensor) -> Tensor:
    """``L``: unbiased, of either sign. For the reward; as a loss its gradient is 0 on average."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """``L^2 / 2``: as a loss its expected on-policy gradient is that of KL(policy || reference)."""
    return 0.5 * log_ratio.square()


def k3(log_ratio: Tensor) -> Tensor:
    """``exp(-L) - 1 + L``: unbiased, never negative (Schulman 2020).

    As a loss it must be multiplied by the importance ratio (DeepSeek-V3.2); bare, its gradient is
    that of the other direction, KL(reference || policy).
    """
    # For small L, exp(-L) - 1 in float32 is rounding error larger than the L^2 / 2 sought.
    return torch.expm1(-log_ratio) + log_ratio


def weighted_k2(log_ratio: Tensor, weight: Tensor) -> Tensor:
    """``sg(w) k2``: with samples of an older policy the gradient is still reverse KL's.

    The weight carries none, since ``E_old[rho L grad log pi]`` is already the whole gradient.
    """
    return weight.detach() * k2(log_ratio)


def weighted_k3(log_ratio: Tensor, weight: Tensor) -> Tensor:
    """``w k3``, gradient through the weight too (DeepSeek-V3.2): that of reverse KL."""
    return weight * k3(log_ratio)


SAMPLED_KL_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k2": weighted_k2,
    "k3": weighted_k3,
}
"""A KL in the loss, from ``L`` and a multiple ``w`` of the importance ratio to the sampler."""


def adapt_kl_coefficient(
    coefficient: float, kl: float, *, target: float, episodes: int, horizon: int
) -> float:
    """Ziegler et al. 2019, section 2.2: push the coefficient until the KL meets its target.

    ``beta <- beta * (1 + clip(kl / target - 1, -0.2, 0.2) * episodes / horizon)``

    Args:
        kl: mean sequence KL of the step, in nats.
        episodes: rollouts of the step; horizon: in rollouts.
    """
    error = min(0.2, max(-0.2, kl / target - 1.0))
    return coefficient * (1.0 + error * episodes / horizon)

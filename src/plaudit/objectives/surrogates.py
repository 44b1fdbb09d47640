"""Surrogate losses of policy optimisation, unreduced.

Shapes: N policy tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_surrogate(
    ratio_N: Tensor, advantage_N: Tensor, *, epsilon: float, epsilon_high: float
) -> Tensor:
    """PPO's clipped surrogate as a loss (Schulman et al. 2017, equation 7).

    ``max(-A rho, -A clip(rho, 1 - epsilon, 1 + epsilon_high))``; with unequal bounds it is DAPO's
    clip-higher.
    """
    clipped_N = ratio_N.clamp(1.0 - epsilon, 1.0 + epsilon_high)
    return torch.maximum(-advantage_N * ratio_N, -advantage_N * clipped_N)


def clipped_value_loss(
    value_N: Tensor, old_value_N: Tensor, return_N: Tensor, *, epsilon: float
) -> Tensor:
    """``max((V - R)^2, (clip(V, V_old - epsilon, V_old + epsilon) - R)^2) / 2`` (PPO's code)."""
    clipped_N = old_value_N + (value_N - old_value_N).clamp(-epsilon, epsilon)
    return 0.5 * torch.maximum((value_N - return_N).square(), (clipped_N - return_N).square())

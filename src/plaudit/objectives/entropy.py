"""Control of the policy's entropy by the coefficient of its bonus."""

from __future__ import annotations


def adapt_entropy_coefficient(
    coefficient: float, entropy: float, *, target: float, step_size: float
) -> float:
    """Skywork-OR1 (He et al. 2025): up by ``step_size`` below the target, else down, never below 0.

    Args:
        entropy, target: mean over tokens, in nats.
    """
    change = step_size if entropy < target else -step_size
    return max(0.0, coefficient + change)


def active_entropy_coefficient(coefficient: float, entropy: float, *, target: float) -> float:
    """The bonus is given only while the entropy is at the target or below (Skywork-OR1)."""
    return coefficient if entropy <= target else 0.0

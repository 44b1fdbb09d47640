"""What is kept of a step before it is learned from, and how length is judged (DAPO).

Shapes: G responses of one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence


def teaches(rewards_G: Sequence[float]) -> bool:
    """Whether a group's rewards differ; equal ones give no advantage (Yu et al. 2025, 3.2)."""
    return max(rewards_G) > min(rewards_G)


def overlong_penalty(tokens: int, *, max_tokens: int, buffer_tokens: int) -> float:
    """DAPO's soft punishment of length (Yu et al. 2025, equation 13), from 0 to -1.

    ``min(0, (max_tokens - buffer_tokens - tokens) / buffer_tokens)``
    """
    return max(-1.0, min(0.0, (max_tokens - buffer_tokens - tokens) / buffer_tokens))

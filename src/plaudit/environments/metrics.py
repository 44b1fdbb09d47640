"""What a person watches of responses with tools."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plaudit.environments.tools import ERROR
from plaudit.records import Rollout


def turn_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means over the responses: turns, results of tools and how many were errors, tokens between
    the policy's turns, and responses whose turns ran out; nothing where no environment took part.
    """
    if not any(rollout.messages for rollout in rollouts):
        return {}
    results = [[m.content for m in r.messages if m.role == "tool"] for r in rollouts]
    errors = [sum(text.startswith(ERROR) for text in texts) for texts in results]
    turns = [sum(m.role == "assistant" for m in r.messages) for r in rollouts]
    return {
        "turns": float(np.mean(turns)),
        "tool_results": float(np.mean([len(texts) for texts in results])),
        "tool_errors": float(np.mean(errors)),
        "tool_tokens": float(np.mean([(~r.written).sum() for r in rollouts])),
        "out_of_turns": float(np.mean([r.finish_reason == "turns" for r in rollouts])),
    }

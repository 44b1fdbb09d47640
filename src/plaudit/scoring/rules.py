"""Rewards by rule: they need no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring.tool_calls import Tools, check_response


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallScorer:
    """1 for a response whose tool calls are all valid, in every turn, 0 for one with a broken call.

    A response that calls nothing scores ``without_call``: under 1, so that a policy cannot take
    what a rightful call earns by staying silent.
    """

    tools: Tools
    without_call: float = 0.5

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``.

        Raises:
            ValueError: a prompt is plain text, in which no tool can be called.
        """
        return [Score(value=self._value(rollout)) for rollout in rollouts]

    def _value(self, rollout: Rollout) -> float:
        found = check_response(rollout, self.tools)
        return float(found.valid) if found.calls else self.without_call


class LengthScorer:
    """Tokens the policy wrote of a response; with a negative weight a penalty for each."""

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        return [Score(value=float(rollout.written.sum())) for rollout in rollouts]


class RepetitionScorer:
    """The share of 3-grams of the tokens the policy wrote that stood there before, 0 to 1."""

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        return [Score(value=repetition(rollout.ids[rollout.written], n=3)) for rollout in rollouts]


def repetition(ids: np.ndarray, n: int = 4) -> float:
    """The share of n-grams of tokens that stood before among them."""
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0

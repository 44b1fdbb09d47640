"""What the rl stage does to scores, and what it remembers from step to step.

Shapes: K responses of a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plaudit.learning.experience import Group
from plaudit.learning.moments import RunningMoments
from plaudit.records import Invalid, Rollout, Score
from plaudit.stages.rl_options import RLConfig
from plaudit.text import Tree

SAMPLES_PER_STEP = 4


@dataclass(frozen=True, kw_only=True)
class Controllers:
    """The rewards' running scale; a checkpoint holds it."""

    config: RLConfig
    moments: RunningMoments

    @classmethod
    def resume(cls, config: RLConfig, saved: dict[str, Any]) -> Controllers:
        """As a checkpoint left them, or as the config says they begin."""
        return cls(
            config=config,
            moments=RunningMoments(**saved.get("moments", {})),
        )

    def as_dict(self) -> dict[str, Any]:
        return {"moments": self.moments.as_dict()}

    def shape(
        self, rollouts: Sequence[Rollout], scores: Sequence[Score | Invalid]
    ) -> tuple[list[Score | Invalid], Controllers]:
        """Normalise, clip and penalise scores; what the scorer said is kept as part ``raw``."""
        values = [score.value for score in scores if isinstance(score, Score)]
        after = replace(self, moments=self.moments.with_values(values))
        shaped = [
            score if isinstance(score, Invalid) else after._shaped(rollout, score)
            for rollout, score in zip(rollouts, scores, strict=True)
        ]
        return shaped, after

    def _shaped(self, rollout: Rollout, score: Score) -> Score:
        value = score.value
        if self.config.reward_normalisation == "running":
            value = (value - self.moments.mean) / self.moments.std
        if self.config.reward_clip is not None:
            value = float(np.clip(value, -self.config.reward_clip, self.config.reward_clip))
        if rollout.finish_reason == "length":
            value -= self.config.missing_eos_penalty
        return Score(value=value, parts={**score.parts, "raw": score.value})


def step_metrics(
    rollouts: Sequence[Rollout],
    groups: Sequence[Group],
    trees: Sequence[Tree],
    invalid: Counter[str],
) -> dict[str, float]:
    """What a person watches: the reward as scored, KL (nats a response), length, endings.

    Raises:
        ValueError: not one response could be learned from.
    """
    if not groups:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in invalid.most_common(3))
        raise ValueError(f"no response of the step could be scored: {reasons}")
    raw = [member.score.parts["raw"] for group in groups for member in group.members]
    return {
        "reward": float(np.mean(raw)),
        "reward_std": float(np.std(raw)),
        "kl": float(np.mean(np.concatenate([tree.branch["kl"] for tree in trees]))),
        "response_tokens": float(np.mean([len(rollout.ids) for rollout in rollouts])),
        "stopped": float(np.mean([r.finish_reason == "stop" for r in rollouts])),
        "equal_groups": float(np.mean([np.ptp(group.rewards_K) == 0 for group in groups])),
        "invalid": float(sum(invalid.values())),
    }


def sample_rows(step: int, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A few of the step's responses, for people to read."""
    members = [member for group in groups for member in group.members]
    chosen = members[:: max(1, len(members) // SAMPLES_PER_STEP)][:SAMPLES_PER_STEP]
    return [
        {
            "step": step,
            "prompt": member.rollout.prompt.id,
            "text": member.rollout.text,
            "reward": member.score.parts["raw"],
        }
        for member in chosen
    ]

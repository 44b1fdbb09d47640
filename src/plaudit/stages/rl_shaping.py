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
from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring import Parts
from plaudit.stages.rl_combine import RAW
from plaudit.stages.rl_composition import Composition, References
from plaudit.stages.rl_options import RLConfig
from plaudit.text import Tree

SAMPLES_PER_STEP = 4


@dataclass(frozen=True, kw_only=True)
class Controllers:
    """What combines the rewards; a checkpoint holds it."""

    config: RLConfig
    composition: Composition

    @classmethod
    def resume(cls, config: RLConfig, saved: dict[str, Any], references: References) -> Controllers:
        """As a checkpoint left them, or as the config says they begin."""
        return cls(
            config=config,
            composition=Composition.resume(config.sources, config.combine, saved, references),
        )

    def as_dict(self) -> dict[str, Any]:
        return self.composition.as_dict()

    def shape(
        self,
        rollouts: Sequence[Rollout],
        found: Sequence[Parts | Invalid],
        *,
        begins_step: bool,
    ) -> tuple[list[Score | Invalid], Controllers]:
        """One score of what the sources say; each of theirs is kept as a part by its name.

        Part ``raw`` is the reward before the penalty on unfinished responses: of one source as
        it scored, of several combined. ``begins_step`` as ``Composition.rewards`` has it.
        """
        found = [self.composition.comparable(*pair) for pair in zip(rollouts, found, strict=True)]
        pairs = zip(rollouts, found, strict=True)
        scored = [(r, parts) for r, parts in pairs if not isinstance(parts, Invalid)]
        rewards, after = self.composition.rewards(
            [r for r, _ in scored], [p for _, p in scored], begins_step=begins_step
        )
        shaped = iter(
            self._shaped(rollout, parts, reward)
            for (rollout, parts), reward in zip(scored, rewards, strict=True)
        )
        scores = [parts if isinstance(parts, Invalid) else next(shaped) for parts in found]
        return scores, replace(self, composition=after)

    def _shaped(self, rollout: Rollout, parts: Parts, reward: float) -> Score:
        said = {name: score.value for name, score in parts.items()}
        raw = reward if self.config.rewards else next(iter(said.values()))
        ended = rollout.finish_reason == "stop"
        penalty = 0.0 if ended else self.config.missing_eos_penalty
        return Score(
            value=reward - penalty,
            parts={**said, RAW: raw},
            steps=self.composition.steps(parts),
        )


def step_metrics(
    rollouts: Sequence[Rollout],
    groups: Sequence[Group],
    trees: Sequence[Tree],
    invalid: Counter[str],
    control: Controllers,
) -> dict[str, float]:
    """What a person watches: the reward as scored, KL (nats a response), length, endings.

    Raises:
        ValueError: not one response could be learned from.
    """
    if not groups:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in invalid.most_common(3))
        raise ValueError(f"no response of the step could be scored: {reasons}")
    raw = [member.score.parts[RAW] for group in groups for member in group.members]
    return {
        "reward": float(np.mean(raw)),
        "reward_std": float(np.std(raw)),
        "kl": float(np.mean(np.concatenate([tree.branch["kl"] for tree in trees]))),
        "response_tokens": float(np.mean([rollout.written.sum() for rollout in rollouts])),
        "stopped": float(np.mean([r.finish_reason == "stop" for r in rollouts])),
        "equal_groups": float(np.mean([np.ptp(group.rewards_K) == 0 for group in groups])),
        "invalid": float(sum(invalid.values())),
        **(_by_source(groups, invalid, control) if control.config.rewards else {}),
    }


def _by_source(
    groups: Sequence[Group], invalid: Counter[str], control: Controllers
) -> dict[str, float]:
    """What every source said on average, how often it said nothing, and the multipliers."""
    said = [member.score.parts for group in groups for member in group.members]
    found: dict[str, float] = {}
    for name in control.config.rewards:
        reasons = [n for reason, n in invalid.items() if reason.startswith(f"{name}: ")]
        found[f"reward/{name}"] = float(np.mean([parts[name] for parts in said]))
        found[f"invalid/{name}"] = float(sum(reasons))
    return found | control.composition.metrics()


def sample_rows(step: int, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A few of the step's responses, for people to read."""
    members = [member for group in groups for member in group.members]
    chosen = members[:: max(1, len(members) // SAMPLES_PER_STEP)][:SAMPLES_PER_STEP]
    return [
        {
            "step": step,
            "prompt": member.rollout.prompt.id,
            "text": member.rollout.text,
            "reward": member.score.parts[RAW],
            **({"rewards": dict(member.score.parts)} if len(member.score.parts) > 2 else {}),
        }
        for member in chosen
    ]

"""Rewards of the reference policy's own responses, which rewards may be measured against (par)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plaudit.artifacts import write_json
from plaudit.learning import Order
from plaudit.records import Prompt, Rollout, Score
from plaudit.sampling import Sampler, SamplingParams
from plaudit.scoring import RewardSources
from plaudit.stages.rl_composition import References
from plaudit.stages.rl_options import RLConfig

FILE = "reference_rewards.json"


def reference_rewards(
    config: RLConfig,
    scorer: RewardSources,
    sampler: Sampler,
    prompts: Sequence[Prompt],
    order: Order,
    draft: Path,
) -> References:
    """By source and prompt, the rewards of responses sampled from the policy before it learns.

    They are written once, and read again by a run that was cut off. Empty where no source asks
    for them.

    Args:
        sampler: samples from the policy as it begins, which is the reference.
        order: of the prompts; those of the run's steps are asked, with dynamic sampling all.
    """
    sources = config.sources.items()
    needed = {name: s.reference_samples for name, s in sources if s.samples_reference}
    if not needed:
        return {}
    if not (draft / FILE).is_file():
        rows = {int(row) for step in range(config.max_steps) for row in order.batch(step)}
        if config.dynamic_sampling:
            rows = set(range(len(prompts)))
        asked = [prompts[row] for row in sorted(rows)]
        rollouts = sampler.sample(asked, max(needed.values()), _params(config))
        found = {name: _by_prompt(name, n, scorer, rollouts) for name, n in needed.items()}
        write_json(draft / FILE, found)
    return json.loads((draft / FILE).read_text(encoding="utf-8"))


def _params(config: RLConfig) -> SamplingParams:
    """Drawn apart from every step's."""
    return replace(config.sampling(0), seed=config.seed * 1_000_003 - 1)


def _by_prompt(
    name: str, samples: int, scorer: RewardSources, rollouts: Sequence[Rollout]
) -> dict[str, list[float]]:
    rewards: dict[str, list[float]] = {}
    own = [rollout for rollout in rollouts if rollout.index < samples]
    for rollout, score in zip(own, scorer.scorers[name].score(own), strict=True):
        if isinstance(score, Score):
            rewards.setdefault(rollout.prompt.id, []).append(score.value)
    return rewards

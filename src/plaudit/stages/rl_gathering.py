"""Gathering a step: sample, score, group, and ask again where there is nothing to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from plaudit.learning.experience import Group, group_scores
from plaudit.objectives import optimal_value, overlong_penalty, teaches
from plaudit.records import Invalid, Prompt, Rollout, Score
from plaudit.sampling import Sampler
from plaudit.scoring import RewardSources
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_shaping import Controllers

NO_BASELINE = "its prompt's baseline could not be scored"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a step is gathered from."""

    sampler: Sampler
    scorer: RewardSources
    reference: Sampler | None
    """Samples from the reference, where the algorithm asks for that."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a step was sampled; ``groups`` holds all that could be scored."""

    rollouts: list[Rollout]
    groups: list[Group]
    invalid: Counter[str]
    rounds: int

    def kept(self, *, dynamic: bool) -> list[Group]:
        """The groups to learn from: all, or those whose rewards differ unless none does."""
        useful = [group for group in self.groups if teaches(group.rewards_K.tolist())]
        return useful if dynamic and useful else self.groups

    def metrics(self) -> dict[str, float]:
        return {"sampling_rounds": float(self.rounds)} if self.rounds > 1 else {}


def gather(
    config: RLConfig,
    prompts: Sequence[Prompt],
    rows: np.ndarray,
    step: int,
    sources: Sources,
    control: Controllers,
) -> tuple[Gathered, Controllers]:
    """Responses to the step's prompts and, with dynamic sampling, to others until enough teach.

    Which others, and what is sampled, is a function of the seed and the step.
    """
    spare = _spare(rows, len(prompts), (config.seed, step))
    gathered = Gathered(rollouts=[], groups=[], invalid=Counter(), rounds=0)
    asked, rounds = list(rows), config.max_sampling_rounds or 1
    while asked and gathered.rounds < rounds:
        drawn, control = _draw(
            config,
            [prompts[row] for row in asked],
            step,
            sources,
            control,
            begins_step=gathered.rounds == 0,
        )
        gathered = Gathered(
            rollouts=gathered.rollouts + drawn.rollouts,
            groups=gathered.groups + drawn.groups,
            invalid=gathered.invalid + drawn.invalid,
            rounds=gathered.rounds + 1,
        )
        useful = sum(teaches(group.rewards_K.tolist()) for group in gathered.groups)
        asked = list(islice(spare, max(0, len(rows) - useful)))
    return gathered, control


def _spare(rows: np.ndarray, count: int, seed: tuple[int, int]) -> Iterator[int]:
    """The rows of prompts the step did not ask for, in an order of its own."""
    asked = set(rows.tolist())
    order = np.random.default_rng((*seed, 1)).permutation(count)
    return (row for row in order.tolist() if row not in asked)


def _draw(
    config: RLConfig,
    asked: list[Prompt],
    step: int,
    sources: Sources,
    control: Controllers,
    *,
    begins_step: bool,
) -> tuple[Gathered, Controllers]:
    """One round: the responses to these prompts, scored and grouped."""
    rollouts = sources.sampler.sample(asked, config.num_generations, config.sampling(step))
    baselines = _baseline_rollouts(config, asked, step, sources)
    # Baselines are scored with the responses, so that whatever normalises treats them alike.
    scored = rollouts + baselines
    found = sources.scorer.score(scored)
    scores, control = control.shape(scored, found, begins_step=begins_step)
    scores = [_punished(config, *pair) for pair in zip(scored, scores, strict=True)]
    own, others = scores[: len(rollouts)], scores[len(rollouts) :]
    groups, invalid = group_scores(rollouts, own, least=config.least_responses)
    if baselines:
        groups, without = _with_baselines(config, groups, baselines, others)
        invalid[NO_BASELINE] += without
    drawn = Gathered(rollouts=rollouts, groups=groups, invalid=+invalid, rounds=1)
    return drawn, control


def _baseline_rollouts(
    config: RLConfig, asked: list[Prompt], step: int, sources: Sources
) -> list[Rollout]:
    """A greedy response to each prompt, several of the reference, or none."""
    params = config.sampling(step)
    if config.row.advantage == "greedy":
        return sources.sampler.sample(asked, 1, replace(params, temperature=0.0))
    if config.optimal_value is not None:
        assert sources.reference is not None, "the stage opens one for this row"
        # The reference does not move, so neither do its samples of a prompt.
        params = replace(params, seed=config.seed)
        return sources.reference.sample(asked, config.optimal_value.num_samples, params)
    return []


def _with_baselines(
    config: RLConfig,
    groups: Sequence[Group],
    baselines: Sequence[Rollout],
    scores: Sequence[Score | Invalid],
) -> tuple[list[Group], int]:
    """Groups that know what their prompt is worth, and how many responses have none that does."""
    values: dict[int, list[float]] = {}
    for rollout, score in zip(baselines, scores, strict=True):
        if isinstance(score, Score):
            values.setdefault(id(rollout.prompt), []).append(score.value)
    found, without = [], 0
    for group in groups:
        rewards = values.get(id(group.members[0].rollout.prompt))
        if rewards is None:
            without += len(group.members)
        else:
            found.append(replace(group, baseline=_worth(config, rewards)))
    return found, without


def _worth(config: RLConfig, rewards: list[float]) -> float:
    if config.optimal_value is None:
        return rewards[0]
    rewards_B = torch.tensor(rewards, dtype=torch.float64)
    return float(optimal_value(rewards_B, beta=config.optimal_value.beta))


def _punished(config: RLConfig, rollout: Rollout, score: Score | Invalid) -> Score | Invalid:
    """Less DAPO's penalty, where the response is nearly as long as may be."""
    if isinstance(score, Invalid) or not config.overlong_buffer_tokens:
        return score
    penalty = overlong_penalty(
        _policy_tokens(rollout),
        max_tokens=config.max_completion_length,
        buffer_tokens=config.overlong_buffer_tokens,
    )
    return replace(score, value=score.value + penalty)


def _policy_tokens(rollout: Rollout) -> int:
    return int(rollout.written.sum())

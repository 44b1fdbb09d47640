"""rl: optimise a policy against a reward, by a row of the algorithm table.

Samples responses to prompts, scores them with a reward model or a reward function, turns scores
into advantages, updates the policy, and hands the new weights back to the sampler. Writes
``model``, and ``samples.jsonl`` with what the policy wrote along the way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plaudit.artifacts import Artifact, Draft
from plaudit.environments import environment_inputs, told_of_tools, turn_metrics
from plaudit.formats import load_prompts, local_inputs
from plaudit.learning import Checkpoints, Learner, Order, Recorder
from plaudit.learning.experience import assemble
from plaudit.models import Roles
from plaudit.records import Prompt
from plaudit.sampling import Sampler
from plaudit.stages.rl_coefficients import Coefficients
from plaudit.stages.rl_composition import References, check_columns
from plaudit.stages.rl_gathering import Sources, gather
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_references import reference_rewards
from plaudit.stages.rl_rewards import open_sources, source_inputs
from plaudit.stages.rl_roles import open_roles, reward_on_backbone
from plaudit.stages.rl_sampling import open_sampler
from plaudit.stages.rl_shaping import Controllers, sample_rows, step_metrics
from plaudit.stages.rl_updates import (
    PretrainingMix,
    correction_metrics,
    correction_of,
    objective_of,
    update,
)
from plaudit.stages.setup import make_learner, open_draft, open_text
from plaudit.text import Renderer, prompts_within

CONFIG = RLConfig


def inputs(config: RLConfig) -> dict[str, Path]:
    named = local_inputs(
        model=config.model,
        dataset=config.dataset,
        reward_model=config.reward_model,
        ptx=config.ptx.dataset if config.ptx else None,
    )
    return named | source_inputs(config.rewards) | environment_inputs(config.environment)


def run(config: RLConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.longest_tokens)
    renderer = told_of_tools(config.environment, renderer)
    loaded = load_prompts(config.dataset, portion=config.portion)
    prompts = prompts_within(loaded, renderer, config.max_prompt_length)
    check_columns(config.combine, prompts)
    order = Order(rows=len(prompts), batch_size=config.batch_size, epochs=1, seed=config.seed)
    roles = open_roles(config)
    adapted = reward_on_backbone(config, roles)
    scorer = open_sources(config.sources, renderer, config.loading, adapted)
    draft = open_draft("rl", config, inputs(config), output, began)
    learner = make_learner(
        roles,
        config,
        tokenizer,
        draft.path,
        total_steps=config.max_steps * config.updates_per_step,
        learning_rates=config.learning_rates,
        temperature=config.temperature,
    )
    sampler = open_sampler(config, roles.model("policy"), renderer)
    sources = Sources(sampler=sampler, scorer=scorer, reference=_reference(config, roles, renderer))
    mix = PretrainingMix.open(config.ptx, renderer, seed=config.seed) if config.ptx else None
    rewards = reference_rewards(config, scorer, sources.sampler, prompts, order, draft.path)
    metrics = _learn(config, learner, draft, Material(prompts, order, sources, mix, rewards))
    roles.save("policy", tokenizer, draft.path / "model")
    return draft.finish(
        {"prompts": len(prompts), "left_out": len(loaded) - len(prompts), "last_step": metrics}
    )


class Material(NamedTuple):
    """What a run learns from."""

    prompts: Sequence[Prompt]
    order: Order
    sources: Sources
    mix: PretrainingMix | None
    references: References


def _learn(
    config: RLConfig, learner: Learner, draft: Draft, material: Material
) -> dict[str, float]:
    """The loop, from the draft's last checkpoint on; the last step's metrics."""
    prompts, order, sources, mix, references = material
    checkpoints = Checkpoints(draft, every_steps=config.save_steps)
    checkpoint = checkpoints.restore(learner)
    control = Controllers.resume(config, checkpoint.controllers, references)
    coefficients = Coefficients.resume(config, checkpoint.controllers)
    row, correction = config.row, correction_of(config)
    sources.sampler.load(*learner.weights())
    with Recorder(draft, total_steps=config.max_steps, start=checkpoint.step) as recorder:
        for step in range(checkpoint.step, config.max_steps):
            found, control = gather(config, prompts, order.batch(step), step, sources, control)
            groups = found.kept(dynamic=bool(config.dynamic_sampling))
            trees = assemble(groups, learner, row, coefficients.shaping(), correction)
            metrics = step_metrics(found.rollouts, found.groups, trees, found.invalid, control)
            metrics |= found.metrics() | coefficients.metrics() | correction_metrics(trees)
            metrics |= turn_metrics(found.rollouts)
            objective = objective_of(config, coefficients, step)
            metrics |= update(config, learner, trees, objective, mix, step)
            if config.ref_model_sync_steps and (step + 1) % config.ref_model_sync_steps == 0:
                learner.refresh("reference", share=config.ref_model_mixup_alpha or 1.0)
            sources.sampler.load(*learner.weights())
            coefficients = coefficients.adapted(metrics, len(found.rollouts))
            recorder.record(step + 1, metrics, sample_rows(step + 1, groups))
            if checkpoints.due(step + 1) and step + 1 < config.max_steps:
                checkpoints.save(step + 1, learner, control.as_dict() | coefficients.as_dict())
    return metrics


def _reference(config: RLConfig, roles: Roles, renderer: Renderer) -> Sampler | None:
    """A sampler of the reference, for the algorithm that asks it what a prompt is worth."""
    if config.optimal_value is None:
        return None
    return open_sampler(config, roles.model("reference"), renderer)

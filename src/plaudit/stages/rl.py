"""rl: optimise a policy against a reward, by a row of the algorithm table.

Samples responses to prompts, scores them with a reward model or a reward function, turns scores
into advantages, updates the policy, and hands the new weights back to the sampler. Writes
``model``, and ``samples.jsonl`` with what the policy wrote along the way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plaudit.artifacts import Artifact
from plaudit.environments import environment_inputs, told_of_tools, turn_metrics
from plaudit.formats import load_prompts, local_inputs
from plaudit.learning import Checkpoints, Learner, Order, Recorder
from plaudit.learning.experience import assemble, group_scores, weigh
from plaudit.objectives import ALGORITHMS, PolicyOptimisation
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_roles import open_roles, open_scorer
from plaudit.stages.rl_sampling import open_sampler
from plaudit.stages.rl_shaping import Controllers, sample_rows, step_metrics
from plaudit.stages.setup import make_learner, open_draft, open_text
from plaudit.text import Tree, prompts_within

CONFIG = RLConfig


def inputs(config: RLConfig) -> dict[str, Path]:
    named = local_inputs(
        model=config.model, dataset=config.dataset, reward_model=config.reward_model
    )
    return named | environment_inputs(config.environment)


def run(config: RLConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(
        config, longest_tokens=config.max_prompt_length + config.max_completion_length
    )
    renderer = told_of_tools(config.environment, renderer)
    loaded = load_prompts(config.dataset, portion=config.portion)
    prompts = prompts_within(loaded, renderer, config.max_prompt_length)
    order = Order(rows=len(prompts), batch_size=config.batch_size, epochs=1, seed=config.seed)
    roles, scorer = open_roles(config), open_scorer(config, tokenizer)
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
    checkpoints = Checkpoints(draft, every_steps=config.save_steps)
    checkpoint = checkpoints.restore(learner)
    control = Controllers.resume(config, checkpoint.controllers)
    sampler = open_sampler(config, roles, renderer)
    sampler.load(*learner.weights())
    algorithm = ALGORITHMS[config.algorithm]
    with Recorder(draft, total_steps=config.max_steps, start=checkpoint.step) as recorder:
        for step in range(checkpoint.step, config.max_steps):
            asked = [prompts[row] for row in order.batch(step)]
            rollouts = sampler.sample(asked, config.num_generations, config.sampling(step))
            scores, control = control.shape(rollouts, scorer.score(rollouts))
            groups, invalid = group_scores(rollouts, scores, least=config.least_responses)
            trees = assemble(groups, learner, algorithm, control.shaping())
            metrics = step_metrics(rollouts, groups, trees, invalid, control)
            metrics |= turn_metrics(rollouts)
            metrics |= _update(config, learner, trees, step)
            sampler.load(*learner.weights())
            control = control.adapted(metrics["kl"], len(rollouts))
            recorder.record(step + 1, metrics, sample_rows(step + 1, groups))
            if checkpoints.due(step + 1) and step + 1 < config.max_steps:
                checkpoints.save(step + 1, learner, control.as_dict())
    roles.save("policy", tokenizer, draft.path / "model")
    return draft.finish(
        {"prompts": len(prompts), "left_out": len(loaded) - len(prompts), "last_step": metrics}
    )


def _update(
    config: RLConfig, learner: Learner, trees: Sequence[Tree], step: int
) -> dict[str, float]:
    """The step's optimiser steps; metrics are their means."""
    warming_up = config.critic is not None and step < config.critic.warmup_steps
    algorithm = ALGORITHMS[config.algorithm]
    objective = PolicyOptimisation(
        critic=config.critic is not None,
        train_policy=not warming_up,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high or config.epsilon,
        kl_coefficient=config.beta if algorithm.kl == "loss" else 0.0,
        **({"vf_coefficient": config.critic.vf_coef} if config.critic else {}),
        **({"cliprange_value": config.critic.cliprange_value} if config.critic else {}),
    )
    rng = np.random.default_rng((config.seed, step))
    found: list[dict[str, float]] = []
    for _ in range(config.num_ppo_epochs):
        for rows in np.array_split(rng.permutation(len(trees)), config.num_mini_batches):
            if not len(rows):
                continue
            part = [trees[row] for row in rows]
            weighed = weigh(part, algorithm, max_tokens=config.max_completion_length)
            found.append(learner.update(weighed, objective))
    names = {name for metrics in found for name in metrics}
    return {n: float(np.mean([m[n] for m in found if n in m])) for n in sorted(names)}

"""Plaudit's side: the stages' own parts, a step at a time, without checkpoints and recorder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured import Measured
from benchmarks.plaudit_rl import RL_VARIANTS, run_rl
from benchmarks.plaudit_rows import LORA_R, SCRATCH, lengths_of, loss_of, of_step, picked, said
from benchmarks.workload import (
    BETA,
    CONTEXT_TOKENS,
    NEW_TOKENS,
    OPTIMISER,
    Files,
    Lengths,
    Work,
    groups,
    sampling_stops,
)
from plaudit.formats import WHOLE, load_demonstrations, load_prompts
from plaudit.learning import Learner, Objective
from plaudit.models import load_language_model, stop_ids
from plaudit.objectives import LanguageModelling, PreferenceOptimisation, RewardModelling
from plaudit.records import Prompt, Rollout
from plaudit.runtime import prepare_process, quiet
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.scoring import open_reward_model, rollout_trees
from plaudit.stages import preference, reward, sft
from plaudit.stages.preference_data import read_trees
from plaudit.stages.preference_data import weighed as weighed_preferences
from plaudit.stages.preference_reference import open_reference
from plaudit.stages.preference_reference import open_roles as open_preference_roles
from plaudit.stages.reward_data import read_data, weighed
from plaudit.stages.reward_roles import reward_roles
from plaudit.stages.setup import equal_token_weights, make_learner, open_text, policy_roles
from plaudit.text import Renderer, Tree, demonstration_trees, load_tokenizer
from plaudit.text.tokenizer import eos_id

VARIANTS = {"sft": ("", "adapters"), "grpo": RL_VARIANTS, "ppo": RL_VARIANTS}


def run(work: Work, files: Files, variant: str) -> Measured:
    """Do the work; with ``adapters`` in place of all weights for ``sft``, ``grpo`` and ``ppo``.

    Raises:
        ValueError: the task has no such variant.
    """
    if variant not in VARIANTS.get(work.task, ("",)):
        raise ValueError(f"variant={variant}: Plaudit's side has none of that name for {work.task}")
    quiet()
    prepare_process()
    tasks: dict[str, Callable[[Work, Files], Measured]] = {
        "sft": partial(run_sft, lora_r=LORA_R if variant else 0), "reward": run_reward,
        "dpo": run_dpo, "grpo": partial(run_rl, variant=variant),
        "ppo": partial(run_rl, variant=variant), "sample": run_sampling, "score": run_scoring,
    }  # fmt: skip
    return tasks[work.task](work, files)


def run_sft(work: Work, files: Files, *, lora_r: int) -> Measured:
    config = sft.SFTConfig(
        dataset=str(files.demonstrations), lora_r=lora_r, **training(work, files.policy)
    )
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    rows = load_demonstrations(config.dataset, portion=WHOLE)
    trees = list(demonstration_trees(picked(work, files, rows), renderer))
    measured = Measured(settings=said(config))
    roles = policy_roles(config, config, config)
    learner = make_learner(roles, config, tokenizer, SCRATCH, total_steps=work.steps)
    _fit(work, measured, learner, LanguageModelling(), trees, equal_token_weights)
    return measured


def run_reward(work: Work, files: Files) -> Measured:
    config = reward.RewardConfig(dataset=str(files.pairs), **training(work, files.reward))
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees = picked(work, files, read_data(config, WHOLE, renderer).trees)
    measured = Measured(settings=said(config))
    roles = reward_roles(config)
    learner = make_learner(roles, config, tokenizer, SCRATCH, total_steps=work.steps)
    _fit(work, measured, learner, RewardModelling(), trees, weighed)
    return measured


def run_dpo(work: Work, files: Files) -> Measured:
    config = preference.PreferenceConfig(
        dataset=str(files.pairs), beta=BETA["dpo"], **training(work, files.policy)
    )
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees = picked(work, files, read_trees(config, renderer))
    measured = Measured(settings=said(config) | {"reference": "once, its time shared out"})
    roles = open_preference_roles(config)
    learner = make_learner(roles, config, tokenizer, SCRATCH, total_steps=work.steps)
    began = time.perf_counter()
    (trees, _), _ = open_reference(config, (trees, []), learner, SCRATCH)
    seconds = time.perf_counter() - began
    objective = PreferenceOptimisation(terms=config.terms)
    _fit(work, measured, learner, objective, trees, weighed_preferences)
    measured.spread(seconds)
    return measured


def run_sampling(work: Work, files: Files) -> Measured:
    measured = Measured(settings={"slots": work.examples_per_step})
    model = load_language_model(str(files.policy), precision=work.precision, device=work.device)
    tokenizer = load_tokenizer(str(files.policy))
    renderer = Renderer(tokenizer, sampling_stops(work.shape.vocab_size, eos_id(tokenizer)))
    sampler = LocalSampler(model, renderer, slots=work.examples_per_step)
    prompts = picked(work, files, load_prompts(str(files.prompts)))

    def one(step: int) -> tuple[None, list[Lengths]]:
        asked = [prompts[row] for row in of_step(work, step)]
        params = SamplingParams(max_tokens=NEW_TOKENS["sample"], seed=step)
        return None, _sampled(sampler.sample(asked, work.responses_per_prompt, params))

    measured.time(work.steps, one)
    return measured


def run_scoring(work: Work, files: Files) -> Measured:
    """Prompts, each with its own response and those of the rows that follow, are scored."""
    renderer = _renderer(files)
    rows = load_demonstrations(str(files.demonstrations), portion=WHOLE)
    measured = Measured(settings={"token_budget": 8192})
    scorer = open_reward_model(
        str(files.reward), policy_tokenizer=renderer.tokenizer, precision=work.precision,
        device=work.device, standardised=False,
    )  # fmt: skip
    trees = list(demonstration_trees(rows, renderer))
    prompts = {tree.id: row.prompt for tree, row in zip(trees, rows, strict=True)}

    def one(step: int) -> tuple[None, list[Lengths]]:
        asked = groups(trees, work.batch(step, len(trees)), work.responses_per_prompt)
        rollouts = [
            _given(prompts[group[0].id], group[0], other, k)
            for group in asked
            for k, other in enumerate(group)
        ]
        scorer.score(rollouts)
        return None, _sampled(rollouts)

    measured.time(work.steps, one)
    return measured


def _fit(
    work: Work,
    measured: Measured,
    learner: Learner,
    objective: Objective,
    trees: Sequence[Tree],
    weigh: Callable[[list[Tree]], list[Tree]],
) -> None:
    def one(step: int) -> tuple[float, list[Lengths]]:
        batch = weigh([trees[row] for row in of_step(work, step)])
        return loss_of(learner.update(batch, objective)), [lengths_of(tree) for tree in batch]

    measured.time(work.steps, one)


def training(work: Work, model: Path) -> dict[str, Any]:
    return {
        **OPTIMISER,
        "model": str(model),
        "precision": work.precision,
        "device": work.device,
        "batch_size": work.examples_per_step,
        "max_length": CONTEXT_TOKENS,
        "gradient_checkpointing": work.gradient_checkpointing,
    }


def _sampled(rollouts: Sequence[Rollout]) -> list[Lengths]:
    return [lengths_of(tree) for tree in rollout_trees(rollouts)]


def _renderer(files: Files) -> Renderer:
    tokenizer = load_tokenizer(str(files.policy))
    return Renderer(tokenizer, stop_ids(str(files.policy), tokenizer))


def _given(prompt: Prompt, asked: Tree, answered: Tree, index: int) -> Rollout:
    """Another row's response as if it had been sampled for this prompt."""
    ids = answered.branches[0].ids
    return Rollout(
        prompt=prompt,
        prompt_ids=asked.prompt_P,
        ids=ids,
        logprobs=np.zeros(len(ids), np.float32),
        text="",
        finish_reason="stop",
        policy_version=0,
        index=index,
    )

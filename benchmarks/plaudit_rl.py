"""Reinforcement learning on Plaudit's side: steps as ``plaudit.stages.rl`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measured import Measured
from benchmarks.plaudit_rows import LORA_R, SCRATCH, lengths_of, loss_of, of_step, picked, said
from benchmarks.workload import (
    BETA,
    CONTEXT_TOKENS,
    NEW_TOKENS,
    OPTIMISER,
    PPO_EPOCHS,
    Files,
    Lengths,
    Work,
)
from plaudit.formats import load_prompts
from plaudit.learning.experience import assemble
from plaudit.models import AdapterRoles, Roles, load_language_model
from plaudit.scoring import RewardModelScorer, RewardSources
from plaudit.stages.rl_coefficients import Coefficients
from plaudit.stages.rl_gathering import Sources, gather
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_rewards import open_sources
from plaudit.stages.rl_roles import open_roles
from plaudit.stages.rl_sampling import open_sampler
from plaudit.stages.rl_shaping import Controllers
from plaudit.stages.rl_updates import objective_of, update
from plaudit.stages.setup import make_learner, open_text
from plaudit.text import Renderer, Tree

RL_VARIANTS = ("", "adapters", "one-backbone")
"""A model a role; adapters on one, but for the reward model; adapters on one for all four."""


def run_rl(work: Work, files: Files, *, variant: str) -> Measured:
    """A step samples, scores, assembles and updates, as ``plaudit.stages.rl`` does."""
    config = rl_config(work, files, lora_r=LORA_R if variant else 0)
    tokenizer, renderer = open_text(config, longest_tokens=config.longest_tokens)
    prompts = picked(work, files, load_prompts(config.dataset, portion=config.portion))
    measured = Measured(settings=said(config))
    roles, scorer = _opened(config, renderer, variant)
    learner = make_learner(
        roles, config, tokenizer, SCRATCH,
        total_steps=work.steps * config.updates_per_step,
        learning_rates=dict.fromkeys(roles.trained, config.learning_rate),
        temperature=config.temperature,
    )  # fmt: skip
    sampler = open_sampler(config, roles.model("policy"), renderer)
    sources = Sources(sampler=sampler, scorer=scorer, reference=None)
    coefficients = Coefficients.resume(config, {})
    control = Controllers.resume(config, {}, {})

    def one(step: int) -> tuple[float, list[Lengths]]:
        nonlocal control
        rows = np.array(of_step(work, step))
        found, control = gather(config, prompts, rows, step, sources, control)
        trees = assemble(found.groups, learner, config.row, coefficients.shaping())
        metrics = update(
            config, learner, trees, objective_of(config, coefficients, step), None, step
        )
        sampler.load(*learner.weights())
        if not step:
            measured.extra |= _first(trees)
        return loss_of(metrics), [lengths_of(tree) for tree in trees]

    measured.time(work.steps, one)
    return measured


def _opened(config: RLConfig, renderer: Renderer, variant: str) -> tuple[Roles, RewardSources]:
    """The models of the run, and what scores."""
    if variant != "one-backbone":
        return open_roles(config), open_sources(config.sources, renderer, config.loading)
    loading = config.model_dump(include={"precision", "device", "trust_remote_code"})
    # The reward's adapter is a trained role by name alone: nothing asks for its gradient.
    roles = AdapterRoles(
        load_language_model(config.model, **loading), [*config.learning_rates, "reward"],
        r=config.lora_r, alpha=config.lora_alpha, seed=config.seed,
    )  # fmt: skip
    scorer = RewardModelScorer(roles, token_budget=config.loading.token_budget)
    return roles, RewardSources(scorers={"reward_model": scorer})


def rl_config(work: Work, files: Files, *, lora_r: int) -> RLConfig:
    ppo = {
        "num_ppo_epochs": PPO_EPOCHS,
        "critic": {"learning_rate": OPTIMISER["learning_rate"]},
    }
    more: dict[str, Any] = ppo if work.task == "ppo" else {}
    return RLConfig(
        **OPTIMISER,
        **more,
        algorithm=work.task,
        model=str(files.policy),
        reward_model=str(files.reward),
        dataset=str(files.prompts),
        precision=work.precision,
        device=work.device,
        lora_r=lora_r,
        max_steps=work.steps,
        batch_size=work.prompts_per_step,
        num_generations=work.responses_per_prompt,
        beta=BETA[work.task],
        max_prompt_length=CONTEXT_TOKENS - NEW_TOKENS[work.task],
        max_completion_length=NEW_TOKENS[work.task],
        sampling_slots=work.examples_per_step,
        gradient_checkpointing=work.gradient_checkpointing,
    )


def _first(trees: Sequence[Tree]) -> dict[str, Any]:
    """What a step sampled: the rewards, and the KL to the reference in nats a token."""
    kl_N = np.concatenate([tree.token["kl"] for tree in trees])
    rewards = np.concatenate([tree.branch["reward"] for tree in trees])
    return {"first_rewards": rewards.tolist(), "first_kl": float(kl_N.mean())}

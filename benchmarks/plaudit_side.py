"""Plaudit's side: the stages' own parts, a step at a time, without checkpoints and recorder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.measured import Measured
from benchmarks.workload import (
    BETA,
    CONTEXT_TOKENS,
    NEW_TOKENS,
    OPTIMISER,
    PPO_EPOCHS,
    Files,
    Lengths,
    Work,
    groups,
    sampling_stops,
)
from plaudit.config import Config
from plaudit.formats import WHOLE, load_demonstrations, load_prompts
from plaudit.learning import Learner, Objective
from plaudit.learning.experience import assemble
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
from plaudit.stages.rl_coefficients import Coefficients
from plaudit.stages.rl_gathering import Sources, gather
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_rewards import open_sources
from plaudit.stages.rl_roles import open_roles
from plaudit.stages.rl_sampling import open_sampler
from plaudit.stages.rl_shaping import Controllers
from plaudit.stages.rl_updates import objective_of, update
from plaudit.stages.setup import equal_token_weights, make_learner, open_text, policy_roles
from plaudit.text import Renderer, Tree, demonstration_tree, load_tokenizer
from plaudit.text.tokenizer import eos_id

T = TypeVar("T")

SCRATCH = Path(tempfile.gettempdir())
"""Where the batch of a loss that is not finite would be written."""


def run(work: Work, files: Files, variant: str) -> Measured:
    """Do the work.

    Raises:
        ValueError: there is no such variant.
    """
    if variant:
        raise ValueError(f"variant={variant}: Plaudit's side has none")
    quiet()
    prepare_process()
    tasks: dict[str, Callable[[Work, Files], Measured]] = {
        "sft": run_sft, "reward": run_reward, "dpo": run_dpo, "grpo": run_rl, "ppo": run_rl,
        "sample": run_sampling, "score": run_scoring,
    }  # fmt: skip
    return tasks[work.task](work, files)


def run_sft(work: Work, files: Files) -> Measured:
    config = sft.SFTConfig(dataset=str(files.demonstrations), **_training(work, files.policy))
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    rows = load_demonstrations(config.dataset, portion=WHOLE)
    trees = [demonstration_tree(row, renderer) for row in _picked(work, files, rows)]
    measured = Measured(settings=_said(config))
    roles = policy_roles(config, config, config)
    learner = make_learner(roles, config, tokenizer, SCRATCH, total_steps=work.steps)
    _fit(work, measured, learner, LanguageModelling(), trees, equal_token_weights)
    return measured


def run_reward(work: Work, files: Files) -> Measured:
    config = reward.RewardConfig(dataset=str(files.pairs), **_training(work, files.reward))
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees = _picked(work, files, read_data(config, WHOLE, renderer).trees)
    measured = Measured(settings=_said(config))
    roles = reward_roles(config)
    learner = make_learner(roles, config, tokenizer, SCRATCH, total_steps=work.steps)
    _fit(work, measured, learner, RewardModelling(), trees, weighed)
    return measured


def run_dpo(work: Work, files: Files) -> Measured:
    config = preference.PreferenceConfig(
        dataset=str(files.pairs), beta=BETA["dpo"], **_training(work, files.policy)
    )
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees = _picked(work, files, read_trees(config, renderer))
    measured = Measured(settings=_said(config) | {"reference": "once, its time shared out"})
    roles = open_preference_roles(config)
    learner = make_learner(roles, config, tokenizer, SCRATCH, total_steps=work.steps)
    began = time.perf_counter()
    (trees, _), _ = open_reference(config, (trees, []), learner, SCRATCH)
    seconds = time.perf_counter() - began
    objective = PreferenceOptimisation(terms=config.terms)
    _fit(work, measured, learner, objective, trees, weighed_preferences)
    measured.spread(seconds)
    return measured


def run_rl(work: Work, files: Files) -> Measured:
    """A step samples, scores, assembles and updates, as ``plaudit.stages.rl`` does."""
    config = _rl_config(work, files)
    tokenizer, renderer = open_text(config, longest_tokens=config.longest_tokens)
    prompts = _picked(work, files, load_prompts(config.dataset, portion=config.portion))
    measured = Measured(settings=_said(config))
    roles = open_roles(config)
    learner = make_learner(
        roles, config, tokenizer, SCRATCH,
        total_steps=work.steps * config.updates_per_step,
        learning_rates=config.learning_rates, temperature=config.temperature,
    )  # fmt: skip
    sampler = open_sampler(config, roles.model("policy"), renderer)
    scorer = open_sources(config.sources, renderer, config.loading)
    sources = Sources(sampler=sampler, scorer=scorer, reference=None)
    coefficients = Coefficients.resume(config, {})
    control = Controllers.resume(config, {}, {})

    def one(step: int) -> tuple[float, list[Lengths]]:
        nonlocal control
        rows = np.array(_of_step(work, step))
        found, control = gather(config, prompts, rows, step, sources, control)
        trees = assemble(found.groups, learner, config.row, coefficients.shaping())
        metrics = update(
            config, learner, trees, objective_of(config, coefficients, step), None, step
        )
        sampler.load(*learner.weights())
        if not step:
            measured.extra |= _first(trees)
        return _loss(metrics), [_lengths(tree) for tree in trees]

    measured.time(work.steps, one)
    return measured


def run_sampling(work: Work, files: Files) -> Measured:
    model = load_language_model(str(files.policy), precision=work.precision, device=work.device)
    measured = Measured(settings={"slots": work.examples_per_step})
    tokenizer = load_tokenizer(str(files.policy))
    renderer = Renderer(tokenizer, sampling_stops(work.shape.vocab_size, eos_id(tokenizer)))
    sampler = LocalSampler(model, renderer, slots=work.examples_per_step)
    prompts = _picked(work, files, load_prompts(str(files.prompts)))

    def one(step: int) -> tuple[None, list[Lengths]]:
        asked = [prompts[row] for row in _of_step(work, step)]
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
    trees = [demonstration_tree(row, renderer) for row in rows]
    prompts = {tree.id: row.prompt for tree, row in zip(trees, rows, strict=True)}

    def one(step: int) -> tuple[None, list[Lengths]]:
        picked = groups(trees, work.batch(step, len(trees)), work.responses_per_prompt)
        rollouts = [
            _given(prompts[group[0].id], group[0], other, k)
            for group in picked
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
        batch = weigh([trees[row] for row in _of_step(work, step)])
        return _loss(learner.update(batch, objective)), [_lengths(tree) for tree in batch]

    measured.time(work.steps, one)


def _training(work: Work, model: Path) -> dict[str, Any]:
    return {
        **OPTIMISER,
        "model": str(model),
        "precision": work.precision,
        "device": work.device,
        "batch_size": work.examples_per_step,
        "max_length": CONTEXT_TOKENS,
    }


def _rl_config(work: Work, files: Files) -> RLConfig:
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
        max_steps=work.steps,
        batch_size=work.prompts_per_step,
        num_generations=work.responses_per_prompt,
        beta=BETA[work.task],
        max_prompt_length=CONTEXT_TOKENS - NEW_TOKENS[work.task],
        max_completion_length=NEW_TOKENS[work.task],
        sampling_slots=work.examples_per_step,
    )


def _said(config: Config) -> dict[str, Any]:
    """Every option but paths, which differ from machine to machine."""
    return config.model_dump(mode="json", exclude={"model", "dataset", "reward_model"})


def _picked(work: Work, files: Files, rows: Sequence[T]) -> list[T]:
    """The rows of all steps, in order."""
    assert len(rows) == len(files.lengths()), "a row of the file is a row here, as at the peers'"
    return [rows[row] for row in work.order(len(rows))]


def _of_step(work: Work, step: int) -> range:
    """Where the rows of a step stand among those picked."""
    return range(step * work.prompts_per_step, (step + 1) * work.prompts_per_step)


def _loss(metrics: dict[str, float]) -> float:
    names = ("loss", "pair_loss", "policy_loss")
    return next(metrics[name] for name in names if name in metrics)


def _first(trees: Sequence[Tree]) -> dict[str, Any]:
    """What a step sampled: the rewards, and the KL to the reference in nats a token."""
    kl_N = np.concatenate([tree.token["kl"] for tree in trees])
    rewards = np.concatenate([tree.branch["reward"] for tree in trees])
    return {"first_rewards": rewards.tolist(), "first_kl": float(kl_N.mean())}


def _lengths(tree: Tree) -> Lengths:
    return Lengths(len(tree.prompt_P), tuple(len(branch.ids) for branch in tree.branches))


def _sampled(rollouts: Sequence[Rollout]) -> list[Lengths]:
    return [_lengths(tree) for tree in rollout_trees(rollouts)]


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

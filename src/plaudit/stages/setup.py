"""What stages set up alike: inputs, models, learners, and trees within a length."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from plaudit.artifacts import Draft
from plaudit.config import Config
from plaudit.learning import Learner, Optimiser, OptimiserSettings
from plaudit.models import AdapterRoles, Roles, SeparateRoles, load_language_model, stop_ids
from plaudit.models.loading import context_tokens, model_path
from plaudit.models.recomputation import recompute_layers
from plaudit.objectives import sequence_weights
from plaudit.stages.options import AdapterOptions, ModelOptions, OptimiserOptions
from plaudit.text import Renderer, Tree, load_tokenizer, pad_id

log = logging.getLogger(__name__)


def open_draft(
    stage: str, config: Config, inputs: Mapping[str, Path], output: Path, began: float
) -> Draft:
    return Draft.open(
        output, stage=stage, config=config.model_dump(mode="json"), inputs=inputs, began=began
    )


def open_text(
    options: ModelOptions, *, longest_tokens: int
) -> tuple[PreTrainedTokenizerBase, Renderer]:
    """The tokenizer of a model, and the renderer that knows its stop tokens.

    Raises:
        ValueError: the model cannot be read, or its context is shorter than ``longest_tokens``.
    """
    context = context_tokens(options.model, trust_remote_code=options.trust_remote_code)
    if context is not None and longest_tokens > context:
        raise ValueError(
            f"{options.model}: attends over {context} tokens, but the length options allow "
            f"{longest_tokens}; lower max_length (or max_prompt_length, max_completion_length)"
        )
    tokenizer = load_tokenizer(
        model_path(options.model), trust_remote_code=options.trust_remote_code
    )
    return tokenizer, Renderer(tokenizer, stop_ids(options.model, tokenizer))


def policy_roles(model: ModelOptions, adapter: AdapterOptions, training: OptimiserOptions) -> Roles:
    """The policy alone, learned in full or as an adapter."""
    policy = load_language_model(
        model.model,
        precision=training.precision,
        device=training.device,
        trust_remote_code=model.trust_remote_code,
    )
    if not adapter.lora_r:
        return SeparateRoles({"policy": policy}, trained=["policy"])
    return AdapterRoles(
        policy, ["policy"], r=adapter.lora_r, alpha=adapter.lora_alpha, seed=training.seed
    )


def make_learner(
    roles: Roles,
    options: OptimiserOptions,
    tokenizer: PreTrainedTokenizerBase,
    draft: Path,
    *,
    total_steps: int,
    learning_rates: Mapping[str, float] | None = None,
    temperature: float = 1.0,
) -> Learner:
    """A learner for the trained roles; ``learning_rates`` where roles differ.

    Raises:
        ValueError: ``gradient_checkpointing`` is asked of a model that cannot.
    """
    if options.gradient_checkpointing:
        for model in roles.backbones():
            recompute_layers(model)
    settings = OptimiserSettings(
        learning_rates=learning_rates or dict.fromkeys(roles.trained, options.learning_rate),
        total_steps=total_steps,
        schedule=options.lr_scheduler_type,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        betas=(options.adam_beta1, options.adam_beta2),
        epsilon=options.adam_epsilon,
        max_grad_norm=options.max_grad_norm,
    )
    return Learner(
        roles,
        Optimiser({role: roles.parameters(role) for role in roles.trained}, settings),
        token_budget=options.micro_batch_tokens,
        pad_id=pad_id(tokenizer),
        temperature=temperature,
        failures=draft,
    )


def within_length(trees: Sequence[Tree], max_length: int) -> tuple[list[Tree], int]:
    """The trees whose prompt and longest response fit, and how many do not.

    Raises:
        ValueError: none fits.
    """
    kept = [tree for tree in trees if tree.longest_tokens <= max_length]
    left_out = len(trees) - len(kept)
    if not kept:
        shortest = min(tree.longest_tokens for tree in trees)
        raise ValueError(
            f"max_length={max_length}: none of {len(trees)} rows fits; the shortest has "
            f"{shortest} tokens"
        )
    if left_out:
        log.info("%d of %d rows left out: beyond max_length=%d", left_out, len(trees), max_length)
    return kept, left_out


def equal_token_weights(trees: Sequence[Tree]) -> list[Tree]:
    """Give every policy token of an update the same weight."""
    lengths = [int(tree.tokens_per_branch_K.sum()) for tree in trees]
    weights = sequence_weights(lengths, "token")
    return [
        tree.with_token_labels(weight=np.full(length, weight, np.float32))
        for tree, length, weight in zip(trees, lengths, weights, strict=True)
    ]

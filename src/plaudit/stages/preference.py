"""preference: optimise a policy on pairs directly (DPO).

Reads preferences; the reference is the model as it begins, and its log-probabilities are computed
once. All pairs of one prompt are one tree. Writes ``model``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from plaudit.artifacts import Artifact
from plaudit.formats import WHOLE, Portion, load_judged, local_inputs
from plaudit.learning import Learner, Order, fit
from plaudit.objectives import DirectPreference
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    ModelOptions,
    NonNegative,
    Positive,
    TrainingOptions,
)
from plaudit.stages.setup import (
    make_learner,
    open_draft,
    open_text,
    policy_roles,
    within_length,
)
from plaudit.text import Renderer, Tree, judged_tree


class PreferenceConfig(ModelOptions, AdapterOptions, TrainingOptions):
    """Options of ``plaudit preference``."""

    dataset: str
    """Preferences: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    learning_rate: Positive = 1e-6
    batch_size: Count = 32
    max_length: Count = 1024
    """Tokens of prompt and longest response together; longer prompts are left out and counted."""
    beta: Positive = 0.1
    """How firmly the policy is held to the reference (on log-ratios summed over tokens)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Probability that a label is wrong (conservative DPO)."""
    rpo_alpha: NonNegative = 0.0
    """Weight of the better response's negative log-likelihood, per token."""


CONFIG = PreferenceConfig


def inputs(config: PreferenceConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: PreferenceConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees, left_out = within_length(_trees(config, renderer), config.max_length)
    order = Order(
        rows=len(trees),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    roles = policy_roles(config, config, config)
    draft = open_draft("preference", config, inputs(config), output, began)
    learner = make_learner(roles, config, tokenizer, draft.path, total_steps=order.steps)
    trees = _with_reference(trees, learner)  # before a checkpoint replaces the first weights
    fit(
        learner,
        DirectPreference(beta=config.beta, nll_coefficient=config.rpo_alpha),
        lambda step: equal_prompt_weights([trees[row] for row in order.batch(step)]),
        steps=order.steps,
        draft=draft,
        save_steps=config.save_steps,
    )
    roles.save("policy", tokenizer, draft.path / "model")
    pairs = sum(len(tree.pair["better"]) for tree in trees)
    return draft.finish({"prompts": len(trees), "pairs": pairs, "left_out": left_out})


def equal_prompt_weights(trees: Sequence[Tree]) -> list[Tree]:
    """Every prompt of the update weighs the same; its pairs share that (Ouyang et al. 2022)."""
    return [
        tree.with_pair_labels(weight=_normalised(tree.pair["weight"]) / len(trees))
        for tree in trees
    ]


def _normalised(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


def _trees(config: PreferenceConfig, renderer: Renderer) -> list[Tree]:
    """The judged prompts that hold pairs, without the responses that stand in none."""
    judged = load_judged(config.dataset, portion=config.portion)
    paired = [j for j in judged if j.preferences]
    if not paired:
        raise ValueError(
            f"{config.dataset}: holds ratings but no preferences; the preference stage needs pairs"
        )
    trees = [judged_tree(j, renderer) for j in paired]
    return [_smoothed(_only_paired(tree), config.label_smoothing) for tree in trees]


def _only_paired(tree: Tree) -> Tree:
    used = np.unique(np.concatenate([tree.pair["better"], tree.pair["worse"]]))
    pair = {
        name: np.searchsorted(used, values) if name in ("better", "worse") else values
        for name, values in tree.pair.items()
    }
    kept = replace(tree, branches=tuple(tree.branches[k] for k in used), branch={}, pair=pair)
    return kept.with_branch_labels(tokens=kept.tokens_per_branch_K.astype(np.float32))


def _smoothed(tree: Tree, smoothing: float) -> Tree:
    probability = tree.pair["probability"]
    return tree.with_pair_labels(
        probability=probability * (1 - smoothing) + (1 - probability) * smoothing
    )


def _with_reference(trees: Sequence[Tree], learner: Learner) -> list[Tree]:
    outputs = learner.forward(trees, ["policy.logprobs"])
    return [
        tree.with_token_labels(reference=output["policy.logprobs"])
        for tree, output in zip(trees, outputs, strict=True)
    ]

"""sft: imitate demonstrations.

Reads dialogues or prompts with completions; the loss is on the assistant's tokens alone, tool
calls included. Writes ``model`` and, where a part was held out, the loss on it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plaudit.artifacts import Artifact
from plaudit.formats import WHOLE, Portion, load_demonstrations, local_inputs
from plaudit.learning import Learner, Order, fit
from plaudit.objectives import LanguageModelling
from plaudit.stages.options import AdapterOptions, Count, ModelOptions, Positive, TrainingOptions
from plaudit.stages.setup import (
    equal_token_weights,
    make_learner,
    open_draft,
    open_text,
    policy_roles,
    within_length,
)
from plaudit.text import Renderer, Tree, demonstration_trees


class SFTConfig(ModelOptions, AdapterOptions, TrainingOptions):
    """Options of ``plaudit sft``."""

    dataset: str
    """Demonstrations: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    eval_portion: Portion | None = None
    """The conversations to measure the loss on."""
    learning_rate: Positive = 2e-5
    batch_size: Count = 32
    max_length: Count = 1024
    """Tokens of prompt and response together; longer demonstrations are left out and counted."""


CONFIG = SFTConfig


def inputs(config: SFTConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: SFTConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees, left_out = _trees(config, config.portion, renderer)
    held_out = _trees(config, config.eval_portion, renderer)[0] if config.eval_portion else []
    order = Order(
        rows=len(trees),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    roles = policy_roles(config, config, config)
    draft = open_draft("sft", config, inputs(config), output, began)
    learner = make_learner(roles, config, tokenizer, draft.path, total_steps=order.steps)
    fit(
        learner,
        LanguageModelling(),
        lambda step: equal_token_weights([trees[row] for row in order.batch(step)]),
        steps=order.steps,
        draft=draft,
        save_steps=config.save_steps,
    )
    metrics = {"demonstrations": len(trees), "left_out": left_out}
    if held_out:
        metrics |= _held_out(learner, held_out)
    roles.save("policy", tokenizer, draft.path / "model")
    return draft.finish(metrics)


def _trees(config: SFTConfig, portion: Portion, renderer: Renderer) -> tuple[list[Tree], int]:
    demonstrations = load_demonstrations(config.dataset, portion=portion)
    return within_length(list(demonstration_trees(demonstrations, renderer)), config.max_length)


def _held_out(learner: Learner, trees: Sequence[Tree]) -> dict[str, float]:
    outputs = learner.forward(trees, ["policy.logprobs"])
    logprobs = np.concatenate([output["policy.logprobs"] for output in outputs])
    return {"held_out_loss": float(-logprobs.mean()), "held_out_demonstrations": len(trees)}

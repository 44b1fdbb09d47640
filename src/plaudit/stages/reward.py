"""reward: a model of human judgments.

Reads preferences and ratings. Pairs of one prompt train by Bradley-Terry, all in one tree; ratings
train pointwise, as log-odds of being good. Writes ``model`` (with ``reward.json``: mean and
standard deviation of its scores on the responses it learned from); with LoRA ``adapter`` too; and
for the part held out ``held_out.jsonl``, with accuracy, AUC and what simple rules reach there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import model_validator
from transformers import AutoConfig, AutoModelForSequenceClassification

from plaudit.artifacts import Artifact, write_json, write_text
from plaudit.formats import WHOLE, Portion, load_judged, local_inputs
from plaudit.learning import Learner, Order, fit
from plaudit.models import (
    AdapterRoles,
    Roles,
    SeparateRoles,
    load_language_model,
    load_scalar_model,
    model_path,
    torch_dtype,
)
from plaudit.models.loading import init_scalar_head, on_device, scalar_head
from plaudit.objectives import RewardModelling
from plaudit.records import Judged
from plaudit.stages.held_out import measure, rows
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    ModelOptions,
    NonNegative,
    Positive,
    TrainingOptions,
)
from plaudit.stages.setup import make_learner, open_draft, open_text, within_length
from plaudit.text import Renderer, Tree, judged_tree


class RewardConfig(ModelOptions, AdapterOptions, TrainingOptions):
    """Options of ``plaudit reward``."""

    dataset: str
    """Preferences and ratings: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    eval_portion: Portion | None = None
    """The conversations to measure accuracy and AUC on."""
    learning_rate: Positive = 1e-4
    batch_size: Count = 32
    max_length: Count = 1024
    """Tokens of prompt and longest response together; longer prompts are left out and counted."""
    pointwise_coefficient: NonNegative = 1.0
    """Weight of the ratings' loss beside that of the pairs."""
    random_init: bool = False
    """Begin from random weights instead of the model's: what is pretraining worth?"""
    shuffle_labels: bool = False
    """Train on labels dealt out at random: a control that must learn nothing."""

    @model_validator(mode="after")
    def _refuse_adapters_on_nothing(self) -> RewardConfig:
        if self.random_init and self.lora_r:
            raise ValueError("random_init: adapters (lora_r) need weights to adapt; choose one")
        return self


CONFIG = RewardConfig


def inputs(config: RewardConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: RewardConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees, judged = _read(config, config.portion, renderer)
    held_out = _read(config, config.eval_portion, renderer) if config.eval_portion else None
    learned = _shuffled(trees, config.seed) if config.shuffle_labels else trees
    order = Order(
        rows=len(trees),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    roles = _roles(config)
    draft = open_draft("reward", config, inputs(config), output, began)
    learner = make_learner(roles, config, tokenizer, draft.path, total_steps=order.steps)
    fit(
        learner,
        RewardModelling(pointwise_coefficient=config.pointwise_coefficient),
        lambda step: weighed([learned[row] for row in order.batch(step)]),
        steps=order.steps,
        draft=draft,
        save_steps=config.save_steps,
    )
    roles.save("reward", tokenizer, draft.path / "model")
    if isinstance(roles, AdapterRoles):
        roles.save_adapter("reward", draft.path / "adapter")
    write_json(draft.path / "model" / "reward.json", _reference(learner, trees))
    metrics: dict[str, Any] = {"prompts": len(trees), **_count(judged)}
    if held_out is not None:
        metrics["held_out"] = _held_out(learner, *held_out, train=judged, draft=draft.path)
    return draft.finish(metrics)


def weighed(trees: Sequence[Tree]) -> list[Tree]:
    """Prompts with pairs share the pairs' loss evenly, ratings share theirs by their weights."""
    with_pairs = sum(bool(len(tree.pair["weight"])) for tree in trees)
    ratings = sum(float(tree.branch["rating_weight"].sum()) for tree in trees)
    return [
        tree.with_pair_labels(
            weight=tree.pair["weight"] / max(1e-9, tree.pair["weight"].sum()) / max(1, with_pairs)
        ).with_branch_labels(weight=tree.branch["rating_weight"] / max(1e-9, ratings))
        for tree in trees
    ]


def _roles(config: RewardConfig) -> Roles:
    if config.lora_r:
        base = load_language_model(
            config.model,
            precision=config.precision,
            device=config.device,
            trust_remote_code=config.trust_remote_code,
        )
        return AdapterRoles(
            base, ["reward"], r=config.lora_r, alpha=config.lora_alpha, seed=config.seed
        )
    if config.random_init:
        return SeparateRoles({"reward": _random(config)}, trained=["reward"])
    model = load_scalar_model(
        config.model,
        precision=config.precision,
        seed=config.seed,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )
    return SeparateRoles({"reward": model}, trained=["reward"])


def _random(config: RewardConfig):
    """The model's architecture with weights drawn anew."""
    shape = AutoConfig.from_pretrained(model_path(config.model), num_labels=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AutoModelForSequenceClassification.from_config(
            shape, dtype=torch_dtype(config.precision)
        )
    init_scalar_head(scalar_head(model), config.seed)
    return on_device(model.eval(), config.device)


def _read(
    config: RewardConfig, portion: Portion, renderer: Renderer
) -> tuple[list[Tree], list[Judged]]:
    """The judged prompts of a portion that are short enough, as trees and as they were read."""
    judged = load_judged(config.dataset, portion=portion)
    trees = [judged_tree(j, renderer) for j in judged]
    kept, _ = within_length(trees, config.max_length)
    fits = {id(tree) for tree in kept}
    return kept, [j for j, tree in zip(judged, trees, strict=True) if id(tree) in fits]


def _shuffled(trees: Sequence[Tree], seed: int) -> list[Tree]:
    """Ratings dealt out anew over all rated responses; every pair turned by a coin."""
    rng = np.random.default_rng(seed)
    ratings = np.concatenate([t.branch["rating"][t.branch["rating_weight"] > 0] for t in trees])
    dealt = iter(rng.permutation(ratings))
    found = []
    for tree in trees:
        rating = np.array(
            [next(dealt) if w > 0 else 0.0 for w in tree.branch["rating_weight"]], np.float32
        )
        turn = rng.random(len(tree.pair["better"])) < 0.5
        better = np.where(turn, tree.pair["worse"], tree.pair["better"])
        worse = np.where(turn, tree.pair["better"], tree.pair["worse"])
        found.append(
            tree.with_branch_labels(rating=rating).with_pair_labels(better=better, worse=worse)
        )
    return found


def _reference(learner: Learner, trees: Sequence[Tree]) -> dict[str, float]:
    outputs = learner.forward(trees, ["reward.scores"])
    scores = np.concatenate([output["reward.scores"] for output in outputs])
    return {"mean": float(scores.mean()), "std": float(scores.std()) or 1.0}


def _held_out(
    learner: Learner,
    trees: Sequence[Tree],
    judged: Sequence[Judged],
    *,
    train: Sequence[Judged],
    draft: Path,
) -> dict[str, Any]:
    outputs = learner.forward(trees, ["reward.scores"])
    found = rows(judged, [output["reward.scores"] for output in outputs])
    write_text(draft / "held_out.jsonl", "".join(json.dumps(row) + "\n" for row in found))
    return measure(found, train) | _count(judged)


def _count(judged: Sequence[Judged]) -> dict[str, int]:
    return {
        "pairs": sum(len(j.preferences) for j in judged),
        "ratings": sum(round(r.weight) for j in judged for r in j.ratings),
    }

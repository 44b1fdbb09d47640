"""preference: optimise a policy on judgments directly (DPO, KTO, SimPO and the rest of the table).

Reads preferences, or ratings for the losses on single responses. All responses of one prompt are
one tree. The reference is the model as it begins, and its log-probabilities are computed once.
Writes ``model``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.artifacts import Artifact, Draft
from plaudit.formats import local_inputs
from plaudit.learning import Learner, Order, Recorder
from plaudit.learning.checkpoints import Checkpoints
from plaudit.objectives import PreferenceOptimisation
from plaudit.stages.preference_data import (
    equal_prompt_weights,
    mismatched,
    read_trees,
    weighed,
)
from plaudit.stages.preference_options import PreferenceConfig
from plaudit.stages.preference_reference import Reference, open_reference, open_roles
from plaudit.stages.preference_update import UpdateLabels
from plaudit.stages.setup import make_learner, open_draft, open_text, within_length
from plaudit.text import Tree

__all__ = ["CONFIG", "PreferenceConfig", "equal_prompt_weights", "inputs", "run"]

CONFIG = PreferenceConfig


def inputs(config: PreferenceConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: PreferenceConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees, left_out = within_length(read_trees(config, renderer), config.max_length)
    strangers = mismatched(trees, config.max_length) if _asks_for(config, "kto_z0") else []
    order = Order(
        rows=len(trees),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    roles = open_roles(config)
    draft = open_draft("preference", config, inputs(config), output, began)
    learner = make_learner(roles, config, tokenizer, draft.path, total_steps=order.steps)
    # Before a checkpoint replaces the first weights.
    (trees, strangers), reference = open_reference(config, (trees, strangers), learner, draft.path)
    _fit(config, learner, reference, (trees, strangers), order, draft)
    roles.save("policy", tokenizer, draft.path / "model")
    return draft.finish(_summary(config, trees) | {"left_out": left_out})


def _fit(
    config: PreferenceConfig,
    learner: Learner,
    reference: Reference,
    data: tuple[Sequence[Tree], Sequence[Tree]],
    order: Order,
    draft: Draft,
) -> None:
    """As ``plaudit.learning.fit``, with what moves beside the weights: labels and reference."""
    objective = PreferenceOptimisation(terms=config.terms)
    checkpoints = Checkpoints(draft, every_steps=config.save_steps)
    checkpoint = checkpoints.restore(learner)
    reference.restore(checkpoint.step)
    labels = UpdateLabels.of(config.terms, checkpoint.controllers)
    with Recorder(draft, total_steps=order.steps, start=checkpoint.step) as recorder:
        for step in range(checkpoint.step, order.steps):
            rows = order.batch(step)
            batch, met = ([trees[row] for row in rows] if trees else [] for trees in data)
            batch, met = reference.label(batch, learner), reference.label(met, learner)
            batch, labels = labels.label(batch, met, learner)
            metrics = learner.update(weighed(batch), objective)
            reference.after(step + 1)
            recorder.record(step + 1, metrics)
            if checkpoints.due(step + 1) and step + 1 < order.steps:
                reference.save(step + 1)
                checkpoints.save(step + 1, learner, labels.as_dict())


def _asks_for(config: PreferenceConfig, label: str) -> bool:
    return any(label in term.row.update_labels for term in config.terms)


def _summary(config: PreferenceConfig, trees: Sequence[Tree]) -> dict[str, Any]:
    """What was learned from, and by which losses with which settings."""
    losses = {t.name: {"weight": t.coefficient, **t.resolved} for t in config.terms}
    pairs = sum(len(tree.pair["better"]) for tree in trees)
    return {"prompts": len(trees), "pairs": pairs, "losses": losses}

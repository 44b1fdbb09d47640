"""reward: a model of human judgments.

Reads preferences, rankings and ratings. All responses to a prompt are one tree; comparisons train
by one loss, ratings by another. Writes ``model`` (with ``reward.json``: mean and standard deviation
of its scores on responses it learned from, and its losses' thresholds); with LoRA ``adapter`` too;
and for the part held out ``held_out.jsonl``, with accuracy, AUC and what simple rules reach there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.artifacts import Artifact, write_json, write_text
from plaudit.formats import local_inputs
from plaudit.learning import Learner, Order, fit
from plaudit.models import AdapterRoles
from plaudit.objectives import RewardModelling
from plaudit.records import Judged
from plaudit.scoring import REFERENCE_FILE
from plaudit.stages.held_out import measure, rows
from plaudit.stages.reward_data import (
    Data,
    head_names,
    read_data,
    shuffled,
    thresholds,
    weighed,
    with_length_slopes,
)
from plaudit.stages.reward_options import WITH_TIES, RewardConfig
from plaudit.stages.reward_roles import reward_roles
from plaudit.stages.reward_thresholds import THRESHOLDS, learned_roles, settled
from plaudit.stages.setup import make_learner, open_draft, open_text
from plaudit.text import Tree

CONFIG = RewardConfig
REFERENCE_PROMPTS = 256
"""Prompts on whose responses mean and standard deviation are taken: within a sixteenth of the
standard deviation of those of all, and no second pass over large data."""


def inputs(config: RewardConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: RewardConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    data = read_data(config, config.portion, renderer)
    held_out = read_data(config, config.eval_portion, renderer) if config.eval_portion else None
    learned = shuffled(data.trees, config.seed) if config.shuffle_labels else data.trees
    objective = _objective(config, data.trees)
    order = Order(
        rows=len(learned),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    roles = reward_roles(config, heads=len(head_names(config)), random_init=config.random_init)
    draft = open_draft("reward", config, inputs(config), output, began)
    trained = learned_roles(roles, objective)
    learner = make_learner(
        trained, config, tokenizer, draft.path, total_steps=order.steps,
        learning_rates={"reward": config.learning_rate, THRESHOLDS: config.threshold_rate},
    )  # fmt: skip
    fit(
        learner,
        objective,
        lambda step: _batch(config, learner, [learned[row] for row in order.batch(step)]),
        steps=order.steps,
        draft=draft,
        save_steps=config.save_steps,
    )
    roles.save("reward", tokenizer, draft.path / "model")
    if isinstance(roles, AdapterRoles):
        roles.save_adapter("reward", draft.path / "adapter")
    objective = settled(objective, trained)
    reference = _reference(config, learner, data, objective)
    write_json(draft.path / "model" / REFERENCE_FILE, reference)
    metrics: dict[str, Any] = {"prompts": len(data.trees), **_count(data.judged)}
    if held_out is not None:
        metrics["held_out"] = _held_out(config, learner, objective, held_out, data, draft.path)
    return draft.finish(metrics)


def _objective(config: RewardConfig, trees: Sequence[Tree]) -> RewardModelling:
    heads = "length" if config.length_coefficient else "criteria" if config.criteria else "one"
    levels = config.rating_levels
    ties = {"tie_probability": config.tie_probability} if config.tie_probability else {}
    return RewardModelling(
        comparison=config.loss,
        rating=config.rating_loss,
        pointwise_coefficient=config.pointwise_coefficient,
        label_smoothing=config.label_smoothing,
        center_coefficient=config.center_rewards_coefficient,
        l2_coefficient=config.score_l2_coefficient,
        length_coefficient=config.length_coefficient,
        thresholds=thresholds(trees, levels) if levels else (),
        heads=heads,
        learned=config.learned_thresholds,
        **ties,
    )


def _batch(config: RewardConfig, learner: Learner, trees: Sequence[Tree]) -> list[Tree]:
    found = weighed(trees, config.loss)
    return with_length_slopes(learner, found) if config.length_coefficient else found


def _scores(config: RewardConfig, learner: Learner, data: Data) -> list[np.ndarray]:
    """What each prompt's responses score on its own head: [K]."""
    scores = _head_scores(config, learner, data.trees)
    return [scores_KH[:, head] for scores_KH, head in zip(scores, data.heads, strict=True)]


def _head_scores(config: RewardConfig, learner: Learner, trees: Sequence[Tree]) -> list[np.ndarray]:
    """Scores of each prompt's responses on every head: [K, H]."""
    if config.one_head:
        outputs = learner.forward(trees, ["reward.scores"])
        return [output["reward.scores"][:, None] for output in outputs]
    outputs = learner.forward(trees, ["reward.head_scores"])
    return [output["reward.head_scores"] for output in outputs]


def _reference(
    config: RewardConfig, learner: Learner, data: Data, objective: RewardModelling
) -> dict[str, Any]:
    """What the scores of responses learned from were, and how the heads make one score."""
    some = data.trees[:: -(-len(data.trees) // REFERENCE_PROMPTS)]
    scores_SH = np.concatenate(_head_scores(config, learner, some))
    if config.one_head:
        found: dict[str, Any] = _moments(scores_SH[:, 0])
    else:
        weights = {name: config.criteria.get(name, 0.0) for name in head_names(config)}
        if config.length_coefficient:
            weights["quality"] = 1.0
        heads = zip(weights.items(), scores_SH.T, strict=True)
        found = {"heads": {name: _moments(s) | {"weight": w} for (name, w), s in heads}}
    if data.rules:
        found["rules"] = list(data.rules)
    if objective.thresholds:
        found["thresholds"] = list(objective.thresholds)
    if config.loss in WITH_TIES:
        found["tie_probability"] = objective.tie_probability
    return found


def _moments(scores: np.ndarray) -> dict[str, float]:
    return {"mean": float(scores.mean()), "std": float(scores.std()) or 1.0}


def _held_out(
    config: RewardConfig,
    learner: Learner,
    objective: RewardModelling,
    data: Data,
    train: Data,
    draft: Path,
) -> dict[str, Any]:
    """What the model is worth on the held-out judgments, for each criterion by itself."""
    found = rows(data.judged, _scores(config, learner, data))
    names = head_names(config)
    if config.criteria:
        found = [row | {"criterion": names[h]} for row, h in zip(found, data.heads, strict=True)]
    write_text(draft / "held_out.jsonl", "".join(json.dumps(row) + "\n" for row in found))
    good_above = _good_above(config, objective)
    if not config.criteria:
        return measure(found, train.judged, good_above=good_above) | _count(data.judged)
    criteria = {
        name: measure(
            [row for row in found if row["criterion"] == name],
            [j for j, h in zip(train.judged, train.heads, strict=True) if h == head],
            good_above=good_above,
        )
        for head, name in enumerate(names)
    }
    return {"criteria": criteria} | _count(data.judged)


def _good_above(config: RewardConfig, objective: RewardModelling) -> float:
    """The score above which a response is said to be good: rated above one half."""
    if config.rating_loss == "ordinal":
        return objective.thresholds[len(objective.thresholds) // 2]
    return 0.5 if config.rating_loss == "regression" else 0.0


def _count(judged: Sequence[Judged]) -> dict[str, int]:
    return {
        "pairs": sum(len(j.preferences) for j in judged),
        "ratings": sum(round(r.weight) for j in judged for r in j.ratings),
    }

"""process: a model of whether a response is right so far, at the end of every step.

Reads responses in steps with labels (by people, by rule, or by rollouts: ``step_labels``). Writes
``model`` (with ``process.json``: how it is read) and, for the part held out, ``held_out.jsonl``.
With ``supervision: outcome`` only the end of a response is learned, and the model is a plain reward
model, to compare the process with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.special import expit

from plaudit.artifacts import Artifact, write_json, write_text
from plaudit.formats import WHOLE, Portion, load_stepped, local_inputs
from plaudit.learning import Learner, Order, fit
from plaudit.models import AdapterRoles
from plaudit.objectives import StepModelling
from plaudit.objectives.reward_process import Aggregate, aggregate_steps
from plaudit.scoring import REFERENCE_FILE, Process
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    ModelOptions,
    Positive,
    TrainingOptions,
)
from plaudit.stages.reward_roles import reward_roles
from plaudit.stages.setup import make_learner, open_draft, open_text, within_length
from plaudit.statistics import auc, cluster_bootstrap
from plaudit.text import Renderer, Tree, stepped_trees


class ProcessConfig(ModelOptions, AdapterOptions, TrainingOptions):
    """Options of ``plaudit process``."""

    dataset: str
    """Responses in labelled steps: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    eval_portion: Portion | None = None
    """The conversations to measure on."""
    supervision: Literal["process", "outcome"] = "process"
    """Learn from every step's label, or only from whether all steps are right, at the end."""
    step_separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands between two steps of a text; a line break where not said."""
    aggregate: Aggregate = "min"
    """How the steps' probabilities make one score."""
    learning_rate: Positive = 1e-4
    batch_size: Count = 32
    max_length: Count = 1024
    """Tokens of prompt and response together; longer ones are left out and counted."""

    @property
    def separator(self) -> str:
        return self.step_separator or "\n"


CONFIG = ProcessConfig


def inputs(config: ProcessConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: ProcessConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(config, longest_tokens=config.max_length)
    trees, _, left_out = _read(config, config.portion, renderer)
    held_out = _read(config, config.eval_portion, renderer) if config.eval_portion else None
    order = Order(
        rows=len(trees),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    roles = reward_roles(config)
    draft = open_draft("process", config, inputs(config), output, began)
    learner = make_learner(roles, config, tokenizer, draft.path, total_steps=order.steps)
    fit(
        learner,
        StepModelling(),
        lambda step: weighed([trees[row] for row in order.batch(step)]),
        steps=order.steps,
        draft=draft,
        save_steps=config.save_steps,
    )
    roles.save("reward", tokenizer, draft.path / "model")
    if isinstance(roles, AdapterRoles):
        roles.save_adapter("reward", draft.path / "adapter")
    _write_reading(config, _scores(learner, trees), draft.path / "model")
    metrics: dict[str, Any] = {"responses": len(trees), "left_out": left_out}
    if held_out is not None:
        metrics["held_out"] = _held_out(config, learner, *held_out[:2], draft.path)
    return draft.finish(metrics)


def weighed(trees: Sequence[Tree]) -> list[Tree]:
    """Every labelled step of an update has the same weight."""
    steps = sum(float(tree.token["step_end"].sum()) for tree in trees)
    return [tree.with_token_labels(weight=tree.token["step_end"] / steps) for tree in trees]


def _read(
    config: ProcessConfig, portion: Portion, renderer: Renderer
) -> tuple[list[Tree], list[str], int]:
    """The portion's responses as trees, their conversations, and how many were too long."""
    stepped = load_stepped(config.dataset, portion=portion)
    trees = list(stepped_trees(stepped, renderer, config.separator))
    if config.supervision == "outcome":
        trees = [_outcome(tree) for tree in trees]
    kept, left_out = within_length(trees, config.max_length)
    fits = {id(tree) for tree in kept}
    conversations = [
        one.prompt.conversation
        for one, tree in zip(stepped, trees, strict=True)
        if id(tree) in fits
    ]
    return kept, conversations, left_out


def _outcome(tree: Tree) -> Tree:
    """Only the last step's end is labelled: right if all steps are."""
    ends_X = np.flatnonzero(tree.token["step_end"])
    right_N, end_N = np.zeros((2, len(tree.token["right"])), np.float32)
    right_N[-1] = tree.token["right"][ends_X].min()
    end_N[-1] = 1.0
    return tree.with_token_labels(right=right_N, step_end=end_N)


def _scores(learner: Learner, trees: Sequence[Tree]) -> list[np.ndarray]:
    """Log-odds at every labelled step's end, a row a response: [X]."""
    outputs = learner.forward(trees, ["reward.step_scores"])
    return [
        output["reward.step_scores"][tree.token["step_end"] > 0]
        for tree, output in zip(trees, outputs, strict=True)
    ]


def _write_reading(config: ProcessConfig, scores: Sequence[np.ndarray], path: Path) -> None:
    """How the model is to be read, and its reference on what it learned from."""
    if config.supervision == "outcome":
        raw = [float(scores_X[-1]) for scores_X in scores]
        write_json(path / REFERENCE_FILE, {"mean": np.mean(raw), "std": np.std(raw) or 1.0})
        return
    values = [aggregate_steps(expit(scores_X), config.aggregate) for scores_X in scores]
    Process(
        separator=config.separator,
        aggregate=config.aggregate,
        mean=float(np.mean(values)),
        std=float(np.std(values)) or 1.0,
    ).write(path)


def _held_out(
    config: ProcessConfig,
    learner: Learner,
    trees: Sequence[Tree],
    conversations: Sequence[str],
    draft: Path,
) -> dict[str, Any]:
    """Steps told rightly, beside always saying what most are; responses told by their aggregate."""
    probability = [expit(scores_X.astype(float)) for scores_X in _scores(learner, trees)]
    labels = [tree.token["right"][tree.token["step_end"] > 0] for tree in trees]
    rows = [
        {"prompt": tree.id, "probabilities": p.tolist(), "labels": y.tolist()}
        for tree, p, y in zip(trees, probability, labels, strict=True)
    ]
    write_text(draft / "held_out.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    clusters = np.repeat(conversations, [len(y) for y in labels])
    label_N, right_N = np.concatenate(labels) > 0.5, np.concatenate(probability) > 0.5
    majority = label_N.mean() > 0.5
    value_S = [aggregate_steps(p, config.aggregate) for p in probability]
    whole_S = [float(y.min()) for y in labels]
    first_S = [_first_wrong(p) == _first_wrong(y) for p, y in zip(probability, labels, strict=True)]
    return {
        "responses": len(trees),
        "steps": len(label_N),
        "step_accuracy": {
            "model": cluster_bootstrap(_mean, clusters, right_N == label_N),
            "majority": cluster_bootstrap(_mean, clusters, label_N == majority),
        },
        "first_error_found": cluster_bootstrap(_mean, conversations, first_S),
        "response_auc": cluster_bootstrap(_auc, conversations, value_S, whole_S),
    }


def _first_wrong(right_X: np.ndarray) -> int:
    """The first step that is not right, or the number of steps where all are."""
    wrong = np.flatnonzero(right_X <= 0.5)
    return int(wrong[0]) if len(wrong) else len(right_X)


def _mean(draws_N: np.ndarray, values_N: np.ndarray) -> float:
    return float(draws_N @ values_N / draws_N.sum())


def _auc(draws_S: np.ndarray, values_S: np.ndarray, labels_S: np.ndarray) -> float:
    return auc(values_S, labels_S, draws_S)

"""One real training step, by a trainer of TRL's and by our learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.learning import Learner, Objective
from plaudit.models import SeparateRoles
from plaudit.text import Tree
from tests.learning_trees import learner_for
from tests.tiny import tiny_language_model

TOKEN_BUDGET = 60
"""Small enough to cut every update into several micro-batches."""


class Step(NamedTuple):
    """What a step saw before the optimiser moved."""

    loss: float
    gradients: dict[str, Tensor]
    norm: float


class Recorded:
    """An objective that adds up what it gave."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.needs = objective.needs
        self.total = 0.0

    def __call__(self, outputs: Any, batch: Any) -> Any:
        loss, metrics = self.objective(outputs, batch)
        self.total += float(loss)
        return loss, metrics


def policy_models(*, reference_seed: int = 2) -> dict[str, PreTrainedModel]:
    """A policy that has left its reference."""
    return {
        "policy": tiny_language_model(seed=1),
        "reference": tiny_language_model(seed=reference_seed),
    }


def learner_of(models: Mapping[str, PreTrainedModel], trained: str = "policy") -> Learner:
    return learner_for(SeparateRoles(models, trained=[trained]), token_budget=TOKEN_BUDGET)


def with_reference(trees: Sequence[Tree], learner: Learner) -> list[Tree]:
    found = learner.forward(trees, ["reference.logprobs"])
    return [
        tree.with_token_labels(reference=quantities["reference.logprobs"])
        for tree, quantities in zip(trees, found, strict=True)
    ]


def our_step(learner: Learner, trees: Sequence[Tree], objective: Objective) -> Step:
    """The learner's update, its gradients read before the optimiser's step."""
    recorded = Recorded(objective)
    totals = learner.accumulate(trees, recorded)
    (role,) = learner.roles.trained
    assert learner.optimiser is not None
    gradients = {n: g.clone() for n, g in learner.optimiser.gradients(role).items()}
    metrics = learner.step(totals, trees)
    return Step(recorded.total, gradients, metrics[f"grad_norm/{role}"])


def trl_step(trainer: Any) -> Step:
    """A trainer's first step, over all its micro-batches, read before gradients are clipped."""
    losses: list[float] = []
    gradients: dict[str, Tensor] = {}
    training_step = trainer.training_step

    def watched(model: PreTrainedModel, *args: Any, **kwargs: Any) -> Tensor:
        loss = training_step(model, *args, **kwargs)
        losses.append(float(loss))
        gradients.update(gradients_of(model))
        return loss

    trainer.training_step = watched
    trainer.train()
    return Step(sum(losses), gradients, norm_of(gradients))


def norm_of(gradients: Mapping[str, Tensor]) -> float:
    return float(torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt())


def gradients_of(model: PreTrainedModel) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def settings(directory: Path, *, rows: int, **more: Any) -> dict[str, Any]:
    """Arguments of any trainer: one step over all rows, on the CPU in float32, and nothing kept."""
    return {
        "output_dir": str(directory),
        "max_steps": 1,
        "per_device_train_batch_size": rows,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        **more,
    }


def assert_same(ours: Step, theirs: Step, *, factor: float = 1.0, tolerance: float = 1e-4) -> None:
    """Our loss, gradient and its norm are ``factor`` times theirs, to ``tolerance`` of their size.

    The gradients are compared as one vector: the distance between them by its length.
    """
    assert theirs.norm > 1e-3, "a step that moves nothing shows nothing"
    assert abs(ours.loss - factor * theirs.loss) <= tolerance * max(1.0, abs(factor * theirs.loss))
    assert abs(ours.norm - factor * theirs.norm) <= tolerance * factor * theirs.norm
    assert distance(ours, theirs, factor=factor) <= tolerance


def distance(ours: Step, theirs: Step, *, factor: float = 1.0) -> float:
    """``|ours - factor theirs| / |factor theirs|`` of the whole gradients."""
    assert ours.gradients.keys() == theirs.gradients.keys()
    apart = [
        (gradient - factor * theirs.gradients[name]).square().sum()
        for name, gradient in ours.gradients.items()
    ]
    return float(torch.stack(apart).sum().sqrt()) / (factor * theirs.norm)

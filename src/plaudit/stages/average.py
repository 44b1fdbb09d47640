"""average: the mean of the weights of several models of one architecture.

Reward models fine-tuned from one start with other seeds or data, averaged, are WARM (Rame et al.
2024, arXiv:2401.12187): one model's cost, and less of what each alone took for reward. Writes
``model``; for reward models with a ``reward.json`` of the average itself, taken on ``dataset``.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, model_validator
from transformers import PreTrainedModel

from plaudit.artifacts import Artifact, write_json
from plaudit.config import Config
from plaudit.formats import WHOLE, Portion, load_judged, local_inputs
from plaudit.learning import Learner
from plaudit.models import (
    SeparateRoles,
    is_scalar_model,
    load_language_model,
    load_scalar_model,
    model_path,
    save_model,
    stop_ids,
)
from plaudit.models.loading import Precision
from plaudit.scoring import PROCESS_FILE, REFERENCE_FILE, read_reference
from plaudit.stages.options import Count, Positive
from plaudit.stages.setup import open_draft, within_length
from plaudit.text import Renderer, judged_trees, load_tokenizer


class AverageConfig(Config):
    """Options of ``plaudit average``."""

    models: tuple[str, ...] = Field(min_length=2)
    """The models, artifacts or paths; all of one architecture and one tokenizer."""
    weights: tuple[Positive, ...] | None = None
    """Each model's share, in any unit; equal where not said."""
    dataset: str | None = None
    """Responses on which a reward model's mean and deviation are taken anew; needed for those."""
    portion: Portion = WHOLE
    """The conversations of the data set, as a part of [0, 1]."""
    max_length: Count = 1024
    """Tokens of prompt and longest response together; longer prompts are left out."""
    precision: Precision = "float32"
    """What the average is saved in; it is computed in float32."""
    micro_batch_tokens: Count = 2048
    """Tokens (padding included) in one forward pass."""

    @model_validator(mode="after")
    def _weigh_every_model(self) -> AverageConfig:
        if self.weights is not None and len(self.weights) != len(self.models):
            raise ValueError(f"weights: {len(self.weights)} for {len(self.models)} models")
        return self


CONFIG = AverageConfig


def inputs(config: AverageConfig) -> dict[str, Path]:
    models = {f"models/{place}": model for place, model in enumerate(config.models)}
    return local_inputs(dataset=config.dataset, **models)


def run(config: AverageConfig, output: Path) -> Artifact:
    began = time.monotonic()
    first = config.models[0]
    scalar = is_scalar_model(first)
    process = (Path(model_path(first)) / PROCESS_FILE).is_file()
    if (config.dataset is not None) != (scalar and not process):
        raise ValueError(
            "dataset: reward models of whole responses need one, for the mean and deviation of the "
            "average's scores, and no other model uses it"
        )
    tokenizer = load_tokenizer(model_path(first))
    for name in config.models[1:]:
        if load_tokenizer(model_path(name)).get_vocab() != tokenizer.get_vocab():
            raise ValueError(f"{name}: its tokenizer is not that of {first}")
    draft = open_draft("average", config, inputs(config), output, began)
    model = _average(config)
    save_model(model, tokenizer, draft.path / "model")
    if process:
        shutil.copyfile(Path(model_path(first)) / PROCESS_FILE, draft.path / "model" / PROCESS_FILE)
    elif scalar:
        renderer = Renderer(tokenizer, stop_ids(first, tokenizer))
        write_json(draft.path / "model" / REFERENCE_FILE, _reference(config, model, renderer))
    return draft.finish({"models": len(config.models)})


@torch.no_grad()
def _average(config: AverageConfig) -> PreTrainedModel:
    """The weighted mean of every tensor, one model in memory beside the sum."""
    shares = np.array(config.weights or [1.0] * len(config.models))
    shares = shares / shares.sum()
    average = _load(config.models[0])
    total = {name: p.float() * float(shares[0]) for name, p in average.named_parameters()}
    for place, share in enumerate(shares[1:], start=1):
        name = config.models[place]
        added = dict(_load(name).named_parameters())
        if {n: p.shape for n, p in added.items()} != {n: p.shape for n, p in total.items()}:
            raise ValueError(f"{name}: not of the architecture of {config.models[0]}")
        for key, parameter in added.items():
            total[key] += parameter.float() * float(share)
    for name, parameter in average.named_parameters():
        parameter.data = total[name].to(getattr(torch, config.precision))
    return average


def _load(name: str) -> PreTrainedModel:
    if not is_scalar_model(name):
        return load_language_model(name, precision="float32")
    heads = len(read_reference(Path(model_path(name)), needed=False).heads)
    return load_scalar_model(name, precision="float32", seed=0, heads=heads)


def _reference(config: AverageConfig, model: PreTrainedModel, renderer: Renderer) -> dict:
    """As a reward model is saved with, of the average's own scores.

    Raises:
        ValueError: the models have several heads, or judge by stated rules.
    """
    before = read_reference(Path(model_path(config.models[0])), needed=False)
    if len(before.heads) > 1 or before.rules:
        raise ValueError("models: averages of several heads or of rules have no reference yet")
    assert config.dataset is not None
    judged = load_judged(config.dataset, portion=config.portion)
    trees, _ = within_length(list(judged_trees(judged, renderer)), config.max_length)
    roles = SeparateRoles({"reward": model}, trained=[])
    learner = Learner(roles, None, token_budget=config.micro_batch_tokens)
    outputs = learner.forward(trees, ["reward.scores"])
    scores = np.concatenate([output["reward.scores"] for output in outputs])
    return {"mean": float(scores.mean()), "std": float(scores.std()) or 1.0}

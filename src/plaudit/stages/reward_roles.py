"""The model that stages of reward modelling train: one role, ``reward``."""

from __future__ import annotations

from typing import Protocol

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from plaudit.models import (
    AdapterRoles,
    Roles,
    SeparateRoles,
    load_language_model,
    load_scalar_model,
    model_path,
    torch_dtype,
)
from plaudit.models.loading import Precision, init_scalar_head, on_device, scalar_head


class RewardOptions(Protocol):
    """What is said of the model to begin from."""

    @property
    def model(self) -> str: ...
    @property
    def trust_remote_code(self) -> bool: ...
    @property
    def lora_r(self) -> int: ...
    @property
    def lora_alpha(self) -> int: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def device(self) -> str: ...
    @property
    def seed(self) -> int: ...


def reward_roles(options: RewardOptions, *, heads: int = 1, random_init: bool = False) -> Roles:
    """A reward model to train: whole, as an adapter, or from random weights of the same shape."""
    if options.lora_r:
        base = load_language_model(
            options.model,
            precision=options.precision,
            device=options.device,
            trust_remote_code=options.trust_remote_code,
        )
        return AdapterRoles(
            base, ["reward"], r=options.lora_r, alpha=options.lora_alpha, seed=options.seed,
            heads=heads,
        )  # fmt: skip
    if random_init:
        return SeparateRoles({"reward": _random(options, heads)}, trained=["reward"])
    model = load_scalar_model(
        options.model,
        precision=options.precision,
        seed=options.seed,
        heads=heads,
        device=options.device,
        trust_remote_code=options.trust_remote_code,
    )
    return SeparateRoles({"reward": model}, trained=["reward"])


def _random(options: RewardOptions, heads: int) -> PreTrainedModel:
    """The model's architecture with weights drawn anew."""
    shape = AutoConfig.from_pretrained(model_path(options.model), num_labels=heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = AutoModelForSequenceClassification.from_config(
            shape, dtype=torch_dtype(options.precision)
        )
    init_scalar_head(scalar_head(model), options.seed)
    return on_device(model.eval(), options.device)

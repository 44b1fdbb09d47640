"""Options that several stages share. Names are TRL's where the meaning is equal."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from plaudit.config import Config
from plaudit.learning.optimiser import Schedule
from plaudit.models.devices import Device
from plaudit.models.loading import Precision

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]


class ModelOptions(Config):
    """The model a stage begins with."""

    model: str
    """A path, an artifact, a shipped name (plaudit/nano), or a hub's org/name."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Off unless you know its authors."""


class AdapterOptions(Config):
    """LoRA adapters in place of full fine-tuning."""

    lora_r: CountOrNone = 0
    """Rank of the adapters on every linear layer; 0 trains all weights."""
    lora_alpha: Count = 32
    """Scale of the adapters, as alpha / r."""


class OptimiserOptions(Config):
    """What is said of the optimiser, of precision, and of checkpoints."""

    learning_rate: Positive
    """Peak learning rate of AdamW."""
    lr_scheduler_type: Schedule = "linear"
    """Course of the learning rate after warm-up: constant, to 0, or by cosine to a tenth."""
    warmup_steps: CountOrNone = 0
    """Optimiser steps over which the learning rate rises."""
    weight_decay: NonNegative = 0.0
    """AdamW's decay of matrices."""
    adam_beta1: BelowOne = 0.9
    """AdamW's decay of the mean gradient."""
    adam_beta2: BelowOne = 0.95
    """AdamW's decay of the mean squared gradient."""
    adam_epsilon: Positive = 1e-8
    """Added to the root of that mean; larger values tame the first steps."""
    max_grad_norm: Positive = 1.0
    """Bound on the gradient's 2-norm."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, or cuda:N."""
    precision: Precision = "float32"
    """float32, or bfloat16: computed in bfloat16 with float32 master weights."""
    micro_batch_tokens: Count = 2048
    """Tokens in one forward pass (padding included, where there is any); bounds memory, changes no
    result."""
    gradient_checkpointing: bool = False
    """Keep each layer's input alone and compute the layer again for its gradient: less memory, the
    same result, a third more arithmetic (with adapters half)."""
    save_steps: Count = 50
    """Steps between checkpoints."""
    seed: int = 0
    """Of new weights, of the data's order, and of sampling."""


class TrainingOptions(OptimiserOptions):
    """And how a fixed data set is gone through."""

    batch_size: Count
    """Prompts (with all their responses) in one optimiser step."""
    num_train_epochs: Positive = 1.0
    """Passes over the data; may be a fraction."""

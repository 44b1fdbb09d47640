"""What a stage computes: models in memory, and phases of passes over rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from plaudit.models.loading import Precision
from plaudit.planning.rows import Cut, Lengths, MicroBatch
from plaudit.planning.shapes import Head, Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A role's model."""

    role: str
    shape: Shape
    head: Head = "language"
    trained: bool = False
    lora_r: int = 0
    """Rank of the role's adapter; 0 where its weights are its own."""
    shared: bool = False
    """Its backbone is another role's, and counted there."""

    @property
    def weights(self) -> int:
        """Parameters that it brings into memory."""
        own = 0 if self.shared else self.shape.counted("language" if self.lora_r else self.head)
        return own + self.adapter_parameters

    @property
    def adapter_parameters(self) -> int:
        if not self.lora_r:
            return 0
        scalar = self.shape.hidden_size if self.head == "scalar" else 0
        return self.lora_r * self.shape.adapter_ends + scalar

    @property
    def learned(self) -> int:
        """Parameters with gradients."""
        if not self.trained:
            return 0
        return self.adapter_parameters or self.shape.counted(self.head)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Responses that are sampled together in slots."""

    prompts: int
    responses: int
    """To each prompt."""
    prompt_tokens: float
    response_tokens: float
    slots: int
    """Of each device."""
    longest: int
    """Tokens that a slot has room for."""

    @property
    def sequences(self) -> int:
        return self.prompts * self.responses

    def on(self, gpus: int) -> Sampling:
        """The same in the slots of so many devices."""
        return replace(self, slots=self.slots * gpus)

    @property
    def active(self) -> int:
        return min(self.slots, self.sequences)

    @property
    def active_by_prompt(self) -> list[range]:
        """Slots in use, those of one prompt together: they share its keys."""
        return [
            range(first, min(first + self.responses, self.active))
            for first in range(0, self.active, self.responses)
        ]

    @property
    def decoding_steps(self) -> float:
        """With every slot in use: a finished response leaves its own to one that waits."""
        return self.sequences * self.response_tokens / self.active

    @property
    def context(self) -> float:
        """Tokens a new token attends to, on average."""
        return self.prompt_tokens + self.response_tokens / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One kind of pass, done ``calls`` times in the stage."""

    name: str
    kind: Literal["update", "forward", "sample"]
    models: tuple[Model, ...]
    cut: Cut | None = None
    """Of one call that does not sample."""
    sampling: Sampling | None = None
    calls: float | None
    """None where that is not known."""
    updates: bool = False
    """The optimiser's step follows."""
    recomputes: bool = False
    """Layers keep their input alone and are computed again in the backward pass."""

    @property
    def batches(self) -> tuple[MicroBatch, ...]:
        """Of a call of middling size."""
        return self.cut.typical if self.cut else ()

    @property
    def tokens(self) -> float:
        """Of a call, each prompt counted once and without padding; of sampling those written."""
        if self.sampling is not None:
            return self.sampling.sequences * self.sampling.response_tokens
        return sum(row.tokens for batch in self.batches for row in batch.sample)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a stage does, all told."""

    models: tuple[Model, ...]
    phases: tuple[Phase, ...]
    precision: Precision
    lengths: Lengths
    steps: int | None
    """Optimiser's steps, or steps of sampling; None where not known."""
    notes: tuple[str, ...] = ()
    """What was assumed, and what is not reckoned."""

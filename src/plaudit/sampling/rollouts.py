"""What sampling is asked for and what it returns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from plaudit.records import FinishReason, Prompt, Rollout

LEAST_TEMPERATURE = 1e-6
"""Below it logits in float32 overflow; 0 takes the likeliest token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How tokens are drawn.

    Raises:
        ValueError: a value is out of its range.
    """

    max_tokens: int
    """Tokens of a response at most, the stop token included."""
    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Keep the likeliest tokens that together reach this probability; 1 keeps all."""
    top_k: int = 0
    """Keep this many of the likeliest tokens; 0 keeps all."""
    min_p: float = 0.0
    """Keep tokens at least this likely relative to the likeliest; 0 keeps all."""
    seed: int = 0

    def __post_init__(self) -> None:
        greedy = self.temperature == 0
        bounds = {
            "max_tokens": self.max_tokens >= 1,
            "temperature": greedy or LEAST_TEMPERATURE <= self.temperature < math.inf,
            "top_p": 0 < self.top_p <= 1,
            "top_k": self.top_k >= 0,
            "min_p": 0 <= self.min_p < 1,
        }
        for name, holds in bounds.items():
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} is out of its range")

    @property
    def filtered(self) -> bool:
        """True when some tokens can never be drawn."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


class Sampler(Protocol):
    """An engine that continues prompts."""

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[Rollout]:
        """``n`` responses for every prompt, those of one prompt together, in the prompts' order."""
        ...

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Take up new weights; what is sampled from now on carries ``version``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Tokens to go on from, once for each of ``indices``."""

    name: str
    """With the index and the seed it decides what is drawn."""
    ids: np.ndarray
    indices: range
    max_tokens: int
    """Tokens of a continuation at most, the stop token included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Continuation:
    """What was written after a start; logprobs as a ``Rollout`` has them."""

    ids: np.ndarray
    logprobs: np.ndarray
    finish_reason: FinishReason
    policy_version: int


class TokenSampler(Protocol):
    """An engine that goes on from tokens, which is all that a response of several turns needs."""

    def go_on(self, starts: Sequence[Start], params: SamplingParams) -> list[Continuation]:
        """A continuation for every index of every start, in order.

        ``params.max_tokens`` is not read: each start has its own.
        """
        ...

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """As ``Sampler.load``."""
        ...


def sequence_seed(seed: int, prompt_id: str, index: int) -> int:
    """A seed for one response that depends on nothing else in the batch."""
    digest = hashlib.sha256(f"{seed}/{prompt_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

"""Groups of options of the rl stage, each for one part that a run may have."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from plaudit.config import Config
from plaudit.formats import WHOLE, Portion
from plaudit.stages.options import Count, CountOrNone, NonNegative, Positive, Share


class CriticOptions(Config):
    """What only algorithms with a critic have."""

    learning_rate: Positive = 1e-5
    """Peak learning rate of the critic."""
    model: str | None = None
    """What the critic begins from; the reward model where not said."""
    warmup_steps: CountOrNone = 0
    """First steps in which only the critic learns; vapo 50."""
    vf_coef: Positive = 0.1
    """Weight of the value loss."""
    cliprange_value: Positive = 0.2
    """How far a value may move from its old one before its loss is clipped."""
    gamma: Share = 1.0
    """Discount, a token."""
    lam: Share = 0.95
    """GAE's lambda."""
    value_lam: Share | None = None
    """Lambda of the returns the critic learns (decoupled GAE); lam where not said, vapo 1."""
    length_adaptive_alpha: Positive | None = None
    """The policy's lambda is 1 - 1 / (alpha x tokens of the response), not lam; vapo 0.05."""
    whiten_advantages: bool = True
    """Bring the advantages of a step to mean 0 and deviation 1."""


class AdaptiveKLOptions(Config):
    """Let the KL coefficient follow a target (Ziegler et al. 2019)."""

    target: Positive
    """KL of a whole response to the reference, in nats."""
    horizon: Count = 10_000
    """Responses over which the coefficient is adapted."""


class AdaptiveEntropyOptions(Config):
    """Let the entropy bonus hold a target (Skywork-OR1): given only at the target or below."""

    target: Positive = 0.2
    """Mean entropy of a token, in nats."""
    step_size: Positive = 0.005
    """By how much entropy_coefficient rises or falls in a step."""


class CorrectionOptions(Config):
    """Correct for samples of another policy than the learner's (an engine's, an older one's).

    The learner computes the log-probabilities anew before the first update of a step; ratios are
    taken to them, and advantages weighted by their ratio to the sampler's.
    """

    kind: Literal["decoupled", "truncate", "mask"] = "truncate"
    """The ratio itself (decoupled PPO), at most cap (TIS), or 0 outside floor to cap (IcePop)."""
    level: Literal["token", "sequence"] = "token"
    """The ratio of each token, or of the whole response (free of bias, higher variance)."""
    cap: Positive | None = None
    """The largest weight, for truncate and mask; 2 where not said."""
    floor: NonNegative | None = None
    """The smallest ratio that mask keeps; 0.5 where not said."""

    @model_validator(mode="before")
    @classmethod
    def _take_the_published_bounds(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        bounds = {"truncate": {"cap": 2.0}, "mask": {"cap": 2.0, "floor": 0.5}}
        given = {name: value for name, value in values.items() if value is not None}
        return {**bounds.get(str(given.get("kind", "truncate")), {}), **given}

    @model_validator(mode="after")
    def _refuse_bounds_that_are_not_read(self) -> CorrectionOptions:
        if self.kind == "decoupled" and self.cap is not None:
            raise ValueError("cap: decoupled weighs by the ratio itself")
        if self.kind != "mask" and self.floor is not None:
            raise ValueError(f"floor: {self.kind} has none; it is mask's")
        if self.floor is not None and self.cap is not None and self.floor >= self.cap:
            raise ValueError(f"floor: must be below cap ({self.cap:g})")
        return self


class PtxOptions(Config):
    """A pretraining mix: likelihood of demonstrations beside every update (InstructGPT)."""

    dataset: str
    """Demonstrations: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    coefficient: Positive = 27.8
    """Weight of the mean log-likelihood of a token (InstructGPT's gamma)."""
    batch_size: Count = 32
    """Demonstrations beside each update."""
    max_length: Count = 1024
    """Tokens of prompt and response together; longer demonstrations are left out and counted."""


class OptimalValueOptions(Config):
    """What a_star_po asks of the reference to know a prompt's optimal value."""

    num_samples: Count = 8
    """Responses of the reference to each prompt."""
    beta: Positive = 0.5
    """V* = beta log mean exp(reward / beta)."""

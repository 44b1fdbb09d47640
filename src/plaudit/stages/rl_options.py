"""Options of the rl stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from plaudit.config import Config
from plaudit.environments import EnvironmentOptions
from plaudit.formats import WHOLE, Portion
from plaudit.objectives import ALGORITHMS
from plaudit.sampling import SamplingParams
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    CountOrNone,
    ModelOptions,
    NonNegative,
    OptimiserOptions,
    Positive,
    Share,
)


class CriticOptions(Config):
    """What only algorithms with a critic have."""

    learning_rate: Positive = 1e-5
    """Peak learning rate of the critic."""
    model: str | None = None
    """What the critic begins from; the reward model where not said."""
    warmup_steps: CountOrNone = 0
    """First steps in which only the critic learns."""
    vf_coef: Positive = 0.1
    """Weight of the value loss."""
    cliprange_value: Positive = 0.2
    """How far a value may move from its old one before its loss is clipped."""
    gamma: Share = 1.0
    """Discount, a token."""
    lam: Share = 0.95
    """GAE's lambda."""
    whiten_advantages: bool = True
    """Bring the advantages of a step to mean 0 and deviation 1."""


class AdaptiveKLOptions(Config):
    """Let the KL coefficient follow a target (Ziegler et al. 2019)."""

    target: Positive
    """KL of a whole response to the reference, in nats."""
    horizon: Count = 10_000
    """Responses over which the coefficient is adapted."""


class RLConfig(ModelOptions, AdapterOptions, OptimiserOptions):
    """Options of ``plaudit rl``."""

    algorithm: Literal["ppo", "rloo", "grpo", "dr_grpo"] = "grpo"
    """A row of the algorithm table."""
    dataset: str
    """Prompts: a file, a pattern, a shipped name, or a hub's org/name; any format has prompts."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    reward_model: str | None = None
    """The model whose scores are the reward."""
    reward_function: str | None = None
    """Or a function, package.module:name, of TRL's signature."""
    learning_rate: Positive = 1e-6
    max_steps: Count
    """Steps: each samples, scores and updates."""
    batch_size: Count = 16
    """Prompts in a step."""
    num_generations: Count = 8
    """Responses to each prompt."""
    num_ppo_epochs: Count = 1
    """Passes over a step's responses."""
    num_mini_batches: Count = 1
    """Optimiser steps in a pass."""
    max_prompt_length: Count = 512
    """Tokens of a prompt; longer prompts are left out and counted."""
    max_completion_length: Count = 256
    """Tokens of a response."""
    temperature: Positive = 1.0
    """Divides the logits in sampling, and in the policy's log-probabilities."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the likeliest tokens that together reach this probability; below 1 the importance
    ratios still refer to the whole distribution."""
    top_k: CountOrNone = 0
    """Sample from this many of the likeliest tokens; 0 from all."""
    beta: NonNegative = 0.05
    """KL coefficient: in the reward for ppo and rloo, in the loss for grpo and dr_grpo."""
    adaptive_kl: AdaptiveKLOptions | None = None
    """Adapt beta to a target KL; only where the KL is in the reward."""
    epsilon: Positive = 0.2
    """Clipping of the importance ratio downwards."""
    epsilon_high: Positive | None = None
    """Clipping upwards; epsilon where not said."""
    reward_normalisation: Literal["none", "reference", "running"] = "none"
    """Scores as they are, or standardised: by the reward model's reference, or by all so far."""
    reward_clip: Positive | None = None
    """Bound on a score's magnitude, once normalised."""
    missing_eos_penalty: NonNegative = 0.0
    """Taken off the score of a response cut at max_completion_length."""
    sampling_slots: Count = 64
    """Responses sampled at the same time."""
    environment: EnvironmentOptions | None = None
    """Responses of several turns, with tools; max_completion_length bounds a response whole."""
    critic: CriticOptions | None = None
    """Options of the critic, for ppo."""

    @model_validator(mode="before")
    @classmethod
    def _give_ppo_a_critic(cls, values: dict) -> dict:
        if values.get("algorithm") == "ppo" and values.get("critic") is None:
            return {**values, "critic": {}}
        return values

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> RLConfig:
        row = ALGORITHMS[self.algorithm]
        faults = {
            "reward_model or reward_function: exactly one must be given": (
                (self.reward_model is None) == (self.reward_function is None)
            ),
            f"critic: {self.algorithm} has none": self.critic is not None and not row.has_critic,
            f"num_generations: {self.algorithm} needs at least 2 responses of a prompt": (
                not row.has_critic and self.num_generations < 2
            ),
            f"adaptive_kl: {self.algorithm} has its KL in the loss; it adapts one in the reward": (
                self.adaptive_kl is not None and row.kl == "loss"
            ),
            "adaptive_kl: needs a beta above 0 to begin from": (
                self.adaptive_kl is not None and self.beta == 0
            ),
            "reward_normalisation: a reward_function has no reference; use running": (
                self.reward_normalisation == "reference" and self.reward_model is None
            ),
            f"num_mini_batches: at most batch_size ({self.batch_size}) parts have prompts": (
                self.num_mini_batches > self.batch_size
            ),
            "critic.model: needed, since a reward_function cannot become a critic": (
                self.critic is not None and self.critic.model is None and self.reward_model is None
            ),
        }
        for fault, present in faults.items():
            if present:
                raise ValueError(fault)
        return self

    @property
    def updates_per_step(self) -> int:
        return self.num_ppo_epochs * self.num_mini_batches

    @property
    def least_responses(self) -> int:
        """Scored responses a prompt must have: 2 where they are each other's baseline."""
        return 1 if self.critic is not None else 2

    @property
    def learning_rates(self) -> dict[str, float]:
        critic = {"critic": self.critic.learning_rate} if self.critic else {}
        return {"policy": self.learning_rate, **critic}

    def sampling(self, step: int) -> SamplingParams:
        """Every step draws anew."""
        return SamplingParams(
            max_tokens=self.max_completion_length,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed * 1_000_003 + step,
        )

"""Options of the rl stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from plaudit.environments import EnvironmentOptions
from plaudit.formats import WHOLE, Portion
from plaudit.objectives import ALGORITHMS, Aggregation, Algorithm
from plaudit.objectives.algorithms import KLEstimator, KLPlace, Scale
from plaudit.sampling import SamplingParams
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    CountOrNone,
    ModelOptions,
    NonNegative,
    OptimiserOptions,
    Positive,
)
from plaudit.stages.rl_combine import CombineOptions
from plaudit.stages.rl_groups import (
    AdaptiveEntropyOptions,
    AdaptiveKLOptions,
    CorrectionOptions,
    CriticOptions,
    OptimalValueOptions,
    PtxOptions,
)
from plaudit.stages.rl_rewards import Loading, SourceOptions, shorthand
from plaudit.stages.rl_rules import BARE_K3, SURROGATE_OPTIONS, faults, with_row_settings

if TYPE_CHECKING:
    AlgorithmName = str
else:
    AlgorithmName = Literal[tuple(ALGORITHMS)]


class RLConfig(ModelOptions, AdapterOptions, OptimiserOptions):
    """Options of ``plaudit rl``. What is left unset of the algorithm is its row's."""

    algorithm: AlgorithmName = "grpo"
    """A row of the algorithm table."""
    dataset: str
    """Prompts: a file, a pattern, a shipped name, or a hub's org/name; any format has prompts."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    reward_model: str | None = None
    """The model whose scores are the reward."""
    reward_function: str | None = None
    """Or a function, package.module:name, of TRL's signature."""
    rewards: dict[str, SourceOptions] = Field(default={})
    """Or several sources of reward by name."""
    combine: CombineOptions = Field(default_factory=CombineOptions)
    """How several rewards become one."""
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
    beta: NonNegative | None = None
    """KL coefficient."""
    kl_in: KLPlace | None = None
    """Where the KL to the reference goes: token by token or whole into the reward, or the loss."""
    kl_estimator: KLEstimator | None = None
    """k1 in the reward; in the loss k2, k3 (weighted by the importance ratio), or full: the sum
    over the vocabulary at every token."""
    adaptive_kl: AdaptiveKLOptions | None = None
    """Adapt beta to a target KL."""
    ref_model_sync_steps: Count | None = None
    """Steps between refreshments of the reference; never where not said."""
    ref_model_mixup_alpha: Annotated[float, Field(gt=0, le=1)] | None = None
    """The policy's share in a refreshed reference; 1 where not said."""
    scale_rewards: Scale | None = None
    """Divide advantages by the deviation of the group, the batch, all tokens, or by nothing."""
    aggregation: Aggregation | None = None
    """What counts the same: every token, every sequence, or a token of any sequence (constant)."""
    epsilon: Positive | None = None
    """Clipping of the importance ratio downwards; for gmpo of the log-ratio both ways."""
    epsilon_high: Positive | None = None
    """Clipping upwards; epsilon where the row has no other. For cispo the cap's excess over 1."""
    delta: Positive | None = None
    """Bound on the ratio where the advantage is negative (two-sided clip; dual clip's c)."""
    sapo_temperature_pos: Positive | None = None
    """Steepness of sapo's gate where the advantage is positive."""
    sapo_temperature_neg: Positive | None = None
    """And where it is not."""
    regression_beta: Positive | None = None
    """KL coefficient of a_star_po's regression."""
    optimal_value: OptimalValueOptions | None = None
    """How a_star_po estimates a prompt's optimal value."""
    positive_nll_coefficient: NonNegative | None = None
    """Weight of the likelihood of responses with a reward above 0."""
    entropy_coefficient: NonNegative = 0.0
    """Weight of the entropy bonus."""
    adaptive_entropy: AdaptiveEntropyOptions | None = None
    """Adapt entropy_coefficient to a target entropy."""
    dynamic_sampling: bool | None = None
    """Ask for more prompts in place of those whose responses all got one reward."""
    max_sampling_rounds: Count | None = None
    """Rounds of asking in a step at most; 10 where not said."""
    overlong_buffer_tokens: CountOrNone | None = None
    """The last tokens before max_completion_length, over which a penalty rises to 1; 0 for none."""
    mask_truncated_completions: bool = False
    """Do not learn from responses cut at max_completion_length."""
    correction: CorrectionOptions | None = None
    """Correct for samples of another policy than the learner's."""
    off_policy_mask_threshold: Positive | None = None
    """Leave out tokens with a negative advantage of responses that drifted by more than this, in
    nats a token."""
    ptx: PtxOptions | None = None
    """Mix in the likelihood of demonstrations."""
    reward_normalisation: Literal["none", "reference", "running"] = "none"
    """Scores as they are, or standardised: by the reward model's reference, or by all so far."""
    reward_clip: Positive | None = None
    """Bound on a score's magnitude, once normalised."""
    missing_eos_penalty: NonNegative = 0.0
    """Taken off the score of a response cut at max_completion_length, or out of turns."""
    sampling_slots: Count = 64
    """Responses sampled at the same time."""
    environment: EnvironmentOptions | None = None
    """Responses of several turns, with tools; max_completion_length bounds a response whole."""
    critic: CriticOptions | None = None
    """Options of the critic, for ppo and vapo."""

    @model_validator(mode="before")
    @classmethod
    def _take_the_rows_settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        return with_row_settings(values)

    @field_validator("kl_estimator", mode="before")
    @classmethod
    def _refuse_bare_k3(cls, value: Any) -> Any:
        if value in ("k3_bare", "bare_k3", "k3_unweighted"):
            raise ValueError(f"{value}: {BARE_K3}")
        return value

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> RLConfig:
        for fault, present in faults(self).items():
            if present:
                raise ValueError(fault)
        return self

    @property
    def row(self) -> Algorithm:
        """The algorithm's row with this run's settings."""
        row = ALGORITHMS[self.algorithm]
        said = {
            name: value
            for name in SURROGATE_OPTIONS
            if (value := getattr(self, name)) is not None and hasattr(row.surrogate, name)
        }
        gdpo = self.combine.method == "gdpo" and self.scale_rewards == "group"
        assert self.beta is not None and self.kl_in and self.kl_estimator and self.aggregation
        return replace(
            row,
            # gdpo has divided every reward by its group's deviation already.
            scale_rewards="none" if gdpo else self.scale_rewards or row.scale_rewards,
            kl=self.kl_in,
            kl_estimator=self.kl_estimator,
            surrogate=replace(row.surrogate, **said),  # pyright: ignore[reportArgumentType]
            aggregation=self.aggregation,
            beta=self.beta,
        )

    @property
    def longest_tokens(self) -> int:
        """Of a sequence the policy must be able to attend over."""
        sampled = self.max_prompt_length + self.max_completion_length
        return max(sampled, self.ptx.max_length if self.ptx else 0)

    @property
    def sources(self) -> dict[str, SourceOptions]:
        """The sources of reward by name, whichever way they were given."""
        return self.rewards or shorthand(
            self.reward_model, self.reward_function, self.reward_normalisation, self.reward_clip
        )

    @property
    def first_reward_model(self) -> str | None:
        models = [self.reward_model, *(source.reward_model for source in self.rewards.values())]
        return next((model for model in models if model is not None), None)

    @property
    def loading(self) -> Loading:
        """How the sources' reward models are loaded."""
        return Loading(
            precision=self.precision,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
            token_budget=2 * self.micro_batch_tokens,
        )

    @property
    def updates_per_step(self) -> int:
        return self.num_ppo_epochs * self.num_mini_batches

    @property
    def least_responses(self) -> int:
        """Scored responses a prompt must have: 2 where they are each other's baseline."""
        return 2 if self.row.compares_responses else 1

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

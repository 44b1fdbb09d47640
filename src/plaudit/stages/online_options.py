"""Options of the online stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from plaudit.formats import WHOLE, Portion
from plaudit.sampling import SamplingParams
from plaudit.scoring import CheckOptions, check_one_scorer
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    ModelOptions,
    NonNegative,
    OptimiserOptions,
    Positive,
    Share,
)
from plaudit.stages.preference_options import LossOptions

BETA = 0.1


class OnlineConfig(LossOptions, CheckOptions, ModelOptions, AdapterOptions, OptimiserOptions):
    """Options of ``plaudit online``."""

    algorithm: Literal["dpo", "xpo", "nash_md"] = "dpo"
    """Online DPO (OAIF), or any other pair loss by name; XPO, whose other response is the
    reference's; or Nash-MD, against a mixture of policy and reference."""
    dataset: str
    """Prompts: a file, a pattern, a shipped name, or a hub's org/name; any format has prompts."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    reward_model: str | None = None
    """The model that says which response is better, by its scores."""
    judgment: Literal["hard", "soft"] = "hard"
    """The higher score wins; or it wins with probability 1 / (1 + exp(-difference)), which is what
    a Bradley-Terry reward model says."""
    learning_rate: Positive = 5e-7
    max_steps: Count
    """Steps: each samples, judges and updates once."""
    batch_size: Count = 16
    """Prompts in a step."""
    num_generations: Annotated[int, Field(ge=2)] = 2
    """Responses to each prompt; of more than 2 the best and the worst make the pair."""
    max_prompt_length: Count = 512
    """Tokens of a prompt; longer prompts are left out and counted."""
    max_completion_length: Count = 256
    """Tokens of a response."""
    temperature: Positive = 1.0
    """Divides the logits in sampling, and in log-probabilities."""
    missing_eos_penalty: NonNegative = 0.0
    """Taken off the score of a response cut at max_completion_length."""
    xpo_alpha: NonNegative | None = None
    """xpo: weight of the exploration term; 1e-5 where not said."""
    mixture_share: Share | None = None
    """nash_md: the reference's share in the opponent; 0.5 where not said."""
    sampling_slots: Count = 64
    """Responses sampled at the same time."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> OnlineConfig:
        check_one_scorer(self, self.reward_model, called="reward_model")
        pairless = [t.name for t in self.terms if t.row.unit != "pair" or t.row.update_labels]
        hard = [t.name for t in self.terms if t.row.labels == "hard"]
        faults = {
            f"loss: {', '.join(pairless)} learns from more than single pairs": bool(pairless),
            f"judgment: {', '.join(hard)} has no soft labels": self.judgment == "soft" and hard,
            "loss and its settings: nash_md has no loss on pairs, it reads beta only": (
                self.algorithm == "nash_md"
                and (self.loss != "dpo" or self.rpo_alpha or self.label_smoothing)
            ),
            f"num_generations: {self.algorithm} compares 2, its own and the opponent's": (
                self.algorithm != "dpo" and self.num_generations != 2
            ),
            "xpo_alpha: read by xpo only": self.algorithm != "xpo" and self.xpo_alpha is not None,
            "mixture_share: read by nash_md only": (
                self.algorithm != "nash_md" and self.mixture_share is not None
            ),
            f"lora_r: the opponent of {self.algorithm} needs a reference of its own": (
                self.algorithm != "dpo" and bool(self.lora_r)
            ),
        }
        for fault, present in faults.items():
            if present:
                raise ValueError(fault)
        return self

    def sampling(self, step: int) -> SamplingParams:
        """Every step draws anew."""
        return SamplingParams(
            max_tokens=self.max_completion_length,
            temperature=self.temperature,
            seed=self.seed * 1_000_003 + step,
        )

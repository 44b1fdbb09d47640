"""Options of the sample stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from plaudit.environments import EnvironmentOptions
from plaudit.sampling import AskingOptions
from plaudit.scoring import CheckOptions, check_one_scorer
from plaudit.stages.options import Count, Positive

VERDICT_RIGHT = 1.0
"""What verifiers say of a right answer."""


class SampleConfig(CheckOptions, AskingOptions):
    """Options of ``plaudit sample``."""

    model: str
    """The model that responds: a path, an artifact, a shipped name, or a hub's org/name."""
    num_generations: Count = 8
    """Responses to each prompt."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits."""
    reward_model: str | None = None
    """The model whose scores decide."""
    select: Literal["all", "best", "threshold", "correct", "rso"] = "best"
    """Of each prompt's finished responses keep all; the one of the highest score (RAFT); those of
    at least threshold (ReST); those a verifier calls right (STaR); or a sample from the optimal
    policy of KL-regularised reward, by rejection (RSO)."""
    write: Literal["completions", "pairs", "ratings"] = "completions"
    """What selected.jsonl holds: prompt and completion, for sft; chosen and rejected, for
    preference; or completions with a label, good from threshold on, for preference loss=kto."""
    threshold: float | None = None
    """The score from which a response is kept (select=threshold) or good (write=ratings)."""
    rso_beta: Positive | None = None
    """rso: the coefficient of the KL, in the reward's unit; small values keep only the best."""
    rso_keep: Count | None = None
    """rso: responses kept of each prompt."""
    pairing: Literal["best_and_worst", "neighbours"] | None = None
    """pairs: of those kept the highest over the lowest (the default), or each two that follow one
    another."""
    hint: str | None = None
    """correct: where no response was right, ask once more with this added to the question, {name}
    standing for a column of the data; a right response is kept as if without (STaR's
    rationalisation)."""
    environment: EnvironmentOptions | None = None
    """Responses of several turns, with tools; the bound on tokens is on all turns together."""
    save_prompts: Count = 64
    """Prompts sampled and scored between two checkpoints."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> SampleConfig:
        if self.scored:
            check_one_scorer(self, self.reward_model, called="reward_model")
        by_threshold = self.select == "threshold" or self.write == "ratings"
        faults = {
            "reward_model, reward_function, verifier: nothing is scored to keep all completions": (
                not self.scored and any((self.reward_model, self.reward_function, self.verifier))
            ),
            "threshold: needed by select=threshold and write=ratings": (
                by_threshold and self.threshold is None
            ),
            "threshold: read by select=threshold and write=ratings only": (
                not by_threshold and self.threshold is not None
            ),
            "rso_beta and rso_keep: needed by select=rso": (
                self.select == "rso" and None in (self.rso_beta, self.rso_keep)
            ),
            "rso_beta and rso_keep: read by select=rso only": (
                self.select != "rso" and (self.rso_beta, self.rso_keep) != (None, None)
            ),
            "pairing: read by write=pairs only": self.write != "pairs" and self.pairing is not None,
            f"write: one response a prompt (select={self.select}) makes no pair": (
                self.write == "pairs" and self.select == "best"
            ),
            "write: responses that are all right make no pair; use select=all": (
                self.write == "pairs" and self.select == "correct"
            ),
            "hint: read by select=correct only": self.hint is not None and self.select != "correct",
            "environment.describe_tools: no stage that reads selected.jsonl tells the model of "
            "tools; say false, and describe them in the prompts": (
                self.environment is not None and self.environment.describe_tools
            ),
        }
        for fault, present in faults.items():
            if present:
                raise ValueError(fault)
        return self

    @property
    def scored(self) -> bool:
        """Whether anything asks for scores."""
        return self.select != "all" or self.write != "completions"

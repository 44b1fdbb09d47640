"""Options of the reward stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from plaudit.formats import WHOLE, Portion
from plaudit.objectives.reward import ComparisonLoss, RatingLoss, Threshold
from plaudit.stages.options import (
    AdapterOptions,
    Count,
    ModelOptions,
    NonNegative,
    Positive,
    TrainingOptions,
)

PAIRWISE = ("bradley_terry", "davidson", "rao_kupper")
WITH_TIES = ("davidson", "rao_kupper")


class RewardConfig(ModelOptions, AdapterOptions, TrainingOptions):
    """Options of ``plaudit reward``."""

    dataset: str
    """Preferences and ratings: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]."""
    eval_portion: Portion | None = None
    """The conversations to measure accuracy and AUC on."""
    learning_rate: Positive = 1e-4
    batch_size: Count = 32
    max_length: Count = 1024
    """Tokens of prompt and longest response together; longer prompts are left out and counted."""
    loss: ComparisonLoss = "bradley_terry"
    """Of comparisons: pairs, pairs that may be tied, whole rankings, the best of several, or none
    (ratings alone)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of the pairs' labels believed to be wrong; for bradley_terry."""
    tie_probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability that two responses of equal score tie, from which learning begins; 1/3 where not
    said; for davidson and rao_kupper."""
    threshold_learning_rate: NonNegative | None = None
    """Learning rate of tie_probability and of the thresholds between an ordinal rating's levels,
    0.05 where not said; 0 leaves them where they begin."""
    center_rewards_coefficient: NonNegative = 0.0
    """Weight of the squared sum of a pair's scores, which keeps scores about 0 (0.01 is usual)."""
    score_l2_coefficient: NonNegative = 0.0
    """Weight of the mean squared score."""
    rating_loss: RatingLoss = "logistic"
    """Of ratings: log-odds of a good one, the rating itself, or ordered levels."""
    rating_levels: Annotated[int, Field(ge=2)] | None = None
    """How many levels ratings have, evenly spaced from 0 to 1; for ordinal."""
    pointwise_coefficient: NonNegative = 1.0
    """Weight of the ratings' loss beside that of the pairs."""
    criteria: dict[str, Positive] = Field(default_factory=dict)
    """Criteria with a head each, and each head's weight in the score."""
    criterion_column: str | None = None
    """The column that names a row's criterion, criterion where not said; for criteria."""
    length_coefficient: NonNegative = 0.0
    """Weight of ODIN's length loss; above 0 a second head takes up what length explains."""
    rule_column: str | None = None
    """The column with the rule a row's label is about, which is put before the prompt; the score is
    then the mean probability that the rules are kept."""
    random_init: bool = False
    """Begin from random weights instead of the model's: what is pretraining worth?"""
    shuffle_labels: bool = False
    """Train on labels dealt out at random: a control that must learn nothing."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> RewardConfig:
        loss = self.loss
        faults = {
            "random_init: adapters (lora_r) need weights to adapt; choose one": (
                self.random_init and self.lora_r
            ),
            f"label_smoothing: loss={loss} has none; for bradley_terry": (
                self.label_smoothing and loss != "bradley_terry"
            ),
            f"tie_probability: loss={loss} has no ties; for {' and '.join(WITH_TIES)}": (
                self.tie_probability is not None and loss not in WITH_TIES
            ),
            "threshold_learning_rate: nothing to learn; for ordinal, davidson and rao_kupper": (
                self.threshold_learning_rate is not None
                and not (self.rating_loss == "ordinal" or loss in WITH_TIES)
            ),
            f"center_rewards_coefficient: loss={loss} has no pairs; for {', '.join(PAIRWISE)}": (
                self.center_rewards_coefficient and loss not in PAIRWISE
            ),
            "pointwise_coefficient: with loss=none there is nothing beside the ratings": (
                loss == "none" and self.pointwise_coefficient != 1
            ),
            "rating_levels: needed by rating_loss=ordinal, and used by no other": (
                (self.rating_loss == "ordinal") != (self.rating_levels is not None)
            ),
            "criterion_column: without criteria there is one head": (
                self.criterion_column is not None and not self.criteria
            ),
            "length_coefficient: its two heads leave none for criteria; choose one": (
                self.length_coefficient and self.criteria
            ),
            "rule_column: a rule is kept or broken; set loss=none and one head": (
                self.rule_column is not None
                and not (loss == "none" and self.rating_loss == "logistic" and self.one_head)
            ),
        }
        for fault, present in faults.items():
            if present:
                raise ValueError(fault)
        return self

    @property
    def threshold_rate(self) -> float:
        """Adam moves a number by about its rate a step, and thresholds have some units to go."""
        return 0.05 if self.threshold_learning_rate is None else self.threshold_learning_rate

    @property
    def learned_thresholds(self) -> tuple[Threshold, ...]:
        held: dict[Threshold, bool] = {
            "thresholds.ratings": self.rating_loss == "ordinal",
            "thresholds.ties": self.loss in WITH_TIES,
        }
        return tuple(name for name in held if held[name] and self.threshold_rate)

    @property
    def one_head(self) -> bool:
        return not self.criteria and not self.length_coefficient

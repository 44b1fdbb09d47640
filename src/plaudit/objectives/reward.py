"""Reward modelling: an objective of comparisons and ratings.

Shapes: M branches (responses), Q pairs of them, H heads, C levels of an ordinal rating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, counted, right_order, weighted_mean_of
from plaudit.objectives.reward_losses import (
    bradley_terry_loss,
    choice_loss,
    davidson_loss,
    ordinal_loss,
    pointwise_loss,
    rao_kupper_loss,
    regression_loss,
)

ComparisonLoss = Literal[
    "bradley_terry", "davidson", "rao_kupper", "plackett_luce", "top_1", "none"
]
RatingLoss = Literal["logistic", "regression", "ordinal"]
Threshold = Literal["thresholds.ratings", "thresholds.ties"]
"""What a loss holds beside scores, as a quantity: an ordinal rating's thresholds [C - 1]; and the
log-odds of a tie between equal scores, a single number."""
Heads = Literal["one", "criteria", "length"]
"""One score; a head for each criterion, of which a branch has its own; or quality and length."""


@dataclass(frozen=True, kw_only=True)
class RewardModelling:
    """Comparisons by one loss, single ratings by another.

    ``sum_q w_q (comparison_q + center_coefficient (r_better + r_worse)^2)
    + pointwise_coefficient sum_m w_m rating_m + l2_coefficient sum_m s_m r_m^2``
    (centring: Eisenstein et al. 2023; the squared score: Coste et al. 2023). Labels: on pairs
    ``better``, ``worse``, ``probability``, ``margin``, ``weight``; on branches ``rating``,
    ``weight``, and where they are used ``share`` (of the squared score), ``head`` (the criterion's
    number), ``level_0`` and on (shares of an ordinal rating), and ``quality_slope``,
    ``length_slope``, ``length_correlation`` (``reward_length``).

    Losses of choices (``plackett_luce``, ``top_1``) take the pairs a branch won as one choice,
    whose weight is the sum of theirs.

    Metrics: ``pair_loss`` over pairs, and ``accuracy`` (an equal score is half right) over those
    whose probability is not one half; ``rating_loss`` over ratings; ``length_correlation`` before
    the update. What an update has none of has no metrics.
    """

    comparison: ComparisonLoss = "bradley_terry"
    rating: RatingLoss = "logistic"
    pointwise_coefficient: float = 1.0
    label_smoothing: float = 0.0
    tie_probability: float = 1 / 3
    center_coefficient: float = 0.0
    l2_coefficient: float = 0.0
    length_coefficient: float = 0.0
    thresholds: tuple[float, ...] = ()
    heads: Heads = "one"
    learned: tuple[Threshold, ...] = ()
    """Which of these are learned, and taken in place of ``thresholds`` and ``tie_probability``."""

    @property
    def needs(self) -> tuple[str, ...]:
        scores = "reward.scores" if self.heads == "one" else "reward.head_scores"
        return (scores, *self.learned)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        score_M = self._scores(outputs, batch)
        pair, branch = batch.pair, batch.branch
        difference_Q = score_M[pair["better"]] - score_M[pair["worse"]]
        loss_X, weight_X = self._comparisons(difference_Q, outputs, batch)
        rating_M = self._ratings(score_M, outputs, branch)
        pair_loss = (weight_X * loss_X).sum()
        rating_loss = (branch["weight"] * rating_M).sum()
        loss = pair_loss + self.pointwise_coefficient * rating_loss
        loss = loss + self._regularisation(score_M, outputs, batch)
        side_Q = (pair["probability"] - 0.5).sign()
        means = counted(
            pair_loss=weighted_mean_of(loss_X, weight_X),
            accuracy=weighted_mean_of(
                right_order(side_Q * difference_Q), pair["weight"] * side_Q.abs()
            ),
            rating_loss=weighted_mean_of(rating_M, branch["weight"]),
        )
        if self.length_coefficient:
            correlation_M = branch["length_correlation"]
            means["length_correlation"] = weighted_mean_of(correlation_M, correlation_M * 0 + 1)
        return loss, means

    def _scores(self, outputs: Mapping[str, Tensor], batch: Labelled) -> Tensor:
        """The score each branch is judged by."""
        if self.heads == "one":
            return outputs["reward.scores"]
        head_scores_MH = outputs["reward.head_scores"]
        if self.heads == "length":
            return head_scores_MH.sum(-1)
        return head_scores_MH.gather(1, batch.branch["head"][:, None])[:, 0]

    def _comparisons(
        self, difference_Q: Tensor, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, Tensor]:
        """Losses and their weights: of pairs, or of choices."""
        pair = batch.pair
        probability_Q, weight_Q = pair["probability"], pair["weight"]
        if self.comparison in ("davidson", "rao_kupper"):
            loss = {"davidson": davidson_loss, "rao_kupper": rao_kupper_loss}[self.comparison]
            fixed = torch.logit(difference_Q.new_tensor(self.tie_probability))
            tie_logit = outputs.get("thresholds.ties", fixed)
            return loss(difference_Q, probability_Q=probability_Q, tie_logit=tie_logit), weight_Q
        if self.comparison in ("plackett_luce", "top_1"):
            loss_M = choice_loss(difference_Q, pair["better"], batch.branches)
            return loss_M, torch.zeros_like(loss_M.detach()).index_add(0, pair["better"], weight_Q)
        if self.comparison == "none":
            weight_Q = weight_Q * 0
        if smoothing := self.label_smoothing:
            probability_Q = probability_Q * (1 - smoothing) + (1 - probability_Q) * smoothing
        loss_Q = bradley_terry_loss(
            difference_Q, probability_Q=probability_Q, margin_Q=pair["margin"]
        )
        return loss_Q, weight_Q

    def _ratings(
        self, score_M: Tensor, outputs: Mapping[str, Tensor], branch: Mapping[str, Tensor]
    ) -> Tensor:
        if self.rating == "regression":
            return regression_loss(score_M, branch["rating"])
        if self.rating == "ordinal":
            levels = range(len(self.thresholds) + 1)
            share_MC = torch.stack([branch[f"level_{c}"] for c in levels], -1)
            fixed = score_M.new_tensor(self.thresholds)
            return ordinal_loss(score_M, share_MC, outputs.get("thresholds.ratings", fixed))
        return pointwise_loss(score_M, branch["rating"])

    def _regularisation(
        self, score_M: Tensor, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> Tensor | float:
        pair, branch = batch.pair, batch.branch
        total: Tensor | float = 0.0
        if self.center_coefficient:
            sum_Q = score_M[pair["better"]] + score_M[pair["worse"]]
            total += self.center_coefficient * (pair["weight"] * sum_Q.square()).sum()
        if self.l2_coefficient:
            total += self.l2_coefficient * (branch["share"] * score_M.square()).sum()
        if self.length_coefficient:
            slope_MH = torch.stack([branch["quality_slope"], branch["length_slope"]], -1)
            total += self.length_coefficient * (slope_MH * outputs["reward.head_scores"]).sum()
        return total

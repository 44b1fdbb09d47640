"""Reward modelling: pairs and single ratings.

Shapes: M branches (responses), Q pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, counted, right_order, weighted_mean_of


def bradley_terry_loss(
    difference_Q: Tensor, *, probability_Q: Tensor | float = 1.0, margin_Q: Tensor | float = 0.0
) -> Tensor:
    """``-p log sigma(d - m) - (1 - p) log sigma(m - d)`` with ``d = r_better - r_worse``.

    Bradley & Terry 1952; the margin ``m`` as in Llama 2 (Touvron et al. 2023, equation 2). A
    ``p`` below 1 is a soft label: the posterior that the better one really is.
    """
    logit_Q = difference_Q - margin_Q
    return -(probability_Q * logsigmoid(logit_Q) + (1.0 - probability_Q) * logsigmoid(-logit_Q))


def pointwise_loss(score_M: Tensor, rating_M: Tensor) -> Tensor:
    """``-y log sigma(r) - (1 - y) log sigma(-r)``: the score as the log-odds of a good rating.

    Ratings ``y`` are in [0, 1]; beyond, the loss has no minimum.
    """
    return binary_cross_entropy_with_logits(score_M, rating_M, reduction="none")


@dataclass(frozen=True, kw_only=True)
class RewardModelling:
    """Pairs by Bradley-Terry, single ratings pointwise.

    ``sum_q w_q BT_q + pointwise_coefficient * sum_m w_m BCE_m``. Labels: on pairs ``better``,
    ``worse``, ``probability``, ``margin``, ``weight``; on branches ``rating``, ``weight``.

    Metrics: ``pair_loss`` and ``accuracy`` (a tie is half right) over pairs; ``rating_loss`` over
    ratings. What an update has none of has no metrics.
    """

    pointwise_coefficient: float = 1.0
    needs = ("reward.scores",)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        score_M = outputs["reward.scores"]
        pair, branch = batch.pair, batch.branch
        difference_Q = score_M[pair["better"]] - score_M[pair["worse"]]
        pair_Q = bradley_terry_loss(
            difference_Q, probability_Q=pair["probability"], margin_Q=pair["margin"]
        )
        rating_M = pointwise_loss(score_M, branch["rating"])
        pair_loss = (pair["weight"] * pair_Q).sum()
        rating_loss = (branch["weight"] * rating_M).sum()
        loss = pair_loss + self.pointwise_coefficient * rating_loss
        return loss, counted(
            pair_loss=weighted_mean_of(pair_Q, pair["weight"]),
            accuracy=weighted_mean_of(right_order(difference_Q), pair["weight"]),
            rating_loss=weighted_mean_of(rating_M, branch["weight"]),
        )

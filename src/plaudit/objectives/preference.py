"""Preference optimisation: pair objectives on sequence log-ratios.

Shapes: N policy tokens, M branches (responses), Q pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from plaudit.objectives.labels import Labelled, sum_by_branch
from plaudit.objectives.metrics import Mean, counted, right_order, weighted_mean_of


def dpo_loss(difference_Q: Tensor, *, beta: float, probability_Q: Tensor | float = 1.0) -> Tensor:
    """``-p log sigma(beta d) - (1 - p) log sigma(-beta d)`` (Rafailov et al. 2023, equation 7).

    ``d`` is the log-ratio (policy to reference, summed over tokens) of the better response less
    that of the worse. With ``p = 1 - e`` below 1 it is conservative DPO (Mitchell 2023).
    """
    logit_Q = beta * difference_Q
    return -(probability_Q * logsigmoid(logit_Q) + (1.0 - probability_Q) * logsigmoid(-logit_Q))


@dataclass(frozen=True, kw_only=True)
class DirectPreference:
    """DPO with an optional likelihood term on the better response (Pang et al. 2024).

    ``sum_q w_q (DPO_q + nll_coefficient * NLL_q)`` where NLL is the mean over the better response's
    tokens. Labels: on tokens ``reference`` (log-probabilities); on pairs ``better``, ``worse``,
    ``probability``, ``weight``; with the likelihood term on branches ``tokens``, their number.

    Metrics: ``loss`` (DPO's alone); ``accuracy`` (a tie is half right) and ``margin`` of the
    implicit rewards ``beta * log-ratio``; ``chosen_logprob`` and ``rejected_logprob``, nats a
    response (DPO can lower both).
    """

    beta: float = 0.1
    nll_coefficient: float = 0.0
    needs = ("policy.logprobs",)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        logprob_M = sum_by_branch(outputs["policy.logprobs"], batch)
        # Token by token first: the difference of two large sums would lose digits.
        log_ratio_M = sum_by_branch(outputs["policy.logprobs"] - batch.token["reference"], batch)
        better, worse, weight = batch.pair["better"], batch.pair["worse"], batch.pair["weight"]
        difference_Q = log_ratio_M[better] - log_ratio_M[worse]
        loss_Q = dpo_loss(difference_Q, beta=self.beta, probability_Q=batch.pair["probability"])
        total_Q = loss_Q
        if self.nll_coefficient:
            tokens_Q = batch.branch["tokens"][better].clamp(min=1)
            total_Q = loss_Q - self.nll_coefficient * logprob_M[better] / tokens_Q
        return (weight * total_Q).sum(), counted(
            loss=weighted_mean_of(loss_Q, weight),
            accuracy=weighted_mean_of(right_order(difference_Q), weight),
            margin=weighted_mean_of(self.beta * difference_Q, weight),
            chosen_logprob=weighted_mean_of(logprob_M[better], weight),
            rejected_logprob=weighted_mean_of(logprob_M[worse], weight),
        )

"""Online preference optimisation: objectives on responses sampled in this very step.

Shapes: N policy tokens, M branches (responses).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from plaudit.objectives.labels import Labelled, sum_by_branch
from plaudit.objectives.metrics import Mean, counted, weighted_mean_of
from plaudit.objectives.preference import PreferenceOptimisation


@dataclass(frozen=True, kw_only=True)
class ExploratoryPreference:
    """``preference + alpha sum_m explore_m log pi(y_m | x)`` (XPO: Xie et al. 2024,
    arXiv:2405.21046, algorithm 1).

    ``preference`` is DPO on pairs of a policy's and the reference's response; the further term
    takes probability off what the reference wrote, so that the policy looks elsewhere. Labels:
    those of ``preference``, and on branches ``explore``: 1 over the number of prompts for the
    reference's responses, 0 for others.

    Metrics: those of ``preference``; ``reference_response_logprob``, nats a response.
    """

    preference: PreferenceOptimisation
    alpha: float = 1e-5

    @property
    def needs(self) -> tuple[str, ...]:
        return self.preference.needs

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        loss, metrics = self.preference(outputs, batch)
        logprob_M = sum_by_branch(outputs["policy.logprobs"], batch)
        explore_M = batch.branch["explore"]
        explored = counted(reference_response_logprob=weighted_mean_of(logprob_M, explore_M))
        return loss + self.alpha * (explore_M * logprob_M).sum(), metrics | explored


@dataclass(frozen=True, kw_only=True)
class NashMirrorDescent:
    """``sum_m w_m (beta sg[log pi(y_m) - log ref(y_m)] - A_m) log pi(y_m)`` with
    ``A = P(y > y') - 1/2`` (Nash-MD-PG: Munos et al. 2023, arXiv:2312.00886, section 7).

    ``y`` is the policy's response, ``y'`` one of the geometric mixture of policy and reference.
    The gradient is in expectation that of ``beta KL(pi || ref) - P(pi > mixture)``, the mixture
    held fixed; the log-ratio is that of the whole response, since a token's own would leave out
    what it does to those that follow. Labels: on tokens ``reference``; on branches ``advantage``,
    and ``weight``: 1 over the number of prompts for the policy's responses, 0 for the opponent's.

    Metrics: ``loss`` (the sum's value, of which only the gradient means anything); ``log_ratio``
    (nats a response, an estimate of the KL).
    """

    beta: float
    needs = ("policy.logprobs",)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        logprob_N = outputs["policy.logprobs"]
        logprob_M = sum_by_branch(logprob_N, batch)
        log_ratio_M = sum_by_branch(logprob_N.detach() - batch.token["reference"], batch)
        weight_M = batch.branch["weight"]
        loss_M = (self.beta * log_ratio_M - batch.branch["advantage"]) * logprob_M
        return (weight_M * loss_M).sum(), counted(
            loss=weighted_mean_of(loss_M, weight_M),
            log_ratio=weighted_mean_of(log_ratio_M, weight_M),
        )

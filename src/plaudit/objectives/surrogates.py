"""Surrogate losses of policy optimisation: what stands between an advantage and a gradient.

A surrogate is a frozen row of settings that is called with the policy's log-probabilities, their
importance ratios ``rho_t = exp(log pi_t - old_t)``, and a batch with token labels ``old`` (the
log-probability that the ratio is taken to) and ``advantage``. What judges a whole response comes
back on each of its tokens, so that the aggregation ``sequence`` makes it the mean over responses.

Shapes: N policy tokens, M branches (responses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from plaudit.objectives.labels import Labelled, sum_by_branch


class Surrogate(NamedTuple):
    """A surrogate's value, unreduced."""

    loss_N: Tensor
    clipped_N: Tensor
    """True where a bound took the gradient away or changed it."""


class SurrogateRule(Protocol):
    """The settings of a surrogate, and its formula."""

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """PPO's clipped surrogate, token by token (Schulman et al. 2017, equation 7)."""

    epsilon: float = 0.2
    epsilon_high: float | None = None
    """None: as ``epsilon``."""
    delta: float | None = None

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        return _clipped(ratio_N, batch.token["advantage"], self)


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceClip:
    """GSPO (Zheng et al. 2025): PPO's surrogate on the ratio of the whole response.

    ``s = exp(mean_t (log pi_t - old_t))``, the same for all its tokens; bounds of section 5.1.
    """

    epsilon: float = 3e-4
    epsilon_high: float | None = 4e-4
    delta: float | None = None

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        of_response_N = mean_within_branch(logprob_N - batch.token["old"], batch).exp()
        return _clipped(of_response_N, batch.token["advantage"], self)


@dataclass(frozen=True, kw_only=True, slots=True)
class CappedWeight:
    """CISPO (MiniMax 2025): ``-sg(min(rho, 1 + epsilon_high)) A log pi``.

    The weight is capped and carries no gradient, so every token keeps its own. A cap of 5 is
    ScaleRL's (TRL's ``epsilon_high`` is that cap itself, not its excess over 1).
    """

    epsilon_high: float = 4.0

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        weight_N, cap = ratio_N.detach(), 1.0 + self.epsilon_high
        loss_N = -weight_N.clamp(max=cap) * batch.token["advantage"] * logprob_N
        return Surrogate(loss_N, weight_N > cap)


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftGate:
    """SAPO (Gao et al. 2025): ``-A (4 / tau) sigmoid(tau (rho - 1))``, of slope -A at ``rho`` 1.

    ``tau`` differs with the advantage's sign.
    """

    sapo_temperature_pos: float = 1.0
    sapo_temperature_neg: float = 1.05

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        advantage_N = batch.token["advantage"]
        tau_N = torch.full_like(advantage_N, self.sapo_temperature_neg)
        tau_N[advantage_N > 0] = self.sapo_temperature_pos
        gate_N = (tau_N * (ratio_N - 1.0)).sigmoid() * 4.0 / tau_N
        return Surrogate(-advantage_N * gate_N, torch.zeros_like(ratio_N, dtype=torch.bool))


@dataclass(frozen=True, kw_only=True, slots=True)
class GeometricMean:
    """GMPO (Zhao et al. 2025): ``-A exp(mean_t clipped log rho_t)`` of a response.

    A token's log-ratio is bounded on the advantage's side: above at ``epsilon`` for ``A > 0``,
    below at ``-epsilon`` otherwise; so the ratio stays within ``exp(-epsilon), exp(epsilon)``.
    """

    epsilon: float = 0.4

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        log_ratio_N, advantage_N = logprob_N - batch.token["old"], batch.token["advantage"]
        above_N = log_ratio_N.clamp(max=self.epsilon)
        below_N = log_ratio_N.clamp(min=-self.epsilon)
        bounded_N = torch.where(advantage_N > 0, above_N, below_N)
        of_response_N = mean_within_branch(bounded_N, batch).exp()
        return Surrogate(
            -advantage_N * of_response_N, (bounded_N != log_ratio_N) & (advantage_N != 0)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LogProbability:
    """REINFORCE (Williams 1992): ``-A log pi``. It holds on the policy that sampled alone."""

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        loss_N = -batch.token["advantage"] * logprob_N
        return Surrogate(loss_N, torch.zeros_like(loss_N, dtype=torch.bool))


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvantageRegression:
    """A*-PO (Brantley et al. 2025): ``(beta sum_t log(pi_t / ref_t) - A)^2`` of a response.

    ``A = r - V*`` is the advantage of the optimal policy, whose log-ratio to the reference is
    ``A / beta``, with ``beta`` the ``regression_beta``. Reads the label ``reference`` too.
    """

    regression_beta: float = 1e-3

    def __call__(self, logprob_N: Tensor, ratio_N: Tensor, batch: Labelled) -> Surrogate:
        log_ratio_M = sum_by_branch(logprob_N - batch.token["reference"], batch)
        error_N = self.regression_beta * log_ratio_M[batch.branch_N] - batch.token["advantage"]
        return Surrogate(error_N.square(), torch.zeros_like(error_N, dtype=torch.bool))


def clipped_surrogate(
    ratio_N: Tensor,
    advantage_N: Tensor,
    *,
    epsilon: float,
    epsilon_high: float,
    delta: float | None = None,
) -> Tensor:
    """``max(-A min(rho, delta), -A clip(rho, 1 - epsilon, 1 + epsilon_high))``.

    Unequal bounds are DAPO's clip-higher. ``delta``, above ``1 + epsilon_high``, bounds the loss
    at ``delta |A|`` where ``A < 0``, which PPO leaves unbounded: INTELLECT-2's two-sided clip, and
    by another name the ``c`` of dual clip (Ye et al. 2020); nothing changes for ``A >= 0``.
    """
    clipped_N = ratio_N.clamp(1.0 - epsilon, 1.0 + epsilon_high)
    free_N = ratio_N if delta is None else ratio_N.clamp(max=delta)
    return torch.maximum(-advantage_N * free_N, -advantage_N * clipped_N)


def clipped_value_loss(
    value_N: Tensor, old_value_N: Tensor, return_N: Tensor, *, epsilon: float
) -> Tensor:
    """``max((V - R)^2, (clip(V, V_old - epsilon, V_old + epsilon) - R)^2) / 2`` (PPO's code)."""
    clipped_N = old_value_N + (value_N - old_value_N).clamp(-epsilon, epsilon)
    return 0.5 * torch.maximum((value_N - return_N).square(), (clipped_N - return_N).square())


def mean_within_branch(values_N: Tensor, batch: Labelled) -> Tensor:
    """The mean over its branch, on every token: ``[N] -> [N]``."""
    sum_M = sum_by_branch(values_N, batch)
    tokens_M = sum_by_branch(torch.ones_like(values_N), batch)
    return (sum_M / tokens_M.clamp(min=1.0))[batch.branch_N]


def _clipped(ratio_N: Tensor, advantage_N: Tensor, rule: Clip | SequenceClip) -> Surrogate:
    high = rule.epsilon if rule.epsilon_high is None else rule.epsilon_high
    loss_N = clipped_surrogate(
        ratio_N, advantage_N, epsilon=rule.epsilon, epsilon_high=high, delta=rule.delta
    )
    return Surrogate(loss_N, loss_N != -advantage_N * ratio_N)

"""What the preference losses read: both sides of every pair, and single responses with labels.

Log-probabilities and log-ratios are sums over the tokens the policy wrote, in nats.

Shapes: N policy tokens, M branches (responses), Q pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from plaudit.objectives.labels import Labelled, sum_by_branch


class Sides(NamedTuple):
    """One quantity of the better and of the worse response of every pair."""

    chosen_Q: Tensor
    rejected_Q: Tensor

    @property
    def difference_Q(self) -> Tensor:
        return self.chosen_Q - self.rejected_Q

    def per(self, tokens: Sides) -> Sides:
        """Means over tokens, of sums over them."""
        return Sides(self.chosen_Q / tokens.chosen_Q, self.rejected_Q / tokens.rejected_Q)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """What every pair loss may read."""

    logprob: Sides
    """``log pi(y | x)``."""
    log_ratio: Sides
    """``log pi(y | x) - log ref(y | x)``: ``a`` and ``c`` in the formulas, ``d = a - c``. Without a
    reference it is ``log pi``."""
    tokens: Sides
    """How many tokens the policy wrote, at least 1."""
    probability_Q: Tensor
    """That the better response really is the better one: ``p``."""
    margin_Q: Tensor
    """How much better the data says it is, in the reward's unit; 0 where it says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rated:
    """What every loss on single responses may read."""

    log_ratio_M: Tensor
    """``r`` in the formulas."""
    label_M: Tensor
    """1 for a good response, 0 for a bad one; between, the probability that it is good."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchSums:
    """The policy's tokens added up, response by response."""

    logprob_M: Tensor
    log_ratio_M: Tensor
    tokens_M: Tensor


def branch_sums(logprob_N: Tensor, batch: Labelled, *, reference: bool) -> BranchSums:
    """Sums over each response; labels on tokens: ``reference``, where there is one."""
    logprob_M = sum_by_branch(logprob_N, batch)
    # Token by token first: the difference of two large sums would lose digits.
    ratio_M = sum_by_branch(logprob_N - batch.token["reference"], batch) if reference else logprob_M
    tokens_M = sum_by_branch(torch.ones_like(logprob_N), batch).clamp(min=1)
    return BranchSums(logprob_M=logprob_M, log_ratio_M=ratio_M, tokens_M=tokens_M)


def sides(values_M: Tensor, batch: Labelled) -> Sides:
    """A quantity of responses as one of pairs."""
    return Sides(values_M[batch.pair["better"]], values_M[batch.pair["worse"]])


def pairs_of(
    sums: BranchSums, batch: Labelled, *, label_smoothing: float = 0.0, debiased: bool = False
) -> Pairs:
    """Labels on pairs: ``better``, ``worse``, ``probability`` and, where said, ``margin``.

    Of labels that are wrong with probability ``e`` (``label_smoothing``), ``p`` becomes
    ``p (1 - e) + (1 - p) e``: what a label that says ``p`` is worth. Debiased it becomes
    ``(p - e) / (1 - 2 e)``: its mean over wrong labels is the truth (Chowdhury et al. 2024).
    """
    e, p_Q = label_smoothing, batch.pair["probability"]
    probability_Q = (p_Q - e) / (1 - 2 * e) if debiased else p_Q * (1 - e) + (1 - p_Q) * e
    return Pairs(
        logprob=sides(sums.logprob_M, batch),
        log_ratio=sides(sums.log_ratio_M, batch),
        tokens=sides(sums.tokens_M, batch),
        probability_Q=probability_Q,
        margin_Q=batch.pair.get("margin", torch.zeros_like(probability_Q)),
    )


def shared_log_ratio(outputs: Mapping[str, Tensor], batch: Labelled) -> Sides:
    """Log-ratios over the first ``min(|y_w|, |y_l|)`` tokens of both sides (LD-DPO)."""
    log_ratio_N = outputs["policy.logprobs"] - batch.token["reference"]
    count_M = torch.bincount(batch.branch_N, minlength=batch.branches)
    begin_M = count_M.cumsum(0) - count_M
    better, worse = batch.pair["better"], batch.pair["worse"]
    shorter_Q = torch.minimum(count_M[better], count_M[worse])
    # Tokens stand branch after branch, so a span's sum is a difference of running sums; these are
    # in float64, since a difference of large float32 sums would lose digits.
    before_N = torch.nn.functional.pad(log_ratio_N.double().cumsum(0), (1, 0))
    first = lambda m: before_N[begin_M[m] + shorter_Q] - before_N[begin_M[m]]  # noqa: E731
    return Sides(first(better).to(log_ratio_N.dtype), first(worse).to(log_ratio_N.dtype))


def sequence_kl(outputs: Mapping[str, Tensor], batch: Labelled) -> Sides:
    """``sum_t KL(ref || pi)`` over the whole vocabulary at each token's place (TDPO)."""
    return sides(sum_by_branch(outputs["policy.reference_kl"], batch), batch)


def log_confidence(outputs: Mapping[str, Tensor], batch: Labelled) -> Sides:
    """``mean_t (log pi(y_t) - log sum_v pi(v)^2)``, without gradient (WPO)."""
    excess_N = (outputs["policy.logprobs"] - outputs["policy.log_collision"]).detach()
    tokens_M = sum_by_branch(torch.ones_like(excess_N), batch).clamp(min=1)
    return sides(sum_by_branch(excess_N, batch) / tokens_M, batch)


def sorted_reference_Q(outputs: Mapping[str, Tensor], batch: Labelled) -> Tensor:
    """The reference's log-ratio of the pair that holds this pair's rank there (AOT)."""
    return batch.pair["sorted_reference"]


def matched_sides(outputs: Mapping[str, Tensor], batch: Labelled) -> Sides:
    """At the rank of a pair's worse response the better one's log-ratio, and the reverse (AOT)."""
    return Sides(batch.pair["matched_chosen"], batch.pair["matched_rejected"])


def kto_z0_M(outputs: Mapping[str, Tensor], batch: Labelled) -> Tensor:
    """``z0`` of the update, the same for every response (KTO)."""
    return batch.branch["kto_z0"]


def bco_mean_M(outputs: Mapping[str, Tensor], batch: Labelled) -> Tensor:
    """The running mean of log-ratios as it stands at this update, the same everywhere (BCO)."""
    return batch.branch["bco_mean"]


def bco_mean_Q(outputs: Mapping[str, Tensor], batch: Labelled) -> Tensor:
    """As ``bco_mean_M``, for pairs."""
    return batch.branch["bco_mean"][batch.pair["better"]]

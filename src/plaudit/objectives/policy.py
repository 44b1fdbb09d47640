"""The objective that every row of the table shares.

Shapes: N policy tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from plaudit.objectives.kl import SAMPLED_KL_LOSSES, LossEstimator, k3
from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, counted, mean_of, weighted_mean_of
from plaudit.objectives.surrogates import (
    Clip,
    SurrogateRule,
    clipped_value_loss,
    mean_within_branch,
)


@dataclass(frozen=True, kw_only=True)
class PolicyOptimisation:
    """``sum_t w_t (surrogate_t + kl_coefficient kl_t - entropy_coefficient H_t + value loss_t)``.

    Labels on tokens: ``weight``, ``advantage``, ``old`` (the log-probability the importance ratio
    is taken to); with a KL in the loss ``reference``; with a critic ``old_value`` and ``return``;
    with a likelihood ``nll_weight``, its own weight; ``sampled`` where the sampler's
    log-probability is not ``old``.

    A ratio is never bounded before it is clipped: past float32's range (a log-ratio above 88) the
    loss or its gradient is not finite, and the update fails rather than learn from such a token.

    Metrics: ``policy_loss`` (the surrogate's), ``entropy`` (nats a token), ``approx_kl`` (k3 from
    the old policy), ``clip_fraction`` (tokens whose gradient a bound took away or changed: PPO's
    as Ziegler et al. 2019 count them, beyond the bound on the advantage's side), ``masked`` (off
    policy); with a critic ``value_loss`` and ``value_error`` (mean squared; over the returns'
    variance, the unexplained part).
    """

    critic: bool
    train_policy: bool = True
    """False while a critic is warmed up alone."""
    surrogate: SurrogateRule = field(default_factory=Clip)
    kl_coefficient: float = 0.0
    """Of the KL in the loss; 0 where it is in the reward."""
    kl_estimator: LossEstimator = "k3"
    """``full`` sums over the vocabulary at every token; the others use the token drawn."""
    entropy_coefficient: float = 0.0
    nll_coefficient: float = 0.0
    """Of the likelihood of good responses (VAPO)."""
    off_policy_mask_threshold: float | None = None
    """Leave out tokens with A < 0 of responses with ``mean_t (sampled - log pi)`` above it
    (DeepSeek-V3.2, section 3.1)."""
    vf_coefficient: float = 0.1
    cliprange_value: float = 0.2

    @property
    def needs(self) -> tuple[str, ...]:
        policy = ("policy.logprobs", "policy.entropy") if self.train_policy else ()
        full = self.train_policy and self.kl_coefficient and self.kl_estimator == "full"
        critic = ("critic.values",) if self.critic else ()
        return policy + (("policy.kl",) if full else ()) + critic

    @property
    def parts(self) -> tuple[PolicyOptimisation, ...]:
        """The policy's and the critic's, which share no term: one need not be held in memory while
        the other is computed."""
        if not (self.critic and self.train_policy):
            return (self,)
        return replace(self, critic=False), replace(self, train_policy=False)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        parts = []
        metrics: dict[str, Mean] = {}
        if self.train_policy:
            loss, found = self._policy(outputs, batch)
            parts.append(loss)
            metrics |= found
        if self.critic:
            loss, found = self._critic(outputs, batch)
            parts.append(self.vf_coefficient * loss)
            metrics |= found
        return torch.stack(parts).sum(), counted(**metrics)

    def _policy(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        label, logprob_N = batch.token, outputs["policy.logprobs"]
        ratio_N = (logprob_N - label["old"]).exp()
        loss_N, clipped_N = self.surrogate(logprob_N, ratio_N, batch)
        metrics = {
            "entropy": mean_of(outputs["policy.entropy"]),
            "approx_kl": mean_of(k3(label["old"] - logprob_N)),
            "clip_fraction": mean_of(clipped_N),
        }
        if self.off_policy_mask_threshold is not None:
            kept_N = _near(logprob_N, batch, self.off_policy_mask_threshold)
            loss_N = torch.where(kept_N, loss_N, 0.0)
            metrics["masked"] = mean_of(~kept_N)
        metrics["policy_loss"] = weighted_mean_of(loss_N, label["weight"])
        if self.kl_coefficient:
            loss_N = loss_N + self._weighted_kl(outputs, ratio_N, batch)
        if self.entropy_coefficient:
            loss_N = loss_N - self.entropy_coefficient * outputs["policy.entropy"]
        loss = (label["weight"] * loss_N).sum()
        if self.nll_coefficient:
            loss = loss - self.nll_coefficient * (label["nll_weight"] * logprob_N).sum()
        return loss, metrics

    def _weighted_kl(
        self, outputs: Mapping[str, Tensor], ratio_N: Tensor, batch: Labelled
    ) -> Tensor:
        if self.kl_estimator == "full":
            return self.kl_coefficient * outputs["policy.kl"]
        log_ratio_N = outputs["policy.logprobs"] - batch.token["reference"]
        return SAMPLED_KL_LOSSES[self.kl_estimator](log_ratio_N, self.kl_coefficient * ratio_N)

    def _critic(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        label, value_N = batch.token, outputs["critic.values"]
        loss_N = clipped_value_loss(
            value_N, label["old_value"], label["return"], epsilon=self.cliprange_value
        )
        return (label["weight"] * loss_N).sum(), {
            "value_loss": weighted_mean_of(loss_N, label["weight"]),
            "value_error": mean_of((value_N - label["return"]).square()),
        }


def _near(logprob_N: Tensor, batch: Labelled, threshold: float) -> Tensor:
    """False on what the sequence mask leaves out."""
    sampled_N = batch.token.get("sampled", batch.token["old"])
    drift_N = mean_within_branch(sampled_N - logprob_N.detach(), batch)
    return (batch.token["advantage"] >= 0) | (drift_N <= threshold)

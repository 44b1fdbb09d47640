"""Policy optimisation: the table of algorithms and the objective they share.

An algorithm is advantage x KL x aggregation, on PPO's clipped surrogate:

- ``ppo``: a critic and GAE; KL in the reward, token by token.
- ``rloo``: leave-one-out over the responses of a prompt; KL in the reward, whole sequences, whose
  log-probability is the sum over tokens, so that the denominator is constant.
- ``grpo``: rewards standardised within the group; KL in the loss; sequence mean.
- ``dr_grpo``: GRPO without the division by the group's deviation, constant denominator.

Shapes: N policy tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from plaudit.objectives.aggregation import Aggregation
from plaudit.objectives.kl import k3
from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, counted, mean_of, weighted_mean_of
from plaudit.objectives.surrogates import clipped_surrogate, clipped_value_loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """A row of the table."""

    advantage: Literal["gae", "group", "group_mean", "leave_one_out"]
    kl: Literal["token_reward", "sequence_reward", "loss"]
    aggregation: Aggregation

    @property
    def has_critic(self) -> bool:
        return self.advantage == "gae"


ALGORITHMS: Mapping[str, Algorithm] = {
    "ppo": Algorithm(advantage="gae", kl="token_reward", aggregation="token"),
    "rloo": Algorithm(advantage="leave_one_out", kl="sequence_reward", aggregation="constant"),
    "grpo": Algorithm(advantage="group", kl="loss", aggregation="sequence"),
    "dr_grpo": Algorithm(advantage="group_mean", kl="loss", aggregation="constant"),
}


@dataclass(frozen=True, kw_only=True)
class PolicyOptimisation:
    """``sum_t w_t (surrogate_t + kl_coefficient rho_t k3_t + vf_coefficient value_loss_t)``.

    Labels on tokens: ``weight``, ``advantage``, ``old`` (log-probability when sampled); with a KL
    in the loss ``reference``; with a critic ``old_value`` and ``return``. The importance ratio
    before ``k3`` carries gradient, which makes its gradient that of KL(policy || reference)
    (DeepSeek-V3.2).

    A ratio is never bounded before it is clipped: past float32's range (a log-ratio above 88) the
    loss or its gradient is not finite, and the update fails rather than learn from such a token.

    Metrics: ``policy_loss`` (without the KL), ``entropy`` (nats a token), ``approx_kl`` (k3 from
    the old policy), ``clip_fraction`` (tokens whose gradient the clip took away, as Ziegler et al.
    2019 count them: beyond the bound on the advantage's side); with a critic ``value_loss`` and
    ``value_error`` (mean squared; over the returns' variance, the unexplained part).
    """

    critic: bool
    train_policy: bool = True
    """False while a critic is warmed up alone."""
    epsilon: float = 0.2
    epsilon_high: float = 0.2
    kl_coefficient: float = 0.0
    """Of the KL in the loss; 0 where it is in the reward."""
    vf_coefficient: float = 0.1
    cliprange_value: float = 0.2

    @property
    def needs(self) -> tuple[str, ...]:
        policy = ("policy.logprobs", "policy.entropy") if self.train_policy else ()
        return policy + (("critic.values",) if self.critic else ())

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
        label = batch.token
        log_ratio_N = outputs["policy.logprobs"] - label["old"]
        ratio_N = log_ratio_N.exp()
        loss_N = clipped_surrogate(
            ratio_N, label["advantage"], epsilon=self.epsilon, epsilon_high=self.epsilon_high
        )
        metrics = {
            "policy_loss": weighted_mean_of(loss_N, label["weight"]),
            "entropy": mean_of(outputs["policy.entropy"]),
            "approx_kl": mean_of(k3(-log_ratio_N)),
            "clip_fraction": mean_of(loss_N > -label["advantage"] * ratio_N),
        }
        if self.kl_coefficient:
            kl_N = k3(outputs["policy.logprobs"] - label["reference"])
            loss_N = loss_N + self.kl_coefficient * ratio_N * kl_N
        return (label["weight"] * loss_N).sum(), metrics

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

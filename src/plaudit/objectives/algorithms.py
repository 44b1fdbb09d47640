"""The table of algorithms: advantage x surrogate x aggregation x filter, and where the KL goes.

A row is data. Its settings are its authors' and become the options of a run that leaves them
unset; an option that a row's parts do not read is refused (``stages/rl_options.py``). For the
relations between rows read the table itself: DAPO is GRPO with unequal bounds, a mean over tokens,
a filter and no KL; Dr. GRPO is GRPO without the division; GSPO is GRPO on another ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plaudit.objectives.aggregation import Aggregation
from plaudit.objectives.surrogates import (
    AdvantageRegression,
    CappedWeight,
    Clip,
    GeometricMean,
    LogProbability,
    SequenceClip,
    SoftGate,
    SurrogateRule,
)

Advantage = Literal["gae", "reward", "greedy", "leave_one_out", "group_mean", "optimal_value"]
Scale = Literal["none", "group", "batch", "tokens"]
KLPlace = Literal["token_reward", "sequence_reward", "loss"]
KLEstimator = Literal["k1", "k2", "k3", "full"]

OF_OTHER_RESPONSES = ("leave_one_out", "group_mean")
"""Advantages whose baseline is the rewards of the prompt's other responses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """A row of the table."""

    advantage: Advantage
    """``gae``: a critic's; ``reward``: the reward itself; ``greedy``: less the reward of the greedy
    response (ReMax); ``leave_one_out``: less the mean of the others (RLOO); ``group_mean``: less
    the group's mean; ``optimal_value``: less V*, from samples of the reference (A*-PO)."""
    scale_rewards: Scale = "none"
    """Divide by the deviation of the group's rewards, of the batch's rewards, or (``tokens``) bring
    the advantages of all tokens to mean 0 and deviation 1."""
    kl: KLPlace
    """Token by token in the reward, of whole responses in the reward, or in the loss."""
    kl_estimator: KLEstimator = "k1"
    surrogate: SurrogateRule = field(default_factory=Clip)
    aggregation: Aggregation
    beta: float = 0.05
    """The KL's coefficient."""
    dynamic_sampling: bool = False
    """Ask for more prompts in place of those whose responses all got one reward (DAPO)."""
    overlong_share: float | None = None
    """Of the length limit: the last tokens over which length is punished (DAPO)."""
    positive_nll_coefficient: float = 0.0
    """Of the likelihood of responses with a positive score (VAPO)."""
    critic: Mapping[str, float] = field(default_factory=dict)
    """Settings of the critic that differ from the others' (``CriticOptions``)."""

    @property
    def has_critic(self) -> bool:
        return self.advantage == "gae"

    @property
    def kl_in_reward(self) -> bool:
        return self.kl != "loss"

    @property
    def compares_responses(self) -> bool:
        """Whether a prompt needs at least two responses."""
        return self.advantage in OF_OTHER_RESPONSES or self.scale_rewards == "group"


ALGORITHMS: Mapping[str, Algorithm] = {
    # Schulman et al. 2017 with the KL of Ziegler et al. 2019.
    "ppo": Algorithm(advantage="gae", kl="token_reward", aggregation="token"),
    # Williams 1992, whole responses as one action.
    "reinforce": Algorithm(
        advantage="reward",
        kl="sequence_reward",
        surrogate=LogProbability(),
        aggregation="constant",
    ),
    # Li et al. 2023.
    "remax": Algorithm(
        advantage="greedy", kl="sequence_reward", surrogate=LogProbability(), aggregation="constant"
    ),
    # Ahmadian et al. 2024. A response's log-probability is the sum over its tokens, so the
    # denominator is constant.
    "rloo": Algorithm(advantage="leave_one_out", kl="sequence_reward", aggregation="constant"),
    # Hu et al. 2025: REINFORCE with PPO's clip and a baseline of the whole batch.
    "reinforce_plus_plus": Algorithm(
        advantage="reward",
        scale_rewards="tokens",
        kl="token_reward",
        aggregation="token",
        beta=0.01,
    ),
    "reinforce_plus_plus_baseline": Algorithm(
        advantage="group_mean",
        scale_rewards="tokens",
        kl="loss",
        kl_estimator="k2",
        aggregation="token",
        beta=0.01,
    ),
    # Shao et al. 2024.
    "grpo": Algorithm(
        advantage="group_mean",
        scale_rewards="group",
        kl="loss",
        kl_estimator="k3",
        aggregation="sequence",
    ),
    # Liu et al. 2025.
    "dr_grpo": Algorithm(
        advantage="group_mean", kl="loss", kl_estimator="k3", aggregation="constant"
    ),
    # Yu et al. 2025: 4096 of 20480 tokens are the buffer.
    "dapo": Algorithm(
        advantage="group_mean",
        scale_rewards="group",
        kl="loss",
        kl_estimator="k3",
        surrogate=Clip(epsilon=0.2, epsilon_high=0.28),
        aggregation="token",
        beta=0.0,
        dynamic_sampling=True,
        overlong_share=0.2,
    ),
    # Zheng et al. 2025. Differs from GRPO only from the second update of a step on.
    "gspo": Algorithm(
        advantage="group_mean",
        scale_rewards="group",
        kl="loss",
        kl_estimator="k3",
        surrogate=SequenceClip(),
        aggregation="sequence",
        beta=0.0,
    ),
    # MiniMax 2025; the cap is ScaleRL's (Khatri et al. 2025).
    "cispo": Algorithm(
        advantage="group_mean",
        scale_rewards="group",
        kl="loss",
        kl_estimator="k3",
        surrogate=CappedWeight(),
        aggregation="token",
        beta=0.0,
    ),
    # Gao et al. 2025.
    "sapo": Algorithm(
        advantage="group_mean",
        scale_rewards="group",
        kl="loss",
        kl_estimator="k3",
        surrogate=SoftGate(),
        aggregation="sequence",
        beta=0.0,
    ),
    # Zhao et al. 2025.
    "gmpo": Algorithm(
        advantage="group_mean",
        scale_rewards="group",
        kl="loss",
        kl_estimator="k3",
        surrogate=GeometricMean(),
        aggregation="sequence",
        beta=0.0,
    ),
    # Liu et al. 2025, "Tricks or traps?".
    "lite_ppo": Algorithm(
        advantage="group_mean",
        scale_rewards="batch",
        kl="loss",
        kl_estimator="k3",
        aggregation="token",
        beta=0.0,
    ),
    # Yue et al. 2025.
    "vapo": Algorithm(
        advantage="gae",
        kl="token_reward",
        surrogate=Clip(epsilon=0.2, epsilon_high=0.28),
        aggregation="token",
        beta=0.0,
        positive_nll_coefficient=0.1,
        critic={"value_lam": 1.0, "length_adaptive_alpha": 0.05, "warmup_steps": 50},
    ),
    # Brantley et al. 2025; the KL is in the regression.
    "a_star_po": Algorithm(
        advantage="optimal_value",
        kl="loss",
        kl_estimator="k3",
        surrogate=AdvantageRegression(),
        aggregation="sequence",
        beta=0.0,
    ),
}

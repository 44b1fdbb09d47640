"""The coefficients of the rl stage that may move from step to step: of the KL and the entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from plaudit.learning.experience import Shaping
from plaudit.objectives import (
    active_entropy_coefficient,
    adapt_entropy_coefficient,
    adapt_kl_coefficient,
)
from plaudit.stages.rl_options import RLConfig


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Coefficients as they stand; a checkpoint holds them."""

    config: RLConfig
    kl: float
    entropy: float
    last_entropy: float | None
    """The policy's, a token in nats, in the step before; None before the first."""

    @classmethod
    def resume(cls, config: RLConfig, saved: Mapping[str, Any]) -> Coefficients:
        """As a checkpoint left them, or as the config says they begin."""
        found = saved.get("coefficients", {})
        return cls(
            config=config,
            kl=found.get("kl", config.row.beta),
            entropy=found.get("entropy", config.entropy_coefficient),
            last_entropy=found.get("last_entropy"),
        )

    def as_dict(self) -> dict[str, Any]:
        values = {"kl": self.kl, "entropy": self.entropy, "last_entropy": self.last_entropy}
        return {"coefficients": values}

    @property
    def kl_in_loss(self) -> float:
        return 0.0 if self.config.row.kl_in_reward else self.kl

    @property
    def entropy_bonus(self) -> float:
        """What the bonus is multiplied by in this step."""
        aim = self.config.adaptive_entropy
        if aim is None:
            return self.entropy
        if self.last_entropy is None:
            return 0.0
        return active_entropy_coefficient(self.entropy, self.last_entropy, target=aim.target)

    def shaping(self) -> Shaping:
        in_reward = self.kl if self.config.row.kl_in_reward else 0.0
        critic = self.config.critic
        if critic is None:
            return Shaping(kl_coefficient=in_reward)
        return Shaping(
            kl_coefficient=in_reward,
            gamma=critic.gamma,
            lam=critic.lam,
            value_lam=critic.value_lam,
            length_adaptive_alpha=critic.length_adaptive_alpha,
            whiten_advantages=critic.whiten_advantages,
        )

    def adapted(self, metrics: Mapping[str, float], episodes: int) -> Coefficients:
        """Moved towards their targets by a step's ``kl`` and ``entropy``, where there are targets.

        A step that trains the critic alone has no entropy and leaves them alone: the policy has
        not moved, and its KL of 0 would call for a smaller coefficient.
        """
        if "entropy" not in metrics:
            return self
        moved = replace(self, last_entropy=metrics["entropy"])
        if (kl_aim := self.config.adaptive_kl) is not None:
            kl = adapt_kl_coefficient(
                self.kl,
                metrics["kl"],
                target=kl_aim.target,
                episodes=episodes,
                horizon=kl_aim.horizon,
            )
            moved = replace(moved, kl=kl)
        if (aim := self.config.adaptive_entropy) is not None:
            entropy = adapt_entropy_coefficient(
                self.entropy, metrics["entropy"], target=aim.target, step_size=aim.step_size
            )
            moved = replace(moved, entropy=entropy)
        return moved

    def metrics(self) -> dict[str, float]:
        found = {"kl_coefficient": self.kl}
        if self.config.adaptive_entropy is not None or self.entropy:
            found["entropy_coefficient"] = self.entropy_bonus
        return found

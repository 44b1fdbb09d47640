"""How several rewards become one: what is said of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from plaudit.config import Config, nearest
from plaudit.stages.options import BelowOne, NonNegative, Positive, Share
from plaudit.stages.rl_rewards import SourceOptions

RAW = "raw"
"""The part of a score that is the combined reward before any penalty."""
_NAME = re.compile(r"\w[\w-]*")
Method = Literal["sum", "gated", "worst", "mean_minus_variance", "gdpo", "constrained"]
READ_BY: Mapping[str, tuple[str, ...]] = {
    "gated": ("safety", "threshold", "safety_column", "whiten"),
    "mean_minus_variance": ("variance_coefficient",),
    "constrained": (
        "limits", "multiplier", "multiplier_rate", "multiplier_max", "cost_decay",
    ),
}  # fmt: skip


class CombineOptions(Config):
    """How several rewards become one."""

    method: Method = "sum"
    """The weighted sum; safety first (gated); an ensemble's worst member, or its mean less its
    variance; each standardised in its group and then summed (gdpo); the weighted sum under limits
    on costs (constrained)."""
    safety: str | None = None
    """For gated: the source that decides where it is in doubt; a probability."""
    threshold: Share = 0.15
    """For gated: safety below this decides."""
    safety_column: str | None = None
    """For gated: a column of the data, true for prompts on which safety always decides."""
    whiten: bool = True
    """For gated: bring the rewards of a step to mean 0 and deviation 1."""
    variance_coefficient: NonNegative = 0.1
    """For mean_minus_variance: weight of the variance between members."""
    limits: dict[str, float] = Field(default_factory=dict)
    """For constrained: the sources that are costs, each with the most its mean may be."""
    multiplier: Positive = 1.0
    """For constrained: the Lagrange multipliers to begin with."""
    multiplier_rate: Positive = 0.1
    """For constrained: step of the multipliers' logarithms, for a violation of 1."""
    multiplier_max: Positive = 100.0
    """For constrained: bound on the multipliers."""
    cost_decay: BelowOne = 0.8
    """For constrained: share of the older steps in the moving average of a cost."""

    def faults(self, sources: Mapping[str, SourceOptions]) -> dict[str, bool]:
        """What does not apply, each with whether it is so."""
        own = READ_BY.get(self.method, ())
        others = {name for names in READ_BY.values() for name in names} - set(own)
        fields = type(self).model_fields
        given = [
            name
            for name in fields
            if name in others
            and getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]
        weighed = {name for name, source in sources.items() if source.weight != 1.0}
        named = [self.safety] if self.safety else list(self.limits)
        unknown = next((name for name in named if name not in sources), "")
        several = self.method != "sum" and len(sources) < 2
        unfit = next((n for n in sources if n == RAW or not _NAME.fullmatch(n)), "")
        return {
            f"rewards.{unfit}: expected a name such as valid_calls, and not {RAW}": bool(unfit),
            f"combine.{given[0] if given else ''}: {self.method} does not read it": bool(given),
            f"combine: {unknown} is none of rewards{nearest(unknown, sources)}": bool(unknown),
            f"combine: {self.method} needs at least two rewards": several,
            "combine.safety: gated needs the name of the reward that decides": (
                self.method == "gated" and self.safety is None
            ),
            "combine.limits: constrained needs costs, and one reward that is none": (
                self.method == "constrained" and not 0 < len(self.limits) < len(sources)
            ),
            f"combine: {self.method} leaves no place for at_steps, which needs a sum": (
                self.method != "sum" and any(source.at_steps for source in sources.values())
            ),
            f"rewards: an ensemble's members ({self.method}) have no weights": (
                self.method in ("worst", "mean_minus_variance") and bool(weighed)
            ),
            f"rewards.{self.safety}.weight: a gate has none; it decides by what it says": (
                self.method == "gated" and self.safety in weighed
            ),
        }

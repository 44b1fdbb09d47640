"""Lagrange multipliers that follow a moving average of a cost."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from plaudit.objectives.multi_reward import adapt_multiplier


@dataclass(frozen=True, kw_only=True, slots=True)
class Multiplier:
    """A multiplier by its logarithm, and the mean cost it follows."""

    log: float
    cost: float = 0.0
    """Moving average of the mean cost of a step."""
    steps: int = 0

    @classmethod
    def of(cls, value: float) -> Multiplier:
        return cls(log=math.log(value))

    @property
    def value(self) -> float:
        return math.exp(self.log)

    def having_seen(
        self, cost: float, *, limit: float, decay: float, learning_rate: float, most: float
    ) -> Multiplier:
        """After a step of mean cost ``cost``, of which ``limit`` is allowed.

        The average is ``decay * average + (1 - decay) * cost`` from the first step's cost on; the
        multiplier never exceeds ``most``.
        """
        average = decay * self.cost + (1 - decay) * cost if self.steps else cost
        log = adapt_multiplier(self.log, average - limit, learning_rate=learning_rate)
        return Multiplier(log=min(log, math.log(most)), cost=average, steps=self.steps + 1)

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

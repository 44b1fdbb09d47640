"""Running mean and standard deviation, for rewards whose scale is not known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningMoments:
    """Count, mean, sum of squared deviations (Chan et al. 1979) and range of all values so far."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    low: float = 0.0
    high: float = 0.0
    """The least and the greatest; 0 until there is a value."""

    def with_values(self, values: Sequence[float]) -> RunningMoments:
        """The moments once ``values`` have been seen too."""
        new = np.asarray(values, dtype=np.float64)
        if not len(new):
            return self
        count = self.count + len(new)
        shift = float(new.mean()) - self.mean
        squares = float(((new - new.mean()) ** 2).sum())
        return RunningMoments(
            count=count,
            mean=self.mean + shift * len(new) / count,
            squares=self.squares + squares + shift**2 * self.count * len(new) / count,
            low=float(min(new.min(), self.low)) if self.count else float(new.min()),
            high=float(max(new.max(), self.high)) if self.count else float(new.max()),
        )

    @property
    def std(self) -> float:
        """The population's; 1 until it is known."""
        return (self.squares / self.count) ** 0.5 if self.squares > 0 else 1.0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

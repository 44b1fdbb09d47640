"""What every scorer can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from plaudit.records import Invalid, Rollout, Score


class Scorer(Protocol):
    """Judges responses; it sees a whole step's at once, so that a model can batch them."""

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """A score, or the reason there is none, for each rollout in order."""
        ...

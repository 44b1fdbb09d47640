"""Several reward models as one: their mean, the worst, or the mean less their disagreement.

Shapes: K members.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from plaudit.artifacts import write_json
from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring.protocol import Scorer

ENSEMBLE_FILE = "ensemble.json"
Combine = Literal["mean", "worst", "mean_minus_variance"]


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """How members are combined: ``ensemble.json`` beside the first member's weights."""

    members: tuple[str, ...]
    """Directories of the members, relative to this file."""
    combine: Combine
    variance_coefficient: float = 0.5

    def write(self, path: Path) -> None:
        write_json(path / ENSEMBLE_FILE, asdict(self))


def read_ensemble(path: Path) -> Ensemble | None:
    """The ensemble at ``path``, or None where there is a single model.

    Raises:
        ValueError: the file is damaged.
    """
    file = path / ENSEMBLE_FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        ensemble = Ensemble(**{**found, "members": tuple(found["members"])})
        if ensemble.combine not in get_args(Combine) or not ensemble.members:
            raise ValueError(f"combine {ensemble.combine!r} of {len(ensemble.members)} members")
        return ensemble
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file}: expected members and combine as JSON ({error})") from error


class EnsembleScorer:
    """Combines the standardised scores of members that were trained apart (Coste et al. 2023).

    ``mean``; ``worst`` (WCO) is the least; ``mean_minus_variance`` (UWO) is
    ``mean - c * variance`` with the population variance. Parts: each member's score, and the
    ``variance``. A response that a member cannot score has no score.
    """

    def __init__(self, members: Sequence[Scorer], combine: Combine, variance: float) -> None:
        self._members = members
        self._combine = combine
        self._variance = variance

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``."""
        by_member = [member.score(rollouts) for member in self._members]
        return [self._joined(scores) for scores in zip(*by_member, strict=True)]

    def _joined(self, scores: Sequence[Score | Invalid]) -> Score | Invalid:
        values = []
        for score in scores:
            if isinstance(score, Invalid):
                return score
            values.append(score.value)
        values_K = np.array(values)
        variance = float(values_K.var())
        value = {
            "mean": values_K.mean(),
            "worst": values_K.min(),
            "mean_minus_variance": values_K.mean() - self._variance * variance,
        }[self._combine]
        parts = {f"member_{k}": float(x) for k, x in enumerate(values_K)}
        return Score(value=float(value), parts=parts | {"variance": variance})

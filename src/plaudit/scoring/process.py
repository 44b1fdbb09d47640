"""Scores from a process reward model: a probability at the end of every step, and their aggregate.

Shapes: X steps of a response, N its tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from scipy.special import expit

from plaudit.artifacts import write_json
from plaudit.models import Roles
from plaudit.objectives.reward_process import Aggregate, aggregate_steps
from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring.reading import read_tokens
from plaudit.scoring.reward_model import NOT_FINITE, Read, role_outputs
from plaudit.text import Renderer, step_ends

PROCESS_FILE = "process.json"


@dataclass(frozen=True, kw_only=True)
class Process:
    """How a process reward model is read: ``process.json`` beside its weights."""

    separator: str
    """What ends a step in the text."""
    aggregate: Aggregate
    mean: float = 0.0
    """Of the aggregate on the responses learned from."""
    std: float = 1.0

    def write(self, path: Path) -> None:
        write_json(path / PROCESS_FILE, asdict(self))


def read_process(path: Path) -> Process | None:
    """How the model at ``path`` is read, or None where it judges whole responses.

    Raises:
        ValueError: the file is damaged.
    """
    file = path / PROCESS_FILE
    if not file.is_file():
        return None
    try:
        found = Process(**json.loads(file.read_text(encoding="utf-8")))
        if found.aggregate not in get_args(Aggregate) or not found.separator:
            raise ValueError(f"aggregate {found.aggregate!r}, separator {found.separator!r}")
        return found
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: expected separator and aggregate as JSON ({error})") from error


class ProcessScorer:
    """Judges the steps of responses; ``Score.steps`` has the probability at each step's end.

    Places are those of the policy's tokens, so that a policy can be rewarded step by step; of a
    response that was read in other tokens only the value is given.

    Args:
        roles: holds the role ``reward``.
        renderer: of the reward model's tokens.
        read: what the model reads of rollouts; the policy's tokens where not said.
        standardised: ``(value - mean) / std`` in place of the aggregate itself.
    """

    def __init__(
        self,
        roles: Roles,
        process: Process,
        renderer: Renderer,
        *,
        read: Read = read_tokens,
        standardised: bool = False,
        token_budget: int = 8192,
    ) -> None:
        self._roles = roles
        self._process = process
        self._renderer = renderer
        self._read = read
        self._standardised = standardised
        self._token_budget = token_budget

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``."""
        trees, invalid = self._read(rollouts)
        by_tree = role_outputs(self._roles, trees, "reward.step_scores", self._token_budget)
        judged = (
            (branch.ids[branch.mask], scores_N)
            for tree, found in zip(trees, by_tree, strict=True)
            for branch, scores_N in zip(
                tree.branches,
                np.split(found, np.cumsum(tree.tokens_per_branch_K)[:-1]),
                strict=True,
            )
        )
        return [
            invalid[place] if place in invalid else self._score(*next(judged))
            for place in range(len(rollouts))
        ]

    def _score(self, ids_N: np.ndarray, scores_N: np.ndarray) -> Score | Invalid:
        ends_X = step_ends(ids_N, self._renderer, self._process.separator)
        if not len(ends_X):
            return Invalid(reason="the response has no steps")
        right_X = expit(scores_N[ends_X].astype(float))
        if not np.isfinite(right_X).all():
            return NOT_FINITE
        raw = aggregate_steps(right_X, self._process.aggregate)
        value = (raw - self._process.mean) / self._process.std if self._standardised else raw
        steps = tuple(zip(map(int, ends_X), map(float, right_X), strict=True))
        return Score(
            value=value,
            parts={"process": raw, "steps": float(len(ends_X))},
            steps=steps if self._read is read_tokens else (),
        )

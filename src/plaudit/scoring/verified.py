"""Scores from verifiers, which run in worker processes with deadlines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from plaudit.config import Config, make_config
from plaudit.records import Invalid, Rollout, Score
from plaudit.verifiers import Columns, Workers, bind_verifier


class WorkerOptions(Config):
    """What every verifier takes beside its own options."""

    workers: int = Field(default=min(4, os.cpu_count() or 1), ge=1)
    """Processes that verify at the same time."""
    deadline_seconds: float = Field(default=10.0, gt=0)
    """For one response; then its process is killed, and its score is invalid."""


class VerifierScorer:
    """Scores responses by a verifier."""

    def __init__(self, name: str, workers: Workers) -> None:
        self._name, self._workers = name, workers

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``.

        Raises:
            ValueError: the verifier cannot be loaded.
        """
        found = self.verify([(rollout.text, rollout.prompt.columns) for rollout in rollouts])
        return [
            one if isinstance(one, Invalid) else Score(value=one, parts={self._name: one})
            for one in found
        ]

    def verify(self, items: Sequence[tuple[str, Columns]]) -> list[float | Invalid]:
        """Verdicts of texts with their rows' columns, which need not have been sampled."""
        return self._workers.verify(items)

    def close(self) -> None:
        """End the worker processes; they also end with this process."""
        self._workers.close()


def open_verifier(name: str, options: Mapping[str, Any]) -> VerifierScorer:
    """A verifier as a scorer.

    Args:
        name: of ``plaudit.verifiers.VERIFIERS``, or a function, ``package.module:function``.
        options: the verifier's own, and ``WorkerOptions``.

    Raises:
        ValueError: there is no such verifier, or an option is wrong.
    """
    shared = {key: options[key] for key in options if key in WorkerOptions.model_fields}
    own = {key: options[key] for key in options if key not in shared}
    bind_verifier(name, own)  # so that a mistake is told before anything is sampled
    said = make_config(WorkerOptions, shared, f"verifier {name}")
    workers = Workers(name, own, count=said.workers, deadline_seconds=said.deadline_seconds)
    return VerifierScorer(name, workers)

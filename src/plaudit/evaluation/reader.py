"""What a person who judged the policies' answers says of them, and of who judged them before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plaudit.evaluation.to_judge import SCORERS, items_of_evaluation
from plaudit.judgments import Item, Judgment, Pairwise, Skipped, fingerprint
from plaudit.statistics import win_rate
from plaudit.store import open_store, projects, standing


class Verdict(NamedTuple):
    """One judgment of a pair, baseline first."""

    policy: str
    conversation: str
    wins: float
    """1 where the policy's answer is the better one, 0.5 for a tie."""
    scores: Mapping[str, Sequence[float]]
    """Of the baseline's and the policy's answer, by scorer."""


def reader_of(log: str, evaluation: Path) -> dict[str, Any]:
    """The summary of a log's judgments on one evaluation's answers.

    Raises:
        ValueError: the log holds no judgment of them, or judgments of other answers.
    """
    items = items_of_evaluation(evaluation)
    store = open_store(log)
    judgments = [
        judgment for project in projects(store) for judgment in standing(store, project.id)
    ]
    known = {item.id: fingerprint(item) for item in items}
    same = [j for j in judgments if known.get(j.item) == j.item_sha256]
    if not same:
        raise ValueError(
            f"judgments: {log}: none of its {len(judgments)} judgments is of the answers of "
            f"{evaluation}; judge them with plaudit collect --evaluation {evaluation}"
        )
    return reader_summary(items, same)


def reader_summary(
    items: Iterable[Item], judgments: Iterable[Judgment], *, seed: int = 0
) -> dict[str, Any]:
    """Win rates by the reader, and how often each scorer prefers what the reader prefers.

    Agreement is over judgments with a winner; a tie says nothing of who is right. Intervals are
    clustered by conversation, and stand only where two conversations or more were judged.
    """
    by_id = {item.id: item for item in items}
    judged = [judgment for judgment in judgments if judgment.item in by_id]
    verdicts = [
        _verdict(by_id[judgment.item], judgment.answer)
        for judgment in judged
        if isinstance(judgment.answer, Pairwise)
    ]
    policies = sorted({verdict.policy for verdict in verdicts})
    return {
        "judgments": len(verdicts),
        "skipped": sum(isinstance(judgment.answer, Skipped) for judgment in judged),
        "ties": sum(verdict.wins == 0.5 for verdict in verdicts),
        "win_rate": {
            policy: _rate([v for v in verdicts if v.policy == policy], _wins, seed)
            for policy in policies
        },
        "agreement": {name: _agreement(verdicts, name, seed) for name in SCORERS},
    }


def _verdict(item: Item, answer: Pairwise) -> Verdict:
    return Verdict(
        policy=item.candidates[1].source,
        conversation=str(item.columns["conversation"]),
        wins=0.5 + 0.5 * float(np.sign(answer.strength)),
        scores={name: item.columns[name] for name in SCORERS if name in item.columns},  # type: ignore[misc]
    )


def _agreement(verdicts: Sequence[Verdict], scorer: str, seed: int) -> dict[str, Any]:
    decided = [v for v in verdicts if v.wins != 0.5 and scorer in v.scores]

    def agrees(verdict: Verdict) -> float:
        baseline, policy = verdict.scores[scorer]
        return 0.5 if baseline == policy else float((policy > baseline) == (verdict.wins == 1))

    return _rate(decided, agrees, seed)


def _wins(verdict: Verdict) -> float:
    return verdict.wins


def _rate(verdicts: Sequence[Verdict], value: Any, seed: int) -> dict[str, Any]:
    clusters = [verdict.conversation for verdict in verdicts]
    values = [value(verdict) for verdict in verdicts]
    interval = win_rate(values, clusters, seed=seed) if len(set(clusters)) > 1 else None
    return {"judgments": len(values), "rate": interval}

"""verify: check the responses of a file by rule.

Writes ``verdicts.jsonl``, one line a response, and the pass rate with its interval. A response the
verifier has no verdict of is counted under its reason, and is no part of the rate.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from plaudit.artifacts import Artifact, write_text
from plaudit.config import Config
from plaudit.formats import WHOLE, Portion, load_demonstrations, local_inputs
from plaudit.records import Demonstration, Invalid, Text
from plaudit.scoring import open_verifier
from plaudit.stages.options import Share
from plaudit.stages.setup import open_draft
from plaudit.statistics import Interval, cluster_bootstrap, wilson


class VerifyConfig(Config):
    """Options of ``plaudit verify``."""

    verifier: str
    """A verifier's name (math, python_tests, ...), or a function, package.module:name."""
    options: dict[str, Any] = Field(default={})
    """The verifier's own options, and workers and deadline_seconds."""
    dataset: str
    """Responses with their prompts: rows of prompt and completion, or messages, and the columns the
    verifier reads."""
    portion: Portion = WHOLE
    """The conversations to verify, as a part of [0, 1]."""
    pass_mark: Share = 1.0
    """The least value that passes, for verifiers that give parts."""
    seed: int = 0
    """Of the interval's resampling."""


CONFIG = VerifyConfig


def inputs(config: VerifyConfig) -> dict[str, Path]:
    return local_inputs(dataset=config.dataset)


def run(config: VerifyConfig, output: Path) -> Artifact:
    began = time.monotonic()
    rows = load_demonstrations(config.dataset, portion=config.portion)
    scorer = open_verifier(config.verifier, config.options)
    with closing(scorer):
        verdicts = scorer.verify([(written(r.response.content), r.prompt.columns) for r in rows])
    _check_any(verdicts, config)
    draft = open_draft("verify", config, inputs(config), output, began)
    write_text(draft.path / "verdicts.jsonl", _lines(rows, verdicts))
    return draft.finish(_summary(rows, verdicts, config))


def written(content: Text) -> str:
    """What a verifier reads: the text, or the assistant's last message with its calls written."""
    if isinstance(content, str):
        return content
    message = next(m for m in reversed(content) if m.role == "assistant")
    calls = [
        f"<tool_call>{json.dumps({'name': c.name, 'arguments': c.arguments})}</tool_call>"
        for c in message.tool_calls
    ]
    return "\n".join([message.content, *calls] if message.content else calls)


def _check_any(verdicts: Sequence[float | Invalid], config: VerifyConfig) -> None:
    reasons = Counter(v.reason for v in verdicts if isinstance(v, Invalid))
    if reasons.total() == len(verdicts):
        told = ", ".join(f"{reason} ({number})" for reason, number in reasons.most_common(3))
        raise ValueError(
            f"{config.dataset}: {config.verifier} has a verdict of none of its {len(verdicts)} "
            f"responses: {told}; expected rows that it can check"
        )


def _lines(rows: Sequence[Demonstration], verdicts: Sequence[float | Invalid]) -> str:
    lines = []
    for row, verdict in zip(rows, verdicts, strict=True):
        said = {"invalid": verdict.reason} if isinstance(verdict, Invalid) else {"value": verdict}
        lines.append(json.dumps({"prompt": row.prompt.id, **said}, ensure_ascii=False) + "\n")
    return "".join(lines)


def _summary(
    rows: Sequence[Demonstration], verdicts: Sequence[float | Invalid], config: VerifyConfig
) -> dict[str, Any]:
    valid = [(r, v) for r, v in zip(rows, verdicts, strict=True) if not isinstance(v, Invalid)]
    reasons = Counter(v.reason for v in verdicts if isinstance(v, Invalid))
    passed_N = np.array([value >= config.pass_mark for _, value in valid], float)
    clusters = [row.prompt.conversation for row, _ in valid]
    return {
        "responses": len(rows),
        "invalid": len(rows) - len(valid),
        "invalid_by_reason": dict(reasons.most_common()),
        "mean_value": float(np.mean([value for _, value in valid])),
        "pass_rate": list(_rate(passed_N, clusters, config.seed)),
    }


def _rate(passed_N: np.ndarray, clusters: Sequence[str], seed: int) -> Interval:
    """By resampling conversations; Wilson's where each has one response, or there is one only."""
    if len(set(clusters)) in (1, len(clusters)):
        return wilson(float(passed_N.sum()), len(passed_N))
    return cluster_bootstrap(
        lambda weights_N, passed_N: float(np.average(passed_N, weights=weights_N)),
        clusters,
        passed_N,
        seed=seed,
    )

"""One policy against the baseline: responses to the same prompts, judged in pairs.

Shapes: N responses of each policy, in the same order of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaudit.environments import turn_metrics
from plaudit.records import Messages, Prompt, Rollout
from plaudit.scoring import Tools, check_response, repetition
from plaudit.statistics import (
    cluster_bootstrap,
    length_controlled_win_rate,
    win_rate,
    win_scores,
)

CHECKS = ("parses", "fits_schema", "grounded", "valid")
# With k such conversations a resample without any has a chance of about exp(-k).
LEAST_CALLING = 5


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a policy answered, and what was found of every answer."""

    rollouts: Sequence[Rollout]
    judge_N: np.ndarray
    """Scores by the judge."""
    reward_N: np.ndarray | None
    """Scores by the reward that was optimised; shown, never a result."""
    baseline_logprob_N: np.ndarray
    """Log-probability of each whole response under the baseline, in nats."""

    @property
    def clusters(self) -> list[str]:
        return [rollout.prompt.conversation for rollout in self.rollouts]


def compare(policy: Judged, baseline: Judged, *, seed: int) -> dict[str, Any]:
    """Win rates with intervals clustered by conversation, raw and at equal length.

    Equal answers are ties. The judge's scores are compared response by response, each pair drawn
    with the same random numbers.
    """
    same = [said(a) == said(b) for a, b in zip(policy.rollouts, baseline.rollouts, strict=True)]
    wins_N = np.where(same, 0.5, win_scores(policy.judge_N, baseline.judge_N))
    own, other = ([characters(r) for r in side.rollouts] for side in (policy, baseline))
    return {
        "raw": win_rate(wins_N, policy.clusters, seed=seed),
        "length_controlled": length_controlled_win_rate(
            wins_N, own, other, policy.clusters, seed=seed
        ),
        "ties": float(np.mean(wins_N == 0.5)),
    }


def said(rollout: Rollout) -> Messages | str:
    """What an answer says: all its turns where it has several."""
    return rollout.messages or rollout.text


def characters(rollout: Rollout) -> int:
    """Characters the policy wrote; of several turns their texts, and calls as name and JSON."""
    if not rollout.messages:
        return len(rollout.text)
    turns = [turn for turn in rollout.messages if turn.role == "assistant"]
    calls = [call for turn in turns for call in turn.tool_calls]
    written = [json.dumps(call.arguments, ensure_ascii=False) for call in calls]
    written += [call.name for call in calls] + [turn.content for turn in turns]
    return sum(map(len, written))


def check_conversations(prompts: Sequence[Prompt]) -> None:
    """Refuse prompts that no interval can be given for.

    Raises:
        ValueError: they are of one conversation only.
    """
    if len({prompt.conversation for prompt in prompts}) < 2:
        raise ValueError("dataset: one conversation to ask; an interval needs at least 2")


def describe(policy: Judged) -> dict[str, float]:
    """How a policy writes: length, endings, repetition, entropy, distance from the baseline.

    All are of the tokens it wrote; in an environment there are turns and tools' results beside.
    """
    rollouts = policy.rollouts
    tokens_N = np.array([rollout.written.sum() for rollout in rollouts])
    logprob_N = np.array([rollout.logprobs[rollout.written].sum() for rollout in rollouts], float)
    found = {
        "judge_score": float(policy.judge_N.mean()),
        "response_tokens": float(tokens_N.mean()),
        "response_characters": float(np.mean([characters(rollout) for rollout in rollouts])),
        "stopped": float(np.mean([rollout.finish_reason == "stop" for rollout in rollouts])),
        "repetition": float(np.mean([repetition(r.ids[r.written]) for r in rollouts])),
        "entropy_per_token": float(-logprob_N.sum() / tokens_N.sum()),
        "kl_per_response": float((logprob_N - policy.baseline_logprob_N).mean()),
    }
    if policy.reward_N is not None:
        found["reward_score"] = float(policy.reward_N.mean())
    return found | turn_metrics(rollouts)


def check_tools(policy: Judged, baseline: Judged, tools: Tools, *, seed: int) -> dict[str, Any]:
    """Of the answers that call a tool, in how many all calls are right, beside the baseline's.

    ``valid`` is all three: the call parses, its arguments fit the schema, its identifiers stand in
    the conversation. ``difference`` is the policy's share less the baseline's. Where too few
    conversations have a call for an interval, there is none.
    """
    own, other = (_checks(side, tools) for side in (policy, baseline))
    clusters = policy.clusters
    found: dict[str, Any] = {"calls": float(own["calls"].mean())}
    calling = {c for c, a, b in zip(clusters, own["calls"], other["calls"], strict=True) if a and b}
    if len(calling) < LEAST_CALLING:
        return found | dict.fromkeys((*CHECKS, "difference"))
    for name in CHECKS:
        found[name] = cluster_bootstrap(_share, clusters, own["calls"], own[name], seed=seed)
    found["difference"] = cluster_bootstrap(
        _difference, clusters, own["calls"], own["valid"], other["calls"], other["valid"], seed=seed
    )
    return found


def _checks(side: Judged, tools: Tools) -> dict[str, np.ndarray]:
    checks = [check_response(rollout, tools) for rollout in side.rollouts]
    return {
        name: np.array([getattr(c, name) for c in checks], float) for name in ("calls", *CHECKS)
    }


def _share(draws_N: np.ndarray, calls_N: np.ndarray, right_N: np.ndarray) -> float:
    weight = float(draws_N @ calls_N)
    return float(draws_N @ (calls_N * right_N)) / weight if weight else float("nan")


def _difference(draws_N: np.ndarray, *sides_N: np.ndarray) -> float:
    calls_N, valid_N, other_calls_N, other_valid_N = sides_N
    return _share(draws_N, calls_N, valid_N) - _share(draws_N, other_calls_N, other_valid_N)

"""Policies as they were judged, kept in the draft: after a cut they are not asked again.

Shapes: N responses of the policy, in the order of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.artifacts import CHECKPOINT, Draft, write_text
from plaudit.evaluation.comparison import Judged
from plaudit.records import Message, Prompt, Rollout


def judged_once(
    draft: Draft, number: int, prompts: Sequence[Prompt], judge: Callable[[], Judged]
) -> Judged:
    """The policy of this number as it was judged, by an earlier process where that saved it."""
    file = draft.path / CHECKPOINT / f"policy-{number:04d}.json"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        write_text(file, json.dumps(_written(judge()), allow_nan=False))
        draft.save_clock()
    return _read(file, prompts)


def _written(judged: Judged) -> dict[str, Any]:
    scores = {"judge": judged.judge_N, "baseline_logprob": judged.baseline_logprob_N}
    scores |= {} if judged.reward_N is None else {"reward": judged.reward_N}
    return {
        "rollouts": [_row(rollout) for rollout in judged.rollouts],
        **{name: values_N.tolist() for name, values_N in scores.items()},
    }


def _row(rollout: Rollout) -> dict[str, Any]:
    """JSON has no NaN, which stands where the policy did not write the token."""
    logprobs = [None if np.isnan(value) else float(value) for value in rollout.logprobs]
    return {
        "prompt_ids": rollout.prompt_ids.tolist(),
        "ids": rollout.ids.tolist(),
        "logprobs": logprobs,
        "written": rollout.written.tolist(),
        "text": rollout.text,
        "finish_reason": rollout.finish_reason,
        "policy_version": rollout.policy_version,
        "index": rollout.index,
        "messages": [message.model_dump(mode="json") for message in rollout.messages],
    }


def _read(file: Path, prompts: Sequence[Prompt]) -> Judged:
    found = json.loads(file.read_text(encoding="utf-8"))
    rows = found["rollouts"]
    each = len(rows) // len(prompts)
    return Judged(
        rollouts=[_rollout(row, prompts[i // each]) for i, row in enumerate(rows)],
        judge_N=np.array(found["judge"]),
        reward_N=np.array(found["reward"]) if "reward" in found else None,
        baseline_logprob_N=np.array(found["baseline_logprob"]),
    )


def _rollout(row: dict[str, Any], prompt: Prompt) -> Rollout:
    kinds = {"prompt_ids": np.int32, "ids": np.int32, "logprobs": np.float32, "written": bool}
    arrays = {name: np.array(row[name], kind) for name, kind in kinds.items()}
    messages = tuple(Message.model_validate_json(json.dumps(one)) for one in row["messages"])
    return Rollout(**{**row, **arrays, "prompt": prompt, "messages": messages})

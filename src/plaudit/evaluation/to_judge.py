"""What policies answered, as items for people to judge: each policy against the baseline, blind.

The items remember what reward model and judge said of each answer, so that people's judgments can
be laid beside it (``reader.py``); none of that reaches who judges.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plaudit.artifacts import read_artifact
from plaudit.judgments import Candidate, Item
from plaudit.records import Message, Messages
from plaudit.text import parse_assistant

SCORERS = ("judge", "reward")
"""Whose scores an item keeps, where the evaluation has them."""


def items_of_evaluation(evaluation: Path) -> list[Item]:
    """A pair for every held-out prompt and policy: the baseline's first answer, the policy's first.

    Pairs whose answers are equal are left out: there is nothing to prefer.

    Raises:
        ValueError: the directory is no finished artifact of the evaluate stage.
    """
    artifact = read_artifact(evaluation)
    if artifact is None or artifact.record["stage"] != "evaluate":
        raise ValueError(f"{evaluation}: expected a finished artifact of the evaluate stage")
    lines = (artifact.path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [item for line in lines for item in _pairs(json.loads(line))]


def _pairs(row: dict[str, Any]) -> list[Item]:
    prompt = tuple(Message.model_validate(message, strict=False) for message in row["messages"])
    baseline = row["answers"]["baseline"][0]
    items = []
    for policy, (answer, *_) in row["answers"].items():
        if _said(answer) != _said(baseline):
            items.append(_pair(row["prompt"], prompt, policy, baseline, answer))
    return items


def _pair(
    id: str, prompt: Messages, policy: str, baseline: dict[str, Any], answer: dict[str, Any]
) -> Item:
    scores = {name: [baseline[name], answer[name]] for name in SCORERS if name in answer}
    return Item(
        id=f"{id} {policy}",
        prompt=prompt,
        candidates=(
            Candidate(content=_messages(baseline), source="baseline"),
            Candidate(content=_messages(answer), source=policy),
        ),
        stratum=policy,
        columns={"conversation": id, **scores},
    )


def _said(answer: dict[str, Any]) -> Any:
    return answer.get("turns") or answer["text"].strip()


def _messages(answer: dict[str, Any]) -> Messages:
    """An answer's turns; one that cannot be read is shown as it was written."""
    if turns := answer.get("turns"):
        return tuple(Message.model_validate(turn, strict=False) for turn in turns)
    try:
        return (parse_assistant(answer["text"]),)
    except ValueError:
        return (Message(role="assistant", content=answer["text"]),)

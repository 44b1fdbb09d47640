"""What policies answered, as items for people to judge: each policy against the baseline, blind.

The items remember what reward model and judge said of each answer, so that people's judgments can
be laid beside it (``reader.py``); none of that reaches who judges.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from plaudit.artifacts import read_artifact, write_text
from plaudit.judgments import Candidate, Item, written_json
from plaudit.records import Message, Messages
from plaudit.text import parse_assistant

SCORERS = ("judge", "reward")
"""Whose scores an item keeps, where the evaluation has them."""

GUIDELINES = """Read the conversation, then both answers.

Choose the answer you would rather have received next: it does what was asked, says nothing that
is not so, and calls a tool where one is called for, with arguments the conversation gives.
Length alone is no merit. Where neither is better, say so; where both are useless, say that.
"""


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
    rows = [json.loads(line) for line in lines]
    policies = [name for name in rows[0]["answers"] if name != "baseline"]
    # Every prompt once before any comes again, the policies in turn.
    pairs = (
        _pair(row, policies[(i + turn) % len(policies)])
        for turn in range(len(policies))
        for i, row in enumerate(rows)
    )
    return [pair for pair in pairs if pair is not None]


def write_project(evaluation: Path, folder: Path, title: str) -> Path:
    """Write the project file, and the items it names, that ``plaudit collect`` serves.

    Raises:
        ValueError: the directory is no finished artifact of the evaluate stage.
    """
    items = items_of_evaluation(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "items.jsonl", "".join(written_json(item) + "\n" for item in items))
    project = {
        "id": "evaluation",
        "title": title,
        "guidelines": {"version": "1", "text": GUIDELINES},
        "questions": [{"name": "overall", "kind": "pairwise", "title": "Which answer is better?"}],
        "items": [{"dataset": "items.jsonl"}],
        "overlap": {"votes": 1},
    }
    write_text(folder / "project.yaml", yaml.safe_dump(project, sort_keys=False))
    return folder / "project.yaml"


def _pair(row: dict[str, Any], policy: str) -> Item | None:
    """None where both said the same."""
    id, baseline, answer = row["prompt"], row["answers"]["baseline"][0], row["answers"][policy][0]
    if _said(answer) == _said(baseline):
        return None
    prompt = tuple(Message.model_validate(message, strict=False) for message in row["messages"])
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

"""A task as the server sends it -> what a simulated rater reads; and an answer -> what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.simulation.answering import Given, Task
from plaudit.feedback.simulation.truths import Truths
from plaudit.judgments import Pairwise, Ranked

REASON = "It answers what was asked, and the other does not."


def task_of(
    question: Mapping[str, Any], assignment: Mapping[str, Any], truths: Truths, group: str
) -> Task:
    """The task of an assignment, with what only the simulation knows.

    Raises:
        ValueError: the truth of it is not known.
    """
    texts = tuple(candidate["text"] for candidate in assignment["candidates"])
    truth = truths(assignment["prompt"]["text"], texts, group)
    return Task(
        kind=question["kind"],
        texts=texts,
        utilities=truth.utilities,
        labels=tuple(question["labels"]),
        steps=tuple(step["text"] for step in assignment.get("steps") or ()),
        truth=truth.labels,
        demonstration=truth.demonstration,
        scale=tuple(question["scale"]),
        criteria={one["name"]: tuple(one["scale"]) for one in question["criteria"]},
        strengths=question["strengths"],
        may_tie=question["tie"],
        may_rate_badly=question["both_bad"],
        stops_at_first_wrong=question["stop_at_first_wrong"],
    )


def body_of(
    question: Mapping[str, Any], assignment: Mapping[str, Any], given: Given, id: str
) -> dict[str, Any]:
    """What ``POST judgments`` takes."""
    body: dict[str, Any] = {
        "id": id,
        "assignment": assignment["id"],
        "answer": given.answer.model_dump(mode="json"),
        "criteria": {name: list(marks) for name, marks in given.criteria.items()},
        "active_seconds": given.active_seconds,
        "next": True,
    }
    if question["confidence"]:
        body["confidence"] = given.confidence
    if question["rationale"] == "always" or _is_strongest(question, given):
        body["rationale"] = REASON
    if isinstance(given.answer, Ranked):
        body["confirmed"] = True
    return body


def _is_strongest(question: Mapping[str, Any], given: Given) -> bool:
    answer = given.answer
    return (
        question["rationale"] == "on_strong"
        and isinstance(answer, Pairwise)
        and abs(answer.strength) == question["strengths"]
    )

"""Simulated raters at work: each takes tasks, answers, and goes on until there are none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plaudit.feedback.simulation.answering import respond
from plaudit.feedback.simulation.client import RaterClient, Refused
from plaudit.feedback.simulation.kinds import RaterKind
from plaudit.feedback.simulation.tasks import body_of, task_of
from plaudit.feedback.simulation.truths import Truths
from plaudit.judgments import Skipped


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """One rater of the pool before the server."""

    kind: RaterKind
    number: int
    """Among the raters of the pool: with the seed, all that is random about them."""
    client: RaterClient


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How long they work, and how fast."""

    truths: Truths
    seed: int = 0
    most: int | None = None
    """Judgments of one rater; None for all there are."""
    is_over: Callable[[], bool] = lambda: False
    """Asked before each task."""
    pace: float = 0.0
    """Waits of so much of the time they say they took: 1 is as people do, 0 is without waiting."""


@dataclass(slots=True)
class Tally:
    """What one rater did."""

    kind: str
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    """Id and number in the log of each judgment that the server said it recorded."""
    skipped: int = 0
    undone: int = 0
    drafts: int = 0
    refused: list[str] = field(default_factory=list)
    """What the server would not take."""


async def work(seats: Sequence[Seat], terms: Terms) -> list[Tally]:
    """All raters at once; each sits until there is nothing left, or the terms say stop."""
    return list(await asyncio.gather(*(sit(seat, terms) for seat in seats)))


async def sit(seat: Seat, terms: Terms) -> Tally:
    """One rater's session.

    Raises:
        Unreachable: the server did not come back.
        ValueError: the truth of a task is not known.
    """
    about = await seat.client.about()
    questions = {question["name"]: question for question in about["questions"]}
    tally, before, met = Tally(kind=seat.kind.name), 0, Counter[int]()
    assignment = await seat.client.next()
    while assignment is not None and not _is_over(tally, terms):
        said = _digest(assignment)
        rng = np.random.default_rng([terms.seed, seat.number, said, met[said]])
        met[said] += 1
        if rng.random() < seat.kind.reload_rate:
            assignment = await _reloaded(seat, assignment)
        question = questions[assignment["question"]]
        assignment = await _judge(seat, terms, question, assignment, before, rng, tally)
        if rng.random() < seat.kind.undo_rate and tally.acknowledged:
            assignment = await seat.client.undo()
            tally.undone += 1
        before += 1
    return tally


def _digest(assignment: Mapping[str, Any]) -> int:
    """Of what the rater reads: what is drawn for a task does not depend on which came before it."""
    shown = [assignment["prompt"], *assignment["candidates"], *assignment["steps"]]
    said = [assignment["question"], *(one["text"] for one in shown)]
    return int.from_bytes(hashlib.sha256(json.dumps(said).encode()).digest())


def _is_over(tally: Tally, terms: Terms) -> bool:
    is_enough = terms.most is not None and len(tally.acknowledged) >= terms.most
    return is_enough or terms.is_over()


async def _reloaded(seat: Seat, assignment: dict[str, Any]) -> dict[str, Any]:
    """The same task again, in the same order."""
    again = await seat.client.next()
    if again is None or any(again[key] != assignment[key] for key in ("id", "candidates")):
        raise RuntimeError(f"assignment {assignment['id']} came back as another after a reload")
    return again


async def _judge(
    seat: Seat,
    terms: Terms,
    question: Mapping[str, Any],
    assignment: Mapping[str, Any],
    before: int,
    rng: np.random.Generator,
    tally: Tally,
) -> dict[str, Any] | None:
    """One task done; the one after it."""
    task = task_of(question, assignment, terms.truths, seat.kind.group)
    given = respond(seat.kind, task, before, rng)
    if terms.pace:
        await asyncio.sleep(terms.pace * given.active_seconds)
    try:
        if isinstance(given.answer, Skipped):
            tally.skipped += 1
            return (await seat.client.skip(assignment["id"], given.answer.reason))["next"][
                "assignment"
            ]
        body = body_of(question, assignment, given, f"sim-{secrets.token_hex(12)}")
        if rng.random() < seat.kind.draft_rate:
            await seat.client.save_draft(assignment["id"], {"answer": body["answer"]})
            tally.drafts += 1
        receipt = await seat.client.submit(body)
    except Refused as refusal:
        tally.refused.append(str(refusal))
        if refusal.status != 409:
            raise
        return await seat.client.next()
    tally.acknowledged.append((body["id"], receipt["seq"]))
    return receipt["next"]["assignment"]

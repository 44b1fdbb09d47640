"""A small project in a real store, for tests of what raters are given."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plaudit.config import make_config
from plaudit.feedback.assignment.answers import GivenAnswer, Sent
from plaudit.feedback.assignment.giving import Assignment, next_assignment
from plaudit.feedback.assignment.submission import submit
from plaudit.feedback.projects.project import Project
from plaudit.feedback.projects.setup import set_up_project
from plaudit.judgments import Candidate, Item, Pairwise
from plaudit.store import Receipt, Store, Writer, add_items, open_store, schema
from plaudit.store import assignment_queue as queue

PAIRWISE: dict[str, Any] = {"name": "overall", "kind": "pairwise"}


def project(**options: Any) -> Project:
    """A project without data files."""
    values: dict[str, Any] = {
        "id": "p",
        "title": "A project",
        "guidelines": {"text": "Choose the better one."},
        "questions": [PAIRWISE],
    }
    return make_config(Project, values | options, "test")


def pair(id: str, **options: Any) -> Item:
    """An item of two candidates."""
    texts = (f"first of {id}", f"second of {id}")
    candidates = tuple(Candidate(content=text, source="model-x") for text in texts)
    return Item(id=id, prompt=f"question {id}", candidates=candidates, **options)


def made(place: Path, config: Project, items: Iterable[Item], raters: Iterable[str] = ()) -> Store:
    """A store in a folder with the project, its items and its raters."""
    return filled(open_store(place / "judgments.db"), config, items, raters)


def filled(
    store: Store, config: Project, items: Iterable[Item], raters: Iterable[str] = ()
) -> Store:
    """The store, with the project, its items and its raters in it."""
    set_up_project(store, config, Path())
    things = list(items)
    add_items(store, config.id, things, config.overlap.votes)
    wanted = {item.stratum: config.votes_wanted(item.stratum) for item in things}
    with store.writing() as connection:
        queue.set_targets(connection, config.id, wanted)
    for rater in raters:
        join(store, config.id, rater)
    return store


def join(store: Store, project: str, rater: str, queue: str = "") -> None:
    """Make somebody a rater of a project."""
    with store.writing() as connection:
        person = {"id": rater, "kind": "human", "created_at": time.time()}
        connection.execute(schema.rater.insert(), person)
        member = {"project": project, "rater": rater, "role": "rater", "queue": queue}
        connection.execute(schema.member.insert(), member)


def given(store: Store, rater: str, now: float | None = None, project: str = "p") -> Assignment:
    """What the rater gets next; there must be something."""
    assignment = next_assignment(store, project, rater, now)
    assert assignment is not None
    return assignment


LEFT = Pairwise(strength=-2)


def judge(
    writer: Writer,
    assignment: Assignment,
    rater: str,
    answer: GivenAnswer = LEFT,
    now: float | None = None,
    **said: Any,
) -> Receipt:
    """Submit an answer about places."""
    sent = Sent(id=said.pop("id", secrets.token_hex(8)), answer=answer, **said)
    return submit(writer, assignment.id, rater, sent, now)

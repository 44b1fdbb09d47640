"""A project to judge, a rater who is let in, and the application that serves them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from fastapi.testclient import TestClient

from plaudit.feedback.app import create_app
from plaudit.feedback.projects.project import Project
from plaudit.feedback.projects.setup import set_up_project
from plaudit.judgments import Answer, Candidate, Item, Judgment, Pairwise, Rater, fingerprint
from plaudit.records import Message, ToolCall
from plaudit.store import Store, open_store
from plaudit.store.people import add_member, new_rater
from plaudit.store.tokens import issue

SECRET_MODEL = "zephyr-secret-7b"
PAIRWISE = {"kind": "pairwise", "name": "overall"}
GUIDE = "# How to judge\n\nPrefer the **helpful** response.\n\n1. Read both.\n2. Say which."


def pair(number: int, prompt: Any = None, texts: Sequence[Any] = (), **rest: Any) -> Item:
    """An item of two responses whose sources must never be seen."""
    left, right = texts or (f"The first answer to {number}.", f"Another answer to {number}.")
    return Item(
        id=f"item-{number:03d}",
        prompt=prompt or f"Question number {number}?",
        candidates=(
            Candidate(content=left, source=SECRET_MODEL),
            Candidate(content=right, source=f"{SECRET_MODEL}-other"),
        ),
        columns={"origin": f"{SECRET_MODEL}-column"},
        **({"stratum": f"{SECRET_MODEL}-stratum"} | rest),
    )


ORDER = {"drink": "latte", "quantity": 2}
TOOL_PROMPT = (
    Message(role="system", content="You take orders at a coffee bar."),
    Message(role="user", content="Two oat lattes, please."),
    Message(role="assistant", tool_calls=(ToolCall(name="order", arguments=ORDER),)),
    Message(role="tool", content='{"order": 17, "price": 9.5}'),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Judging:
    """A store with a project in it, and a token of a rater."""

    store: Store
    project: str
    rater: str
    token: str


def judging(folder: Path, items: Sequence[Item], **config: Any) -> Judging:
    """A project of these items, with one vote for each."""
    rows = [item.model_dump_json() for item in items]
    (folder / "items.jsonl").write_text("\n".join(rows), encoding="utf-8")
    values = {
        "id": "tea", "title": "Answers about tea", "questions": [PAIRWISE],
        "guidelines": {"version": "3", "text": GUIDE}, "overlap": {"votes": 1},
        "items": [{"dataset": "items.jsonl", "question": items[0].question}] if rows else [],
    } | config  # fmt: skip
    project = Project.model_validate(values)
    store = open_store(folder / "judgments.db")
    assert set_up_project(store, project, folder).items == len(items)
    rater = new_rater(store, time.time(), "Ada")
    add_member(store, project.id, rater)
    token = issue(store, "api", time.time(), rater=rater)
    return Judging(store=store, project=project.id, rater=rater, token=token)


def client_of(judged: Judging) -> TestClient:
    """A program that is signed in; it sends no cookie."""
    headers = {"Authorization": f"Bearer {judged.token}"}
    return TestClient(create_app(judged.store), base_url="http://127.0.0.1:8700", headers=headers)


@contextmanager
def served(judged: Judging) -> Iterator[str]:
    """The application on a port of its own; its address."""
    config = uvicorn.Config(create_app(judged.store), port=0, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


AT = datetime(2026, 1, 2, tzinfo=UTC)
_numbers = count()


def item(id: str = "i", *contents: str, **more: Any) -> Item:
    texts = contents or ("one", "two")
    candidates = tuple(Candidate(content=text) for text in texts)
    return Item(id=id, prompt=more.pop("prompt", f"prompt {id}"), candidates=candidates, **more)


def judgment(of: Item, rater: str, answer: Answer, **more: Any) -> Judgment:
    return Judgment(
        id=f"j{next(_numbers)}",
        project="p",
        item=of.id,
        item_sha256=fingerprint(of),
        question=of.question,
        rater=Rater(id=rater),
        answer=answer,
        submitted_at=AT,
        **more,
    )


def prefers(of: Item, rater: str, strength: int, **more: Any) -> Judgment:
    """Below 0 the first candidate."""
    return judgment(of, rater, Pairwise(strength=strength), **more)

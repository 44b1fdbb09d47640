"""An application with people of every role, for tests of what each may do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fastapi import FastAPI
from fastapi.testclient import TestClient

from plaudit.feedback.app import create_app
from plaudit.judgments import Candidate, Item
from plaudit.store import Store, add_items, open_store, people, put_project, tokens

HOST = "http://localhost"
CONFIG = {
    "id": "coffee",
    "title": "Coffee",
    "guidelines": {"version": "1", "text": "Be fair."},
    "questions": [
        {"name": "overall", "kind": "pairwise", "criteria": [{"name": "style", "required": False}]},
        {"name": "topic", "kind": "label", "labels": ["bean", "cup"]},
    ],
}
SOURCES = ("secret-model-7b", "other-model-9b")


@dataclass(frozen=True)
class World:
    """The application, and for each role its token; ``outsider`` leads the project tea alone."""

    app: FastAPI
    store: Store
    ids: dict[str, str]
    tokens: dict[str, str]

    def api(self, role: str) -> TestClient:
        """A program of that role's."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        return self.anyone(headers=headers)

    def browser(self, role: str) -> tuple[TestClient, str]:
        """A browser that is signed in, and its CSRF token."""
        client = self.anyone()
        answer = client.post("/api/session", json={"token": self.tokens[role]})
        assert answer.status_code == 200, answer.text
        return client, answer.json()["csrf"]

    def anyone(self, **options) -> TestClient:
        return TestClient(self.app, HOST, raise_server_exceptions=False, **options)


@contextmanager
def made_world(folder: Path) -> Iterator[World]:
    """Two projects, and in coffee a lead, an adjudicator, a rater and one who is suspended."""
    store, now = open_store(folder / "log.db"), time.time()
    for id in ("coffee", "tea"):
        put_project(store, id, json.dumps(CONFIG | {"id": id}))
    add_items(store, "coffee", [item(number) for number in range(3)], 2)
    ids, issued = {}, {}
    for name in ("lead", "adjudicator", "rater", "suspended", "outsider"):
        ids[name] = people.new_rater(store, now, f"The {name}")
        role = name if name in people.ROLES else "rater"
        project = "tea" if name == "outsider" else "coffee"
        people.add_member(store, project, ids[name], "lead" if name == "outsider" else role)
        issued[name] = tokens.issue(store, "api", now, rater=ids[name])
    people.suspend(store, "coffee", ids["suspended"], now, ids["lead"], "too quick")
    app = create_app(store)
    yield World(app, store, ids, issued)
    app.state.writer.close()
    store.close()


def item(number: int, prompt: str = "Which bean?", **fields) -> Item:
    answers = (f"Arabica, the {number}th.", "Robusta.")
    candidates = tuple(
        Candidate(content=text, source=source)
        for text, source in zip(answers, SOURCES, strict=True)
    )
    return Item(id=f"item-{number}", prompt=prompt, candidates=candidates, **fields)


def api_routes() -> list[tuple[str, str]]:
    """Method and path of everything below /api that the application describes."""
    app = create_app(cast(Store, None))
    app.state.writer.close()
    paths = app.openapi()["paths"]
    return sorted((method.upper(), path) for path, methods in paths.items() for method in methods)

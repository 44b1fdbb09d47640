"""One rater's connection to the server: every request is sent until it is answered.

A judgment is sent again under the same id when the line or the server fails, so that it is recorded
once. What may not be sent twice (undo) is not: the next task is asked for instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
TRY_AGAIN = frozenset({429, 502, 503, 504})
"""Statuses that pass. 500 is a fault of the application, and is told at once."""


class Unreachable(Exception):
    """The line broke before there was a whole answer."""


class Refused(Exception):
    """The server's answer was no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said."""

    status: int
    body: Any
    """JSON, or None where there is none."""


class Line(Protocol):
    """Something that carries requests."""

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """One request and its answer.

        Raises:
            Unreachable: there was no whole answer; the request may have been carried out.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class HttpLine:
    """By httpx, with a token of one's own or, after ``sign_in``, as a browser does."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0)

    async def sign_in(self, token: str, name: str = "") -> dict[str, Any]:
        """A session by cookie; an invite makes a new member.

        Raises:
            Refused: the token is not good.
            Unreachable: there is no server.
        """
        reply = await self.send("POST", "/api/session", {"token": token, "name": name})
        session = accepted(reply)
        self._http.headers["X-CSRF-Token"] = session["csrf"]
        return session

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """As ``Line.send``."""
        try:
            response = await self._http.request(method, path, json=body)
            return Reply(response.status_code, response.json() if response.content else None)
        except (httpx.TransportError, ValueError) as error:
            raise Unreachable(f"{method} {path}: {error!r}") from error

    async def close(self) -> None:
        """As ``Line.close``."""
        await self._http.aclose()


@dataclass(slots=True)
class Timed:
    """How long requests took, by kind, in seconds; and what went wrong on the way."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    resent: int = 0

    def took(self, kind: str, began: float) -> None:
        self.seconds.setdefault(kind, []).append(time.perf_counter() - began)


@dataclass(slots=True)
class RaterClient:
    """The raters' API of one project."""

    line: Line
    project: str
    patience_seconds: float = 60.0
    """How long to try again where there is no answer."""
    timed: Timed = field(default_factory=Timed)

    async def about(self) -> dict[str, Any]:
        """The project: questions, guideline, reasons to skip."""
        return await self._asked("project", "GET", "", None)

    async def next(self) -> dict[str, Any] | None:
        """The task to do, or None where there is none."""
        return (await self._asked("next", "GET", "/next", None))["assignment"]

    async def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Record a judgment; the answer holds its number and what comes next."""
        return await self._asked("submit", "POST", "/judgments", body)

    async def skip(self, assignment: str, reason: str) -> dict[str, Any]:
        """Record that there is none; the answer holds what comes next."""
        body = {"assignment": assignment, "reason": reason, "next": True}
        return await self._asked("skip", "POST", "/skips", body)

    async def save_draft(self, assignment: str, body: Mapping[str, Any]) -> None:
        """Leave what is half done."""
        await self._asked("draft", "PUT", f"/drafts/{assignment}", {"body": body})

    async def undo(self) -> dict[str, Any] | None:
        """Take the last one back; the task as it stands then, or the one that is due.

        Sent once: a second time it would take back the one before.
        """
        began = time.perf_counter()
        try:
            reply = await self.line.send("POST", self._path("/undo"), None)
        except Unreachable:
            return await self.next()
        self.timed.took("undo", began)
        return reply.body["assignment"] if reply.status == 200 else await self.next()

    async def _asked(
        self, kind: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> Any:
        began, wait = time.perf_counter(), FIRST_WAIT_SECONDS
        while True:
            reply, sent = None, time.perf_counter()
            problem: Exception
            try:
                reply = await self.line.send(method, self._path(path), body)
                problem = Refused(reply.status, str(reply.body))
            except Unreachable as error:
                problem = error
            if reply is not None and reply.status not in TRY_AGAIN:
                self.timed.took(kind, sent)
                return accepted(reply)
            if time.perf_counter() - began > self.patience_seconds:
                raise problem
            self.timed.resent += 1
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _path(self, path: str) -> str:
        return f"/api/projects/{self.project}{path}"


def accepted(reply: Reply) -> Any:
    """The answer's body.

    Raises:
        Refused: the server said no.
    """
    if reply.status >= 400:
        told = reply.body.get("error") if isinstance(reply.body, dict) else reply.body
        raise Refused(reply.status, str(told))
    return reply.body

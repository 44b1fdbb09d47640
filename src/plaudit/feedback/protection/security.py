"""Who asks, and what they may: the dependencies every route of the application stands behind.

A browser is known by its cookie, and proves with a header that it was our page that asked; a
program is known by ``Authorization: Bearer``. A project one is no member of does not exist.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Depends, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from plaudit.feedback.protection.attempts import Attempts
from plaudit.store import Store
from plaudit.store.people import Member, reaches
from plaudit.store.tokens import Credential, Membership, Purpose, holder, is_known

COOKIE = "plaudit_session"
CSRF_HEADER = "X-CSRF-Token"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
Found = tuple[Credential, tuple[Membership, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Someone who is signed in."""

    rater: str
    kind: Literal["session", "api"]
    roles: Mapping[str, str]
    """By project, where they are a member."""
    suspended: frozenset[str] = frozenset()
    """Projects in which they may do nothing for now."""
    csrf: str | None = None
    """What a browser must send back with what changes something; a program needs none."""
    token_hash: str = ""

    def role_of(self, project: str) -> str | None:
        """rater, adjudicator or lead; None for who is no member."""
        return self.roles.get(project)


class Known:
    """Who was looked up just now: a page that works fast asks several times a second.

    What changes here by a request is known at once (``protection.py`` clears this then); what
    another process changes, after ``seconds``.
    """

    _MOST = 10_000

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._found: dict[tuple[str, Purpose], tuple[float, Found]] = {}

    def clear(self) -> None:
        self._found.clear()

    async def look_up(self, store: Store, text: str, purpose: Purpose) -> Found | None:
        """Of a token that holds."""
        now = time.time()
        until, found = self._found.get((text, purpose), (0.0, None))
        if found is not None and now < until:
            return found
        found = await run_in_threadpool(holder, store, text, (purpose,), now)
        if found is not None and self._seconds:
            if len(self._found) >= self._MOST:
                self.clear()
            self._found[text, purpose] = (now + self._seconds, found)
        return found


async def signed_in(request: Request) -> Signed:
    """Who asks.

    Raises:
        HTTPException: 401 where nobody is signed in, 403 where a browser's request may not be its
            user's, 429 after too many wrong tokens.
    """
    header = request.headers.get("authorization")
    if header is not None:
        return await _by_header(request, header)
    state, text = request.app.state, request.cookies.get(COOKIE)
    found = await state.known.look_up(state.store, text, "session") if text else None
    if not text or not found:
        raise HTTPException(401, "nobody is signed in; sign in with a token or an invite link")
    if request.method not in _SAFE_METHODS:
        expect_csrf(request, text)
    return signed(found[0], found[1], csrf_of(text))


def require(role: str) -> Callable[..., Any]:
    """The dependency of a route under ``/api/projects/{project}``: a member of that role or more.

    Raises:
        HTTPException: as ``signed_in``; 404 for who is no member, 403 for who is suspended or may
            not.
    """

    async def required(request: Request, who: Signed = Depends(signed_in)) -> Signed:  # noqa: B008
        project = request.path_params["project"]
        found = who.role_of(project)
        if found is None:
            raise HTTPException(404, "there is no such project among yours")
        if project in who.suspended:
            raise HTTPException(403, "you are suspended in this project; ask its lead")
        request.app.state.watch.look(request.app.state.store, project, time.time())
        if not reaches(found, role):
            raise HTTPException(403, f"this is for a {role}; you are a {found} of this project")
        return who

    return required


def signed(
    credential: Credential, memberships: Iterable[Membership | Member], csrf: str | None
) -> Signed:
    """Who holds a token, with no more than it gives."""
    assert credential.rater is not None, "an invite is nobody's"
    found = [here for here in memberships if credential.project in (None, here.project)]
    return Signed(
        rater=credential.rater,
        kind="session" if credential.purpose == "session" else "api",
        roles={here.project: _lower(here.role, credential.role) for here in found},
        suspended=frozenset(here.project for here in found if here.suspended_at is not None),
        csrf=csrf,
        token_hash=credential.hash,
    )


def csrf_of(session: str) -> str:
    """What a page of this session knows and one of another origin cannot: HMAC-SHA-256 under it."""
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest()


def expect_csrf(request: Request, session: str) -> None:
    """Refuse what our own page did not send.

    Raises:
        HTTPException: 403 where the header is missing or another's.
    """
    given = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), csrf_of(session).encode()):
        raise HTTPException(
            403, f"header {CSRF_HEADER} is missing or not this session's; reload the page"
        )


async def _by_header(request: Request, header: str) -> Signed:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401, "unknown kind of Authorization; expected Bearer TOKEN")
    state, text = request.app.state, text.strip()
    found = await state.known.look_up(state.store, text, "api")
    if found is not None:
        return signed(found[0], found[1], None)
    if not await run_in_threadpool(is_known, state.store, text):
        refuse_after(attempts_of(request).failed(address_of(request), text, time.time()))
    raise HTTPException(401, "the token is unknown, expired or revoked; ask for a new one")


def attempts_of(request: Request) -> Attempts:
    """Wrong tokens so far."""
    return request.app.state.attempts


def address_of(request: Request) -> str:
    """Of who asks."""
    return request.client.host if request.client else ""


def refuse_after(wait_seconds: float) -> None:
    """Refuse while there is something to wait for.

    Raises:
        HTTPException: 429, with Retry-After.
    """
    if wait_seconds > 0:
        after = str(int(wait_seconds) + 1)
        raise HTTPException(
            429, f"too many wrong tokens; try again in {after} seconds", {"Retry-After": after}
        )


def _lower(role: str, limit: str | None) -> str:
    return limit if limit is not None and not reaches(limit, role) else role

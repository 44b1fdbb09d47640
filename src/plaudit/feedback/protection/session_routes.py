"""Signing in and out: by an invite link, or by a token of one's own."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from plaudit.feedback.protection.refusals import refusals, refused_as
from plaudit.feedback.protection.security import (
    COOKIE,
    Signed,
    address_of,
    attempts_of,
    csrf_of,
    refuse_after,
    signed,
    signed_in,
)
from plaudit.store import people, tokens
from plaudit.store.tokens import Credential

router = APIRouter(prefix="/api", tags=["session"])
SESSION_SECONDS = tokens.LIFETIME_SECONDS["session"]
LATE_SECONDS = 90 * tokens.DAY_SECONDS


class SignIn(BaseModel):
    """A token, and for who joins by an invite, a name if they like."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=200)
    name: str = Field(default="", max_length=200)


class Session(BaseModel):
    """Who is signed in, and what their pages send back with each change."""

    csrf: str | None
    rater: str
    role: str | None
    """The highest of theirs; None for who is member of no project."""
    projects: dict[str, str]
    """By project, the role there."""
    suspended: list[str]
    token: str | None = None
    """For who has just joined: their own, to sign in with elsewhere. Shown once."""


@router.post("/session", responses=refusals(400, 401, 403, 409, 413, 422, 429))
def sign_in(request: Request, response: Response, body: SignIn) -> Session:
    """Sign in with a token or an invite; whoever was signed in before in this browser is not."""
    store, now = request.app.state.store, time.time()
    refuse_after(attempts_of(request).wait_seconds(address_of(request), body.token, now))
    before = _before(request, now)
    token = body.token
    joined = _join(request, token, body.name, before, now)
    if joined is not None and before is None:
        token = tokens.issue(store, "api", now, rater=joined)
    credential = before if joined and before else tokens.look_up(store, token, ("api",), now)
    if credential is None:
        if not tokens.is_known(store, token):
            attempts_of(request).failed(address_of(request), token, now)
        raise HTTPException(401, "the token is unknown, expired or used up; ask for a new one")
    if before is not None:
        tokens.revoke(store, before.hash, now)
    csrf = _open_session(request, response, credential, now)
    shown = token if joined is not None and before is None else None
    assert credential.rater is not None, "an invite is nobody's"
    here = people.memberships(store, credential.rater).values()
    return _session(signed(credential, here, csrf), shown)


@router.get("/session", responses=refusals(401))
def who_am_i(who: Annotated[Signed, Depends(signed_in)]) -> Session:
    """Who is signed in; a page that was reloaded learns its CSRF token here."""
    return _session(who, None)


@router.delete("/session", status_code=204, responses=refusals(401, 403))
def sign_out(
    request: Request, response: Response, who: Annotated[Signed, Depends(signed_in)]
) -> None:
    """End this session, or for a program this token."""
    tokens.revoke(request.app.state.store, who.token_hash, time.time())
    response.delete_cookie(COOKIE, path="/", **_attributes(request))


def _before(request: Request, now: float) -> Credential | None:
    """Of this browser: the cookie stays with our own pages, and the guard has seen the origin."""
    text = request.cookies.get(COOKIE, "")
    return tokens.look_up(request.app.state.store, text, ("session",), now)


def _join(
    request: Request, token: str, name: str, before: Credential | None, now: float
) -> str | None:
    """Who joined by an invite: someone new, or who is signed in already."""
    rater = before.rater if before is not None else None
    with refused_as(422):
        return tokens.redeem_invite(request.app.state.store, token, now, name, rater)


def _open_session(request: Request, response: Response, credential: Credential, now: float) -> str:
    """A new session, with no more rights and no longer a life than the token it came from."""
    store = request.app.state.store
    tokens.forget_expired(store, now - LATE_SECONDS)
    left = SESSION_SECONDS
    if credential.expires_at is not None and credential.purpose == "api":
        left = min(left, credential.expires_at - now)
    session = tokens.issue(
        store, "session", now, rater=credential.rater, project=credential.project,
        role=credential.role, lifetime_seconds=left,
    )  # fmt: skip
    response.set_cookie(COOKIE, session, max_age=int(left), path="/", **_attributes(request))
    return csrf_of(session)


def _attributes(request: Request) -> dict:
    https = request.app.state.protection.https or request.url.scheme == "https"
    return {"httponly": True, "samesite": "strict", "secure": https}


def _session(who: Signed, token: str | None) -> Session:
    highest = next((r for r in ("lead", "adjudicator", "rater") if r in who.roles.values()), None)
    return Session(
        csrf=who.csrf,
        rater=who.rater,
        role=highest,
        projects=dict(who.roles),
        suspended=sorted(who.suspended),
        token=token,
    )

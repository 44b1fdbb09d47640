"""A lead's people: members, roles, invites, tokens, suspensions, and taking one's data out."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field

from plaudit.feedback.protection.fields import STRICT
from plaudit.feedback.protection.refusals import refusals, refused_as
from plaudit.feedback.protection.security import Signed, require
from plaudit.store import Store, people, record_event, tokens
from plaudit.store.people import Member, reaches

router = APIRouter(prefix="/api", tags=["people"])
Role = Literal["rater", "adjudicator", "lead"]
Lead = Annotated[Signed, Depends(require("lead"))]
Name = Annotated[str, Field(max_length=people.NAME_CHARACTERS)]
_CHANGES = refusals(400, 401, 403, 404, 409, 413, 422, 429)
_READS = refusals(400, 401, 403, 404, 429)


class MemberShown(BaseModel):
    """A member, as leads see them."""

    rater: str
    name: str
    kind: str
    version: str
    role: str
    suspended_at: float | None
    created_at: float
    is_erased: bool


class NewMember(BaseModel):
    """Someone to be made a member: a person, or a program that judges."""

    model_config = STRICT

    name: Name = ""
    kind: Literal["human", "judge", "rule", "simulated"] = "human"
    version: str = Field(default="", max_length=200)
    role: Role = "rater"
    days: float = Field(default=180, gt=0, le=3650)


class ChangedMember(BaseModel):
    """What changes; what is left out stays."""

    model_config = STRICT

    name: Name | None = None
    role: Role | None = None


class Issued(BaseModel):
    """A token, shown once. ``/sign-in#TOKEN`` is its link."""

    rater: str | None
    token: str
    expires_at: float


class NewInvite(BaseModel):
    """How many may join by it, as what, and until when."""

    model_config = STRICT

    role: Role = "rater"
    uses: int = Field(default=1, ge=1, le=tokens.MOST_USES)
    days: float = Field(default=7, gt=0, le=365)


class Invite(BaseModel):
    """An invite that can still be used."""

    id: str
    role: str
    uses_left: int
    created_at: float
    expires_at: float


class Lifetime(BaseModel):
    """Of a token."""

    model_config = STRICT

    days: float = Field(default=180, gt=0, le=3650)


class Reason(BaseModel):
    """Why; it stands in the events."""

    model_config = STRICT

    reason: str = Field(min_length=1, max_length=2000)


class Ended(BaseModel):
    """How many ended."""

    tokens: int


@router.get("/projects/{project}/members", responses=_READS)
def list_members(project: str, request: Request, who: Lead) -> list[MemberShown]:
    """Everyone in the project."""
    return [_shown(member) for member in people.members(_store(request), project)]


@router.post("/projects/{project}/members", responses=_CHANGES)
def make_member(project: str, request: Request, body: NewMember, who: Lead) -> Issued:
    """A new member, with the token they sign in with."""
    store, now = _store(request), time.time()
    with refused_as(422):
        rater = people.new_rater(store, now, body.name, body.kind, body.version)
    people.add_member(store, project, rater, body.role)
    record_event(store, project, who.rater, "joined", {"rater": rater, "role": body.role})
    return _issue(store, project, rater, body.days, now)


@router.patch("/projects/{project}/members/{rater}", responses=_CHANGES)
def change_member(
    project: str, rater: str, request: Request, body: ChangedMember, who: Lead
) -> MemberShown:
    """Another name or role."""
    store = _store(request)
    _member(store, project, rater)
    if body.name is not None:
        with refused_as(422):
            people.rename(store, rater, body.name)
    if body.role is not None:
        with refused_as(409):
            people.set_role(store, project, rater, body.role, who.rater)
    return _shown(_member(store, project, rater))


@router.post("/projects/{project}/members/{rater}/tokens", responses=_CHANGES)
def make_token(project: str, rater: str, request: Request, body: Lifetime, who: Lead) -> Issued:
    """A sign-in token for a member, good for this project alone; another lead makes their own."""
    store = _store(request)
    if reaches(_member(store, project, rater).role, "lead") and rater != who.rater:
        raise HTTPException(403, "another lead's tokens are theirs to make")
    record_event(store, project, who.rater, "token", {"rater": rater})
    return _issue(store, project, rater, body.days, time.time())


@router.delete("/projects/{project}/members/{rater}/tokens", responses=_CHANGES)
def end_tokens(project: str, rater: str, request: Request, who: Lead) -> Ended:
    """End all sessions and tokens of a member, wherever they are signed in."""
    store = _store(request)
    _member(store, project, rater)
    record_event(store, project, who.rater, "signed_out", {"rater": rater})
    return Ended(tokens=tokens.revoke_all(store, rater, time.time()))


@router.post("/projects/{project}/members/{rater}/suspension", responses=_CHANGES)
def suspend(project: str, rater: str, request: Request, body: Reason, who: Lead) -> MemberShown:
    """Leave a member's judgments out of everything, until they are resumed; nothing is deleted."""
    store = _store(request)
    _member(store, project, rater)
    with refused_as(409):
        people.suspend(store, project, rater, time.time(), who.rater, body.reason)
    return _shown(_member(store, project, rater))


@router.delete("/projects/{project}/members/{rater}/suspension", responses=_CHANGES)
def resume(project: str, rater: str, request: Request, who: Lead) -> MemberShown:
    """Let a member's judgments count again."""
    store = _store(request)
    _member(store, project, rater)
    people.resume(store, project, rater, who.rater)
    return _shown(_member(store, project, rater))


@router.get("/projects/{project}/invites", responses=_READS)
def list_invites(project: str, request: Request, who: Lead) -> list[Invite]:
    """Invites that can still be used; the tokens themselves are kept nowhere."""
    found = tokens.invites(_store(request), project, time.time())
    return [
        Invite(
            id=invite.hash[:16], role=invite.role or "rater", uses_left=invite.uses_left or 0,
            created_at=invite.created_at, expires_at=invite.expires_at or 0.0,
        )
        for invite in found
    ]  # fmt: skip


@router.post("/projects/{project}/invites", responses=_CHANGES)
def make_invite(project: str, request: Request, body: NewInvite, who: Lead) -> Issued:
    """A link by which people join."""
    store, now = _store(request), time.time()
    token = tokens.invite(store, project, body.role, now, body.uses, body.days)
    record_event(store, project, who.rater, "invited", {"role": body.role, "uses": body.uses})
    return Issued(rater=None, token=token, expires_at=now + body.days * tokens.DAY_SECONDS)


@router.delete("/projects/{project}/invites/{id}", responses=_CHANGES)
def end_invite(project: str, id: str, request: Request, who: Lead) -> Ended:
    """End an invite before its time."""
    store, now = _store(request), time.time()
    found = [invite.hash for invite in tokens.invites(store, project, now)]
    ended = sum(tokens.revoke(store, hash, now) for hash in found if hash[:16] == id)
    if not ended:
        raise HTTPException(404, "there is no such invite, or it has ended")
    return Ended(tokens=ended)


def _issue(store: Store, project: str, rater: str, days: float, now: float) -> Issued:
    seconds = days * tokens.DAY_SECONDS
    token = tokens.issue(store, "api", now, rater=rater, project=project, lifetime_seconds=seconds)
    return Issued(rater=rater, token=token, expires_at=now + seconds)


def _member(store: Store, project: str, rater: str) -> Member:
    found = people.get_member(store, project, rater)
    if found is None:
        raise HTTPException(404, "there is no such member in this project")
    return found


def _shown(member: Member) -> MemberShown:
    return MemberShown(
        rater=member.rater,
        name=member.name,
        kind=member.kind,
        version=member.version,
        role=member.role,
        suspended_at=member.suspended_at,
        created_at=member.created_at,
        is_erased=member.erased_at is not None,
    )


def _store(request: Request) -> Store:
    return request.app.state.store

"""Guidelines, events, and taking one rater's data out."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import select

from plaudit.feedback.protection.fields import STRICT
from plaudit.feedback.protection.refusals import refusals, refused_as
from plaudit.feedback.protection.security import Signed, require, signed_in
from plaudit.store import Store, erase_rater, people, put_guideline, record_event
from plaudit.store.people import reaches
from plaudit.store.schema import event, guideline

router = APIRouter(prefix="/api", tags=["data"])
Lead = Annotated[Signed, Depends(require("lead"))]
GUIDELINE_CHARACTERS = 200_000


class NewGuideline(BaseModel):
    """A version of the guidelines, Markdown."""

    model_config = STRICT

    version: str = Field(min_length=1, max_length=100, pattern=r"^[\w.+-]+$")
    text: str = Field(min_length=1, max_length=GUIDELINE_CHARACTERS)


class GuidelineShown(BaseModel):
    """A version of the guidelines as it stands."""

    version: str
    text: str
    sha256: str
    created_at: float


class EventShown(BaseModel):
    """Something someone did."""

    number: int
    rater: str
    kind: str
    detail: dict[str, Any]
    at: float


class ErasedShown(BaseModel):
    """What was taken out, and the models that had learned from it."""

    judgments: int
    models: list[str]


@router.get("/projects/{project}/guidelines", responses=refusals(400, 401, 403, 404, 429))
def list_guidelines(project: str, request: Request, who: Lead) -> list[GuidelineShown]:
    """All versions, the newest first."""
    table = guideline
    rows = select(table).where(table.c.project == project).order_by(table.c.created_at.desc())
    with _store(request).reading() as connection:
        return [
            GuidelineShown(
                version=row.version, text=row.text, sha256=row.sha256, created_at=row.created_at
            )
            for row in connection.execute(rows)
        ]


@router.post(
    "/projects/{project}/guidelines",
    status_code=201,
    responses=refusals(400, 401, 403, 404, 409, 413, 422, 429),
)
def make_guideline(project: str, request: Request, body: NewGuideline, who: Lead) -> GuidelineShown:
    """A new version, which raters see from their next assignment on."""
    with refused_as(409):
        put_guideline(_store(request), project, body.version, body.text)
    record_event(_store(request), project, who.rater, "guideline", {"version": body.version})
    shown = list_guidelines(project, request, who)
    return next(one for one in shown if one.version == body.version)


@router.get("/projects/{project}/events", responses=refusals(400, 401, 403, 404, 422, 429))
def list_events(
    project: str,
    request: Request,
    who: Lead,
    kind: Annotated[str, Query(max_length=100)] = "",
    before: Annotated[int, Query(ge=1, le=2**53)] = 2**53,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[EventShown]:
    """What happened beside judgments, the newest first; ``before`` an event's number goes on."""
    here = (event.c.project == project, event.c.number < before)
    rows = select(event).where(*here).order_by(event.c.number.desc()).limit(limit)
    rows = rows.where(event.c.kind == kind) if kind else rows
    with _store(request).reading() as connection:
        return [
            EventShown(
                number=row.number, rater=row.rater, kind=row.kind, detail=json.loads(row.detail),
                at=row.at,
            )
            for row in connection.execute(rows)
        ]  # fmt: skip


@router.delete("/raters/{rater}/data", responses=refusals(400, 401, 403, 404, 409, 429))
def erase(rater: str, request: Request, who: Annotated[Signed, Depends(signed_in)]) -> ErasedShown:
    """Take out a rater's name and all that they wrote, in every project they are a member of.

    It cannot be undone. The chain of the log holds; the models named here learned from it.
    """
    store = _store(request)
    _expect_leads_all(store, who, rater)
    with refused_as(409):
        erased = erase_rater(store, rater, who.rater)
    return ErasedShown(judgments=erased.judgments, models=[model.path for model in erased.models])


def _expect_leads_all(store: Store, who: Signed, rater: str) -> None:
    found = people.memberships(store, rater)
    led = [id for id in found if reaches(who.role_of(id), "lead") and id not in who.suspended]
    if not led:
        raise HTTPException(404, "there is no such member in a project you lead")
    if len(led) < len(found):
        raise HTTPException(403, "they judge in projects you do not lead; ask their leads")
    for id, member in found.items():
        others = [m for m in people.members(store, id) if m.role == "lead" and m.rater != rater]
        if member.role == "lead" and not others:
            raise HTTPException(409, f"they are the only lead of {id}; make another first")


def _store(request: Request) -> Store:
    return request.app.state.store

"""Items by disagreement, what was said of each, and the answer that settles one.

Nobody who judges learns who wrote a candidate, and an adjudicator judges: sources, other columns
and, for adjudicators, raters' names are left out. Candidates stand in the item's own order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy import Select, select

from plaudit.aggregation import ADJUDICATED
from plaudit.feedback.assignment.answers import Sent
from plaudit.feedback.leads import adjudication
from plaudit.feedback.leads.adjudication import Said
from plaudit.feedback.leads.dashboards import PATIENCE_SECONDS
from plaudit.feedback.projects.items import LEAK
from plaudit.feedback.projects.project import Project, project_of
from plaudit.feedback.protection.fields import STRICT, record_of
from plaudit.feedback.protection.refusals import refusals, refused_as
from plaudit.feedback.protection.security import Signed, require
from plaudit.feedback.rating.rendering import plain_call
from plaudit.judgments import Answer, Item
from plaudit.records import Message
from plaudit.store import Store, StoredItem, catch_up, get_project, people, stored_item
from plaudit.store.people import reaches
from plaudit.store.schema import item as table
from plaudit.store.settled import is_settled

router = APIRouter(prefix="/api/projects/{project}", tags=["items"])
Adjudicator = Annotated[Signed, Depends(require("adjudicator"))]
_EXCERPT_CHARACTERS = 200
_LAST_NUMBER = 2**53


class ItemRow(BaseModel):
    """An item in the list."""

    number: int
    id: str
    question: str
    stratum: str
    excerpt: str
    votes: int
    target_votes: int
    is_open: bool
    is_gold: bool
    disagreement: float
    is_settled: bool


class ItemPage(BaseModel):
    """Some of the items."""

    items: list[ItemRow]
    offset: int
    has_more: bool
    is_whole: bool
    """As ``AgreementBoard``'s: of how much votes differ."""


class Turn(BaseModel):
    """One turn of a prompt."""

    role: str
    content: str


class SaidOnce(BaseModel):
    """A judgment as it is shown in an item's history."""

    seq: int
    rater: str
    name: str
    kind: str
    answer: Answer
    criteria: dict[str, tuple[float | None, ...]]
    confidence: float | None
    rationale: str
    flags: tuple[str, ...]
    guideline_version: str
    submitted_at: float
    active_seconds: float | None
    stands: bool
    is_suspended: bool
    is_settlement: bool


class ItemWhole(ItemRow):
    """An item with all that was said of it."""

    prompt: list[Turn]
    candidates: list[list[Turn]]
    steps: list[str]
    gold: Answer | None
    names_a_model: bool
    """A candidate gives away, or seems to, who wrote it."""
    history: list[SaidOnce]


class Settlement(BaseModel):
    """An adjudicator's answer; candidates stand in the item's own order."""

    model_config = STRICT

    item: int = Field(ge=1, le=_LAST_NUMBER)
    judgment: Annotated[Sent, BeforeValidator(record_of(Sent))]


class Settled(BaseModel):
    """Where it stands in the log."""

    seq: int


@router.get("/items", responses=refusals(400, 401, 403, 404, 422, 429))
def list_items(
    project: str,
    request: Request,
    who: Adjudicator,
    sort: Literal["disagreement", "number"] = "disagreement",
    question: Annotated[str, Query(max_length=200)] = "",
    stratum: Annotated[str | None, Query(max_length=200)] = None,
    settled: bool | None = None,
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ItemPage:
    """Items: those that raters differ on, the most disputed first; or all, as they were added."""
    store: Store = request.app.state.store
    is_whole = catch_up(store, PATIENCE_SECONDS)
    rows = _rows(project, sort, question, stratum, settled).offset(offset).limit(limit + 1)
    with store.reading() as connection:
        found = list(connection.execute(rows))
    return ItemPage(
        items=[
            ItemRow(**_row(stored_item(r), r.is_settled, r.disagreement)) for r in found[:limit]
        ],
        offset=offset,
        has_more=len(found) > limit,
        is_whole=is_whole,
    )


@router.get("/items/{number}", responses=refusals(400, 401, 403, 404, 422, 429))
def show_item(project: str, number: int, request: Request, who: Adjudicator) -> ItemWhole:
    """One item with its whole history."""
    store: Store = request.app.state.store
    known = 0 < number < _LAST_NUMBER
    found = adjudication.item_numbered(store, project, number) if known else None
    if found is None:
        raise HTTPException(404, "there is no such item in this project")
    said = adjudication.history(store, project, found.item.id)
    has_settled = any(one.stands and adjudication.settles(one) for one in said)
    members = {member.rater: member for member in people.members(store, project)}
    with_names = reaches(who.role_of(project), "lead")
    return ItemWhole(
        **_row(found, has_settled, adjudication.differing(store, project, found.item.id)),
        prompt=_turns(found.item.prompt),
        candidates=[_turns(candidate.content) for candidate in found.item.candidates],
        steps=list(found.item.steps),
        gold=found.item.gold,
        names_a_model=bool(found.item.columns.get(LEAK)),
        history=[_said(one, members.get(one.judgment.rater.id), with_names) for one in said],
    )


@router.post("/adjudications", responses=refusals(400, 401, 403, 404, 409, 413, 422, 429))
def settle(project: str, request: Request, body: Settlement, who: Adjudicator) -> Settled:
    """Settle an item: this answer is its consensus from now on, and stands in the log."""
    store: Store = request.app.state.store
    try:
        with refused_as(422):
            seq = adjudication.adjudicate(
                store, request.app.state.writer, project_here(store, project), body.item,
                who.rater, body.judgment,
            )  # fmt: skip
    except LookupError as problem:
        raise HTTPException(404, "there is no such item in this project") from problem
    return Settled(seq=seq)


def project_here(store: Store, project: str) -> Project:
    """The project file of a project that is known to be there."""
    stored = get_project(store, project)
    assert stored is not None, "who is a member of a project knows that it is there"
    return project_of(stored.config)


def _rows(
    project: str, sort: str, question: str, stratum: str | None, settled: bool | None
) -> Select[Any]:
    settles, here = is_settled(), table.c.project == project
    rows = select(table, settles.label("is_settled"))
    if sort == "disagreement":
        rows = rows.order_by(table.c.disagreement.desc(), table.c.number)
        here &= table.c.disagreement > 0
    else:
        rows = rows.order_by(table.c.number)
    if question:
        here &= table.c.question == question
    if stratum is not None:
        here &= table.c.stratum == stratum
    if settled is not None:
        here &= settles if settled else ~settles
    return rows.where(here)


def _row(found: StoredItem, is_settled: bool, disagreement: float) -> dict[str, Any]:
    return {
        "number": found.number, "id": found.item.id, "question": found.item.question,
        "stratum": found.item.stratum, "excerpt": _excerpt(found.item), "votes": found.votes,
        "target_votes": found.target_votes, "is_open": found.is_open, "is_gold": found.is_gold,
        "disagreement": disagreement, "is_settled": is_settled,
    }  # fmt: skip


def _excerpt(item: Item) -> str:
    text = " ".join(_turns(item.prompt)[-1].content.split())
    return text if len(text) <= _EXCERPT_CHARACTERS else f"{text[:_EXCERPT_CHARACTERS]}…"


def _turns(text: Any) -> list[Turn]:
    if isinstance(text, str):
        return [Turn(role="", content=text)]
    turns = [Turn(role=turn.role, content=_said_and_called(turn)) for turn in text]
    return turns or [Turn(role="", content="")]


def _said_and_called(turn: Message) -> str:
    return "\n".join(filter(None, [turn.content, *map(plain_call, turn.tool_calls)]))


def _said(said: Said, member: people.Member | None, with_names: bool) -> SaidOnce:
    judgment = said.judgment
    return SaidOnce(
        seq=said.seq,
        rater=judgment.rater.id,
        name=member.name if member and with_names else "",
        kind=judgment.rater.kind,
        answer=judgment.answer,
        criteria=judgment.criteria,
        confidence=judgment.confidence,
        rationale=judgment.rationale,
        flags=tuple(flag for flag in judgment.flags if flag != ADJUDICATED),
        guideline_version=judgment.guideline_version,
        submitted_at=judgment.submitted_at.timestamp(),
        active_seconds=judgment.active_seconds,
        stands=said.stands,
        is_suspended=member is not None and member.suspended_at is not None,
        is_settlement=adjudication.settles(said),
    )

"""The raters' API: the project, the next task, judgments, skips, drafts, undo, own progress.

Everything a rater is sent goes through ``shown.py``, which picks what may be seen. What changes
something is work for the writer's thread, whatever is under way in one transaction, and is answered
once that has reached the disk.
"""

from __future__ import annotations

import json
import time
from asyncio import wrap_future
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, JsonValue, ValidationError
from starlette.concurrency import run_in_threadpool

from plaudit.feedback.assignment.answers import Sent
from plaudit.feedback.assignment.case import Case, after, case_in
from plaudit.feedback.assignment.declining import choices, decline_in
from plaudit.feedback.assignment.giving import Assignment, Conflict, Refused, give
from plaudit.feedback.assignment.submission import save_draft_in, skip_in, submit_in, undo_in
from plaudit.feedback.projects.project import Project, project_of
from plaudit.feedback.protection.security import Signed, require
from plaudit.feedback.rating import arena
from plaudit.feedback.rating.own_progress import own_progress
from plaudit.feedback.rating.shown import shown_assignment, shown_project
from plaudit.records import Record
from plaudit.store import Appending, Receipt, Store, get_project, latest_guideline
from plaudit.store.turns import Turns

router = APIRouter(prefix="/api/projects/{project}", tags=["rating"])
Rater = Annotated[Signed, Depends(require("rater"))]
DRAFT_CHARACTERS = 200_000
Title = Annotated[str, Field(max_length=200)]


class Submission(Sent):
    """A judgment, and whether the next task is wanted in the same answer."""

    assignment: str = Field(min_length=1, max_length=200)
    next: bool = False


class Skip(Record):
    """No judgment, and why."""

    assignment: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=100)
    note: str = Field(default="", max_length=2000)
    next: bool = False


class ArenaPrompt(Record):
    """What the rater asks the served model."""

    prompt: str = Field(min_length=1, max_length=20_000, pattern=r"\S")


class DraftBody(Record):
    """What the page has so far, in its own words; it is given back as it is."""

    body: dict[str, JsonValue]


class Declined(Record):
    """All that a rater would rather not see, of what the project lets them decline."""

    titles: tuple[Title, ...] = Field(max_length=100)


_BodyT = TypeVar("_BodyT", bound=Record)


def body_of(model: type[_BodyT]) -> Callable[[Request], Awaitable[_BodyT]]:
    """The request's body as a strict record, read from JSON (where a list may be a tuple)."""

    async def read(request: Request) -> _BodyT:
        try:
            return model.model_validate_json(await request.body())
        except ValidationError as error:
            faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
            raise RequestValidationError(faults) from error

    return read


def takes(model: type[Record]) -> dict[str, Any]:
    """How the API's own description speaks of such a body."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": _inlined(schema, schema.get("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, named: dict[str, Any]) -> Any:
    """The schema with what it refers to in its place."""
    if isinstance(schema, list):
        return [_inlined(part, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(named[schema["$ref"].rpartition("/")[2]], named)
    return {
        key: _inlined(value, named)
        for key, value in schema.items()
        if key not in ("$defs", "discriminator")
    }


@contextmanager
def refusals() -> Iterator[None]:
    """What assignment and store refuse, as statuses."""
    try:
        yield
    except Refused as error:
        raise HTTPException(404, str(error)) from error
    except (Conflict, arena.NoAnswer) as error:
        raise HTTPException(409, str(error)) from error
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    except TimeoutError as error:
        raise HTTPException(503, str(error), {"Retry-After": "2"}) from error


@router.get("")
def project(project: str, request: Request, who: Rater) -> Response:
    """What is asked, and how to judge."""
    store = request.app.state.store
    return _json(shown_project(_config(store, project), latest_guideline(store, project)))


@router.get("/next")
async def next_task(project: str, request: Request, who: Rater) -> Response:
    """The task the rater is to do; the same one until it is done."""
    at = time.time()

    def following(log: Appending) -> Turns[Assignment | None]:
        return give(log, project, who.rater, at)

    with refusals():
        return _json(_task(await wrap_future(request.app.state.writer.run(following))))


@router.post("/judgments", openapi_extra=takes(Submission))
async def judge(
    project: str, request: Request, who: Rater,
    body: Annotated[Submission, Depends(body_of(Submission))],
) -> Response:  # fmt: skip
    """Record a judgment. Sent again under the same id, it is recorded once."""
    work = partial(submit_in, sent=body)
    return _json(await _recorded(request, project, who, body, work))


@router.post("/skips", openapi_extra=takes(Skip))
async def skip(
    project: str, request: Request, who: Rater, body: Annotated[Skip, Depends(body_of(Skip))]
) -> Response:
    """Record that there is no judgment, and why."""
    work = partial(skip_in, reason=body.reason, note=body.note)
    return _json(await _recorded(request, project, who, body, work))


@router.post("/undo")
async def undo(project: str, request: Request, who: Rater) -> Response:
    """Take the last judgment or skip back; it comes again, with its answer as the draft."""
    work = partial(undo_in, project=project, rater=who.rater, at=time.time())
    with refusals():
        assignment = await wrap_future(request.app.state.writer.run(work))
    if assignment is None:
        raise HTTPException(409, "there is nothing to undo; go on with the next task")
    return _json({"assignment": shown_assignment(assignment)})


@router.put("/drafts/{assignment}", status_code=204, openapi_extra=takes(DraftBody))
async def draft(
    project: str, assignment: str, request: Request, who: Rater,
    body: Annotated[DraftBody, Depends(body_of(DraftBody))],
) -> None:  # fmt: skip
    """Keep what is half done."""
    text = json.dumps(body.body, ensure_ascii=False)
    if len(text) > DRAFT_CHARACTERS:
        raise HTTPException(413, f"a draft of {len(text)} characters; at most {DRAFT_CHARACTERS}")
    at = time.time()
    with refusals():
        await wrap_future(
            request.app.state.writer.run(
                lambda log: save_draft_in(log, assignment, who.rater, text, at)
            )
        )


@router.post("/arena", openapi_extra=takes(ArenaPrompt))
async def ask_twice(
    project: str, request: Request, who: Rater,
    body: Annotated[ArenaPrompt, Depends(body_of(ArenaPrompt))],
) -> Response:  # fmt: skip
    """Have a prompt of the rater's own answered twice, and judge the answers."""
    store = request.app.state.store
    config = await run_in_threadpool(_config, store, project)
    if config.arena is None:
        raise HTTPException(404, "this project has no arena; judge what it gives you")
    with refusals():
        answers = await arena.answer_twice(config.arena, body.prompt)
        item = arena.make_item(config, body.prompt, answers)
        given = await run_in_threadpool(arena.put_before, store, config, who.rater, item)
    return _json({"assignment": shown_assignment(given), "why": ""})


@router.get("/me")
def me(project: str, request: Request, who: Rater, since: float = 0.0) -> Response:
    """The rater's own figures, and what they may decline; ``judged_today`` counts from ``since``,
    seconds since 1970."""
    store = request.app.state.store
    figures = own_progress(store, project, who.rater, since)
    return _json(figures | {"may_decline": choices(store, _config(store, project), who.rater)})


@router.put("/declined", status_code=204, openapi_extra=takes(Declined))
async def decline(
    project: str, request: Request, who: Rater,
    body: Annotated[Declined, Depends(body_of(Declined))],
) -> None:  # fmt: skip
    """Be given nothing of these, and of all others again."""
    at = time.time()
    with refusals():
        await wrap_future(
            request.app.state.writer.run(
                lambda log: decline_in(log, project, who.rater, body.titles, at)
            )
        )


def _config(store: Store, project: str) -> Project:
    found = get_project(store, project)
    assert found is not None, "a member's project is there"
    return project_of(found.config)


async def _recorded(
    request: Request,
    project: str,
    who: Signed,
    body: Submission | Skip,
    work: Callable[[Case], Receipt],
) -> dict[str, Any]:
    """Record, and choose the next task in the same step where it is wanted."""
    at = time.time()

    def recorded(log: Appending) -> Turns[tuple[Receipt, Assignment | None]]:
        case = yield from case_in(log, body.assignment, who.rater, at)
        if case.project.id != project:
            raise Refused(f"assignment {body.assignment}: not of this project; ask for the next")
        receipt = work(case)
        return receipt, (yield from after(case)) if body.next else None

    with refusals():
        receipt, following = await wrap_future(request.app.state.writer.run(recorded))
    return {"seq": receipt.seq} | ({"next": _task(following)} if body.next else {})


def _task(found: Assignment | None) -> dict[str, Any]:
    if found is None:
        return {"assignment": None, "why": "You have judged everything there is for you here."}
    return {"assignment": shown_assignment(found), "why": ""}


def _json(value: Any) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), media_type="application/json")

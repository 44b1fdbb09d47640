"""Judgments from others' formats and into them, by way of a file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from plaudit.aggregation.giving import give_judgments
from plaudit.aggregation.taking import Taken, take_judgments
from plaudit.feedback.assignment.votes import wanting_of
from plaudit.feedback.protection.refusals import refusals
from plaudit.feedback.protection.security import Signed, require
from plaudit.formats.exchange import EXCHANGE_FORMATS
from plaudit.formats.exchange.training import Shape
from plaudit.store import Store, get_project, record_event

router = APIRouter(prefix="/api/projects/{project}", tags=["exchange"])
Lead = Annotated[Signed, Depends(require("lead"))]
Format = Annotated[str, Query(min_length=1, max_length=50, pattern=r"^[\w-]+$")]
_FILE = {"type": "string", "format": "binary"}


class Formats(BaseModel):
    """Formats of judgments, read and written; and shapes of training targets, written."""

    judgments: list[str]
    targets: list[str]


class Imported(BaseModel):
    """What an import brought; what was there already was left as it was."""

    items: int
    new_items: int
    judgments: int
    new_judgments: int
    unread: dict[str, int]
    """What the log has no place for, by name; it is kept as it stood in the file."""


@router.get("/formats", responses=refusals(400, 401, 403, 404, 429))
def formats(project: str, who: Lead) -> Formats:
    """What can be read and written."""
    return Formats(judgments=list(EXCHANGE_FORMATS), targets=list(get_args(Shape)))


@router.post(
    "/import",
    responses=refusals(400, 401, 403, 404, 413, 422, 429),
    openapi_extra={
        "requestBody": {"content": {"application/octet-stream": {"schema": _FILE}}},
    },
)
async def take(
    project: str,
    request: Request,
    who: Lead,
    kind: Literal["json", "jsonl", "csv"] = "jsonl",
    format: Format = "auto",
    votes: Annotated[int, Query(ge=1, le=1000)] = 1,
    trust_order: bool = False,
) -> Imported:
    """Add a file's items and judgments; people's ids in it are hashed. The body is the file.

    ``votes`` is how many judgments a new item is to have, those of the file among them.
    """
    folder = Path(tempfile.mkdtemp(prefix="plaudit-import-"))
    try:
        path = folder / f"file.{kind}"
        with path.open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        options = {"format": format, "target_votes": votes, "trust_order": trust_order}
        taken = await run_in_threadpool(
            _take, request.app.state.store, project, path, who.rater, options
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Imported(
        items=taken.items, new_items=taken.new_items, judgments=taken.judgments,
        new_judgments=taken.new_judgments, unread=dict(taken.unread),
    )  # fmt: skip


@router.get(
    "/export",
    response_class=FileResponse,
    responses=refusals(400, 401, 403, 404, 422, 429)
    | {200: {"content": {"application/octet-stream": {"schema": _FILE}}}},
)
def give(
    project: str,
    request: Request,
    who: Lead,
    format: Format = "plaudit",
    targets: Literal["votes", "majority", "soft"] = "votes",
    kind: Literal["json", "jsonl"] = "jsonl",
) -> FileResponse:
    """The project's judgments, or training targets made of them, as a file; it is recorded that
    they went out."""
    store: Store = request.app.state.store
    folder = Path(tempfile.mkdtemp(prefix="plaudit-export-"))
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"judgments.{kind}"
    try:
        with _named(path):
            given = give_judgments(store, project, path, format=format, targets=targets)
    except HTTPException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    detail = {"export": given.id, "format": format, "targets": targets, "rows": given.rows}
    record_event(store, project, who.rater, "exported", detail)
    return FileResponse(
        path, filename=path.name, media_type="application/octet-stream", background=gone
    )


def _take(store: Store, project: str, path: Path, by: str, options: dict[str, Any]) -> Taken:
    stored = get_project(store, project)
    wanting = wanting_of(stored.config) if stored else None
    with _named(path):
        return take_judgments(store, project, path, by=by, wanting=wanting, **options)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Refusals, with the file's own name in place of where it lay for a moment."""
    try:
        yield
    except RecursionError as problem:
        raise HTTPException(422, f"{path.name}: nested too deep to read") from problem
    except ValueError as problem:
        raise HTTPException(422, str(problem).replace(f"{path.parent}/", "")) from problem

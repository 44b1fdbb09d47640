"""What happened beside judgments: who opened, left, undid, suspended, erased."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from plaudit.store import schema
from plaudit.store.opening import Store

_T = schema.event


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that someone did."""

    number: int
    project: str
    rater: str
    """Who did it."""
    kind: str
    detail: dict[str, Any]
    at: float


def record_event(
    store: Store, project: str, rater: str, kind: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Record what ``rater`` did."""
    with store.writing() as connection:
        record_event_in(connection, project, rater, kind, detail)


def record_event_in(
    connection: Connection,
    project: str,
    rater: str,
    kind: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record it within a transaction that is under way."""
    written = json.dumps(dict(detail or {}), sort_keys=True, ensure_ascii=False)
    connection.execute(
        _T.insert().values(project=project, rater=rater, kind=kind, detail=written, at=time.time())
    )


def events(store: Store, project: str, kind: str | None = None) -> Iterator[Event]:
    """What happened in a project, in order."""
    query = select(_T).where(_T.c.project == project).order_by(_T.c.number)
    with store.reading() as connection:
        rows = connection.execute(query if kind is None else query.where(_T.c.kind == kind)).all()
    for row in rows:
        yield Event(**{**row._mapping, "detail": json.loads(row.detail)})

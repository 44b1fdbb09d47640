"""What is done to an assignment: given, opened again, closed, extended, left with a draft."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from plaudit.store.assignments import Leased
from plaudit.store.schema import assignment, draft

_INSERT = assignment.insert()


def insert(connection: Connection, project: str, rater: str, leased: Leased) -> None:
    """Write down a new assignment."""
    row = {
        "id": leased.id, "project": project, "item": leased.item, "rater": rater,
        "turn": leased.turn, "state": leased.state, "opened_at": leased.opened_at,
        "leased_until": leased.leased_until, "shown": ",".join(map(str, leased.shown)),
    }  # fmt: skip
    connection.execute(_INSERT, row)


def _change(*columns: str) -> sa.Update:
    """An update of one assignment, whose new values are parameters named ``new_...``."""
    values = {name: bindparam(f"new_{name}") for name in columns}
    return assignment.update().where(assignment.c.id == bindparam("of_id")).values(values)


_REOPEN = _change("opened_at", "leased_until").values(state="open", closed_at=None, judgment=None)
_CLOSE = _change("state", "judgment", "closed_at")
_EXTEND = _change("leased_until").where(assignment.c.state == "open")


def reopen(connection: Connection, id: str, opened_at: float, leased_until: float) -> None:
    """Give an assignment back to its rater."""
    values = {"of_id": id, "new_opened_at": opened_at, "new_leased_until": leased_until}
    connection.execute(_REOPEN, values)


def close(connection: Connection, id: str, state: str, judgment: str | None, at: float) -> None:
    """Judged, skipped or expired; the draft of what was submitted goes."""
    values = {"of_id": id, "new_state": state, "new_judgment": judgment, "new_closed_at": at}
    connection.execute(_CLOSE, values)
    if judgment is not None:
        connection.execute(_FORGET_DRAFT, {"of_id": id})


def extend(connection: Connection, id: str, leased_until: float) -> None:
    """Keep an open assignment for longer."""
    connection.execute(_EXTEND, {"of_id": id, "new_leased_until": leased_until})


_EXPIRE = (
    assignment.update()
    .where(assignment.c.state == "open", assignment.c.leased_until <= bindparam("now"))
    .values(state="expired", closed_at=bindparam("now"))
)


def expire(connection: Connection, now: float) -> int:
    """Mark every lease that has run out; returns how many."""
    return connection.execute(_EXPIRE, {"now": now}).rowcount


_FORGET_DRAFT = draft.delete().where(draft.c.assignment == bindparam("of_id"))
_WRITE_DRAFT = draft.insert()


def put_draft(connection: Connection, id: str, body: str, at: float) -> None:
    """Keep what was entered so far, in place of what was kept before."""
    connection.execute(_FORGET_DRAFT, {"of_id": id})
    connection.execute(_WRITE_DRAFT, {"assignment": id, "body": body, "saved_at": at})

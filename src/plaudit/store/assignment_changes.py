"""What is done to an assignment: given, opened again, closed, extended, left with a draft."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from plaudit.store.assignments import Leased
from plaudit.store.prepared import Prepared
from plaudit.store.schema import assignment, draft

_GIVEN = (
    "id", "project", "item", "rater", "turn", "state", "opened_at", "leased_until", "shown",
)  # fmt: skip
_INSERT = Prepared(assignment.insert().values({name: bindparam(name) for name in _GIVEN}))


def insert(connection: Connection, project: str, rater: str, leased: Leased) -> None:
    """Write down a new assignment."""
    _INSERT.ask(
        connection, id=leased.id, project=project, item=leased.item, rater=rater, turn=leased.turn,
        state=leased.state, opened_at=leased.opened_at, leased_until=leased.leased_until,
        shown=_written(leased.shown),
    )  # fmt: skip


def _written(shown: Sequence[int]) -> str:
    return ",".join(map(str, shown))


def _change(*columns: str) -> sa.Update:
    """An update of one assignment, whose new values are parameters named ``new_...``."""
    values = {name: bindparam(f"new_{name}") for name in columns}
    return assignment.update().where(assignment.c.id == bindparam("of_id")).values(values)


_REOPEN = Prepared(
    _change("opened_at", "leased_until").values(state="open", closed_at=None, judgment=None)
)
_CLOSE = Prepared(_change("state", "judgment", "closed_at"))
_SHOW = Prepared(_change("shown"))
_EXTEND = Prepared(_change("leased_until").where(assignment.c.state == "open"))


def reopen(connection: Connection, id: str, opened_at: float, leased_until: float) -> None:
    """Give an assignment back to its rater."""
    _REOPEN.ask(connection, of_id=id, new_opened_at=opened_at, new_leased_until=leased_until)


def close(connection: Connection, id: str, state: str, judgment: str | None, at: float) -> None:
    """Judged, skipped or expired."""
    _CLOSE.ask(connection, of_id=id, new_state=state, new_judgment=judgment, new_closed_at=at)


def show(connection: Connection, id: str, shown: Sequence[int]) -> None:
    """Say in which order the candidates are shown, of an assignment from the queue."""
    _SHOW.ask(connection, of_id=id, new_shown=_written(shown))


def extend(connection: Connection, id: str, leased_until: float) -> None:
    """Keep an open assignment for longer."""
    _EXTEND.ask(connection, of_id=id, new_leased_until=leased_until)


_EXPIRE = (
    assignment.update()
    # Written out, or SQLite does not see that the index of leases holds all it needs.
    .where(
        assignment.c.state == sa.literal_column("'open'"),
        assignment.c.leased_until <= bindparam("now"),
    )
    .values(state="expired", closed_at=bindparam("now"))
)


def expire(connection: Connection, now: float) -> int:
    """Mark every lease that has run out; returns how many."""
    return connection.execute(_EXPIRE, {"now": now}).rowcount


_FORGET_DRAFT = Prepared(draft.delete().where(draft.c.assignment == bindparam("of_id")))
_WRITE_DRAFT = Prepared(draft.insert().values({one.name: bindparam(one.name) for one in draft.c}))


def forget_draft(connection: Connection, id: str) -> None:
    """Keep nothing of what was entered."""
    _FORGET_DRAFT.ask(connection, of_id=id)


def put_draft(connection: Connection, id: str, body: str, at: float) -> None:
    """Keep what was entered so far, in place of what was kept before."""
    forget_draft(connection, id)
    _WRITE_DRAFT.ask(connection, assignment=id, body=body, saved_at=at)

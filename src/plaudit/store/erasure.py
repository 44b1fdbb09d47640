"""Erasing what a person said and who the person is, while the chain goes on holding."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from plaudit.store import schema
from plaudit.store.events import record_event_in
from plaudit.store.item_votes import count_votes_of
from plaudit.store.lineage import TouchedModel, models_touched
from plaudit.store.opening import Store
from plaudit.store.tallies import catch_up, fold, forget

_J = schema.judgment


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What was erased, and which models had learned from it."""

    judgments: int
    models: tuple[TouchedModel, ...]


def erase_rater(store: Store, rater: str, by: str) -> Erased:
    """Erase the bodies, salts, raters and items of a rater's judgments, drafts, assignments, what
    was noted of each step, what they declined, tokens and the name. Hashes, ids and times stay, so
    the chain holds.

    Copies elsewhere (exports, backups, models) are not reached; ``models`` says which to look at.

    Args:
        by: who asked for it, for the log of events.

    Raises:
        ValueError: no such rater, or erased before.
    """
    catch_up(store)
    with store.appending() as connection:
        _check_rater(connection, rater)
        while fold(connection):
            pass
        touched = models_touched(connection, rater)
        projects = _projects_of(connection, rater)
        _take_votes_back(connection, rater, projects)
        forget(connection, rater)
        erased = _blank_judgments(connection, rater)
        _blank_person(connection, rater)
        detail = {"rater": rater, "judgments": erased, "models": [m.sha256 for m in touched]}
        for project in projects:
            record_event_in(connection, project, by, "erased", detail)
    _leave_no_copy(store)
    return Erased(judgments=erased, models=touched)


def _check_rater(connection: Connection, rater: str) -> None:
    table = schema.rater
    known = connection.execute(select(table.c.erased_at).where(table.c.id == rater)).first()
    said = connection.execute(select(_J.c.seq).where(_J.c.rater == rater).limit(1)).first()
    if known is not None and known.erased_at is not None:
        raise ValueError(f"rater {rater}: erased already; nothing is left to erase")
    if known is None and said is None:
        raise ValueError(f"rater {rater}: not in this store; expected the id of one who is")


def _projects_of(connection: Connection, rater: str) -> list[str]:
    """Where he judged or is a member."""
    of = {
        project
        for table in (schema.member, _J)
        for project in connection.execute(
            select(table.c.project).where(table.c.rater == rater).distinct()
        ).scalars()
    }
    return sorted(of)


def _take_votes_back(connection: Connection, rater: str, projects: Iterable[str]) -> None:
    """Items that lose a vote want another; where the rater is suspended they have lost it."""
    member = schema.member
    suspended = connection.execute(
        select(member.c.project).where(member.c.rater == rater, member.c.suspended_at.is_not(None))
    ).scalars()
    for project in sorted({*projects} - {*suspended}):
        count_votes_of(connection, project, rater, -1)


def _blank_judgments(connection: Connection, rater: str) -> int:
    nothing = {"body": None, "salt": None, "rater": None, "item": None, "supersedes": None}
    return connection.execute(_J.update().where(_J.c.rater == rater).values(**nothing)).rowcount


def _blank_person(connection: Connection, rater: str) -> None:
    of_rater = select(schema.assignment.c.id).where(schema.assignment.c.rater == rater)
    connection.execute(schema.draft.delete().where(schema.draft.c.assignment.in_(of_rater)))
    for table in (schema.assignment, schema.token, schema.declined):
        connection.execute(table.delete().where(table.c.rater == rater))
    connection.execute(
        schema.event.update().where(schema.event.c.rater == rater).values(detail="{}")
    )
    gone = {"name": None, "erased_at": time.time()}
    connection.execute(schema.rater.update().where(schema.rater.c.id == rater).values(**gone))


def _leave_no_copy(store: Store) -> None:
    """SQLite overwrites what it deletes (``secure_delete``); its journal has the old pages yet."""
    if store.is_sqlite:
        with store.turn, store.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

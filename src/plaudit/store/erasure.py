"""Erasing what a person said and who the person is, while the chain goes on holding."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, select

from plaudit.store import schema
from plaudit.store.events import record_event_in
from plaudit.store.lineage import TouchedModel, models_touched
from plaudit.store.opening import Store
from plaudit.store.tallies import catch_up, fold, forget
from plaudit.store.votes import read_vote

_J = schema.judgment


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What was erased, and which models had learned from it."""

    judgments: int
    models: tuple[TouchedModel, ...]


def erase_rater(store: Store, rater: str, by: str) -> Erased:
    """Erase the bodies, salts, raters and items of a rater's judgments, drafts, assignments, what
    was noted of each step, tokens and the name. Hashes, ids and times stay, so the chain holds.

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
        _reopen_items(connection, rater)
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


def _reopen_items(connection: Connection, rater: str) -> None:
    """Items that lose a vote want another; where the rater is suspended they have lost it."""
    vote, item, member = schema.vote, schema.item, schema.member
    suspended = select(member.c.project).where(
        member.c.rater == rater, member.c.suspended_at.is_not(None)
    )
    rows = connection.execute(
        select(vote.c.project, vote.c.item, vote.c.facts).where(
            vote.c.rater == rater, vote.c.project.not_in(suspended)
        )
    )
    votes = [(row.project, row.item, read_vote(row.facts)) for row in rows]
    lost = {(of, id) for of, id, v in votes if "judgments" in v.measures and not v.is_repeat}
    if lost:
        of_item = (item.c.project == bindparam("in_project")) & (item.c.id == bindparam("of_id"))
        fewer = case((item.c.votes > 0, item.c.votes - 1), else_=0)
        connection.execute(
            item.update()
            .where(of_item)
            .values(votes=fewer, is_open=item.c.is_open | (fewer < item.c.target_votes)),
            [{"in_project": of, "of_id": id} for of, id in sorted(lost)],
        )


def _blank_judgments(connection: Connection, rater: str) -> int:
    nothing = {"body": None, "salt": None, "rater": None, "item": None, "supersedes": None}
    return connection.execute(_J.update().where(_J.c.rater == rater).values(**nothing)).rowcount


def _blank_person(connection: Connection, rater: str) -> None:
    of_rater = select(schema.assignment.c.id).where(schema.assignment.c.rater == rater)
    connection.execute(schema.draft.delete().where(schema.draft.c.assignment.in_(of_rater)))
    for table in (schema.assignment, schema.token):
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

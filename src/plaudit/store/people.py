"""People: who they are, what they may do in which project, and who is left out for now.

A rater's id is drawn at random and says nothing of the person; the name stands in ``rater.name``
alone, so that taking it out takes it out everywhere. Times are seconds since 1970.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, insert, select, update

from plaudit.store.events import record_event_in
from plaudit.store.item_votes import count_votes_of
from plaudit.store.opening import Store
from plaudit.store.schema import member, project, rater

ROLES = ("rater", "adjudicator", "lead")
"""Each may do what those before it may."""
NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One person, judge or rule in one project."""

    project: str
    rater: str
    name: str
    """Empty where none was given, or it was erased."""
    kind: str
    version: str
    role: str
    suspended_at: float | None
    created_at: float
    erased_at: float | None


def reaches(role: str | None, wanted: str) -> bool:
    """Whether a role may do what ``wanted`` may."""
    return role is not None and ROLES.index(role) >= ROLES.index(wanted)


def new_rater(
    store: Store, now: float, name: str = "", kind: str = "human", version: str = ""
) -> str:
    """The id of a rater who was not there before.

    Raises:
        ValueError: the name is too long, or holds control characters.
    """
    with store.writing() as connection:
        return insert_rater(connection, now, name, kind, version)


def insert_rater(
    connection: Connection, now: float, name: str = "", kind: str = "human", version: str = ""
) -> str:
    """``new_rater`` within a transaction."""
    id = secrets.token_hex(8)
    row = {"id": id, "kind": kind, "version": version, "created_at": now}
    connection.execute(insert(rater).values(**row, name=clean_name(name) or None))
    return id


def clean_name(name: str) -> str:
    """A person's name as it is stored: one line, without space around it.

    Raises:
        ValueError: longer than 200 characters, or with control characters in it.
    """
    name = name.strip()
    if len(name) > NAME_CHARACTERS:
        raise ValueError(f"a name of {len(name)} characters; expected {NAME_CHARACTERS} at most")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ValueError("the name holds control characters; expected one line of text")
    return name


def rename(store: Store, id: str, name: str) -> None:
    """Give a rater another name; an empty one takes it away.

    Raises:
        ValueError: as ``clean_name``.
    """
    with store.writing() as connection:
        connection.execute(
            update(rater).where(rater.c.id == id).values(name=clean_name(name) or None)
        )


def add_member(store: Store, project_id: str, rater_id: str, role: str = "rater") -> None:
    """Make a rater a member, or raise the role of one who is; it never lowers a role.

    Raises:
        ValueError: no such role, project or rater.
    """
    with store.writing() as connection:
        insert_member(connection, project_id, rater_id, role)


def insert_member(connection: Connection, project_id: str, rater_id: str, role: str) -> None:
    """``add_member`` within a transaction."""
    if role not in ROLES:
        raise ValueError(f"role {role!r}: no such role; there are {', '.join(ROLES)}")
    _expect(connection, project, project_id)
    _expect(connection, rater, rater_id)
    here = (member.c.project == project_id, member.c.rater == rater_id)
    found = connection.execute(select(member.c.role).where(*here)).scalar()
    if found is None:
        row = {"project": project_id, "rater": rater_id, "role": role}
        connection.execute(insert(member).values(**row))
    elif not reaches(found, role):
        connection.execute(update(member).where(*here).values(role=role))


def set_role(store: Store, project_id: str, rater_id: str, role: str, by: str) -> None:
    """Give a member another role; the event says who did.

    Raises:
        ValueError: no such role or member, or it would leave the project without a lead.
    """
    if role not in ROLES:
        raise ValueError(f"role {role!r}: no such role; there are {', '.join(ROLES)}")
    with store.writing() as connection:
        if role != "lead":
            _expect_another_lead(connection, project_id, rater_id)
        _change(connection, project_id, rater_id, {"role": role})
        record_event_in(connection, project_id, by, "role", {"rater": rater_id, "role": role})


def suspend(store: Store, project_id: str, rater_id: str, now: float, by: str, reason: str) -> None:
    """Leave a member's judgments out, and give them nothing to judge, until they are resumed.

    Items that lose a vote by it want another.

    Raises:
        ValueError: no such member, or it would leave the project without a lead.
    """
    with store.appending() as connection:
        _expect_another_lead(connection, project_id, rater_id)
        if not _is_suspended(connection, project_id, rater_id):
            count_votes_of(connection, project_id, rater_id, -1)
        _change(connection, project_id, rater_id, {"suspended_at": now})
        detail = {"rater": rater_id, "reason": reason}
        record_event_in(connection, project_id, by, "suspended", detail)


def resume(store: Store, project_id: str, rater_id: str, by: str, reason: str = "") -> None:
    """Take a suspension back; the member's votes count again.

    Raises:
        ValueError: no such member.
    """
    with store.appending() as connection:
        if _is_suspended(connection, project_id, rater_id):
            count_votes_of(connection, project_id, rater_id, 1)
        _change(connection, project_id, rater_id, {"suspended_at": None})
        detail = {"rater": rater_id, "reason": reason}
        record_event_in(connection, project_id, by, "resumed", detail)


def get_member(store: Store, project_id: str, rater_id: str) -> Member | None:
    """A rater in a project, or None where the rater is no member of it."""
    found = _found(store, member.c.project == project_id, member.c.rater == rater_id)
    return found[0] if found else None


def members(store: Store, project_id: str) -> tuple[Member, ...]:
    """All members of a project, those who came first first."""
    return _found(store, member.c.project == project_id)


def memberships(store: Store, rater_id: str) -> Mapping[str, Member]:
    """By project, what a rater is there."""
    return {found.project: found for found in _found(store, member.c.rater == rater_id)}


def _found(store: Store, *where: ColumnElement[bool]) -> tuple[Member, ...]:
    rows = select(member, rater).join(rater, member.c.rater == rater.c.id).where(*where)
    with store.reading() as connection:
        in_order = rows.order_by(rater.c.created_at, rater.c.id)
        return tuple(_member(row) for row in connection.execute(in_order).mappings())


def _member(row: RowMapping) -> Member:
    return Member(
        project=row["project"],
        rater=row["rater"],
        name=row["name"] or "",
        kind=row["kind"],
        version=row["version"],
        role=row["role"],
        suspended_at=row["suspended_at"],
        created_at=row["created_at"],
        erased_at=row["erased_at"],
    )


def _expect(connection: Connection, table: Table, id: str) -> None:
    found = connection.execute(select(table.c.id).where(table.c.id == id)).first()
    if found is None:
        raise ValueError(f"{table.name} {id!r}: there is none of that id")


def _change(connection: Connection, project_id: str, rater_id: str, values: dict) -> None:
    here = (member.c.project == project_id, member.c.rater == rater_id)
    if connection.execute(update(member).where(*here).values(**values)).rowcount == 0:
        raise ValueError(f"rater {rater_id!r} is no member of project {project_id!r}")


def _is_suspended(connection: Connection, project_id: str, rater_id: str) -> bool:
    here = (member.c.project == project_id, member.c.rater == rater_id)
    since = connection.execute(select(member.c.suspended_at).where(*here)).scalar()
    return since is not None


def _expect_another_lead(connection: Connection, project_id: str, rater_id: str) -> None:
    if _leads(connection, project_id) == [rater_id]:
        raise ValueError(
            f"rater {rater_id!r} is the only lead of project {project_id!r}; make another first"
        )


def _leads(connection: Connection, project_id: str) -> list[str]:
    here = (member.c.project == project_id, member.c.role == "lead")
    rows = select(member.c.rater).where(*here, member.c.suspended_at.is_(None))
    return list(connection.execute(rows).scalars())

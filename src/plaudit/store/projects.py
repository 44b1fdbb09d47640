"""Projects and the versions of their guidelines."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import select

from plaudit.store import schema
from plaudit.store.opening import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredProject:
    """A project as it stands in the store."""

    id: str
    config: str
    """Its project file, as JSON."""
    secret: str
    """Orders of candidates are drawn from it; it never leaves the server."""
    created_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Guideline:
    """One version of what raters are told."""

    version: str
    text: str
    sha256: str
    created_at: float


PROJECT_ID = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Lower-case letters, digits, - and _: it stands in addresses and in the log."""


def put_project(store: Store, id: str, config_json: str) -> None:
    """Make a project, or give it another config; its secret stays."""
    table = schema.project
    with store.writing() as connection:
        changed = connection.execute(
            table.update().where(table.c.id == id).values(config=config_json)
        )
        if not changed.rowcount:
            made = {"secret": secrets.token_hex(32), "created_at": time.time()}
            connection.execute(table.insert().values(id=id, config=config_json, **made))


def get_project(store: Store, id: str) -> StoredProject | None:
    """The project, None where there is none of that id."""
    with store.reading() as connection:
        row = connection.execute(select(schema.project).where(schema.project.c.id == id)).first()
    return StoredProject(**row._mapping) if row else None


def expect_project(store: Store, id: str) -> StoredProject:
    """The project.

    Raises:
        ValueError: there is none of that id; the message names those there are.
    """
    found = get_project(store, id)
    if found is None:
        known = ", ".join(one.id for one in projects(store)) or "none yet"
        raise ValueError(
            f"project {id}: not in this store; there are {known} (plaudit collect --project FILE "
            "makes the file's)"
        )
    return found


def projects(store: Store) -> tuple[StoredProject, ...]:
    """All projects, by id."""
    with store.reading() as connection:
        rows = connection.execute(select(schema.project).order_by(schema.project.c.id)).all()
    return tuple(StoredProject(**row._mapping) for row in rows)


def put_guideline(store: Store, project: str, version: str, text: str) -> None:
    """Record a version; the same text again is no new one.

    Raises:
        ValueError: the version stands there with another text.
    """
    table = schema.guideline
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    with store.writing() as connection:
        of_version = (table.c.project == project) & (table.c.version == version)
        there = connection.execute(select(table.c.sha256).where(of_version)).scalar()
        if there is None:
            row = {"project": project, "version": version, "text": text, "sha256": sha256}
            connection.execute(table.insert().values(**row, created_at=time.time()))
        elif there != sha256:
            raise ValueError(
                f"guideline {version} of {project}: stands with another text; judgments refer to "
                "it, so give the new text a new version"
            )


def latest_guideline(store: Store, project: str) -> Guideline | None:
    """The version recorded last, None where the project has none."""
    table = schema.guideline
    with store.reading() as connection:
        row = connection.execute(
            select(table.c.version, table.c.text, table.c.sha256, table.c.created_at)
            .where(table.c.project == project)
            .order_by(table.c.created_at.desc())
            .limit(1)
        ).first()
    return Guideline(**row._mapping) if row else None

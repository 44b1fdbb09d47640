"""A log as consensus reads it: what stands in one project, and up to where the log was read."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from plaudit.judgments import Item, Judgment
from plaudit.store import Store, StoredProject, items, open_store, projects, standing
from plaudit.store.log import chain_head

LOG = "judgments.db"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Items of a project, and the judgments of them that stand."""

    project: str
    config: str
    """The project's, as JSON."""
    items: tuple[Item, ...]
    judgments: tuple[Judgment, ...]
    """In the order they were recorded; skips and repeats among them."""
    last_seq: int
    """The log's last judgment when it was read."""
    head_sha256: str
    """Of that one: the log up to here is this one and no other."""


def log_file(name: str) -> Path:
    """The file of a log: itself, or ``judgments.db`` in an artifact.

    Raises:
        ValueError: there is none.
    """
    path = Path(name)
    file = path / LOG if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{name}: no log of judgments; expected a .db file, or a directory of one")
    return file


def settle_file(file: Path) -> None:
    """Bring what SQLite keeps beside a log into its file, so that the file's hash says all."""
    if file.with_name(f"{file.name}-wal").exists():
        with closing(sqlite3.connect(file, timeout=60)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def read_standing(name: str, *, project: str = "", question: str = "") -> Standing:
    """Read a log, or an artifact that holds one.

    Args:
        project: which one; may be empty where the log holds only one.
        question: which question's judgments and items; all where empty.

    Raises:
        ValueError: there is no such log, project or question.
    """
    with _opened(name) as store:
        here = _project(store, name, project)
        project = here.id
        with store.reading() as connection:
            head = chain_head(connection)
        asked = [stored.item for stored in items(store, project)]
        found = tuple(standing(store, project, question or None, last_seq=head.seq))
    kept = tuple(item for item in asked if question in ("", item.question))
    if not kept:
        there = ", ".join(sorted({item.question for item in asked})) or "no items"
        raise ValueError(f"{name}: project {project} has no items of {question!r}; it has {there}")
    return Standing(
        project=project, config=here.config, items=kept, judgments=found, last_seq=head.seq,
        head_sha256=head.sha256,
    )  # fmt: skip


@contextmanager
def _opened(name: str) -> Iterator[Store]:
    """The log; of an artifact a copy, since an open SQLite file is written to. A log that is in use
    is none, and its file alone would lack the latest."""
    if name.startswith("postgresql://"):
        store = open_store(name)
        yield store
        store.close()
        return
    file = log_file(name)
    with tempfile.TemporaryDirectory() as folder:
        if Path(name).is_dir() and not file.with_name(f"{file.name}-wal").exists():
            file = Path(shutil.copy(file, folder))
        with closing(open_store(file)) as store:
            yield store


def _project(store: Store, name: str, project: str) -> StoredProject:
    there = {found.id: found for found in projects(store)}
    if not project and len(there) == 1:
        return next(iter(there.values()))
    if project not in there:
        known = ", ".join(there) or "none"
        raise ValueError(f"{name}: project is {project!r}; expected one of the log's: {known}")
    return there[project]

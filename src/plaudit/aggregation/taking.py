"""Files of judgments into a store.

People's ids are never kept: a rater's is a short hash of the source's, salted with the project's
secret, so one person has one id in a project and nobody finds them by it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, select

from plaudit.aggregation.scales import check_marks, scales_of
from plaudit.formats.exchange import ChoiceMap, Entry, Reading, read_exchange
from plaudit.judgments import Item, Judgment, Rater
from plaudit.provenance import hash_file
from plaudit.store import Store, add_items, append, expect_project, record_event_in, schema
from plaudit.store.item_votes import Wanting, count_votes_on


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What an import brought."""

    items: int
    new_items: int
    judgments: int
    new_judgments: int
    unread: Mapping[str, int] = field(default_factory=dict)
    """What a judgment has no place for, by name; ``raw`` or ``columns`` hold it, or nothing."""


def take_judgments(
    store: Store,
    project: str,
    path: Path,
    *,
    format: str = "auto",
    trust_order: bool = False,
    choices: ChoiceMap | None = None,
    target_votes: int = 1,
    wanting: Wanting | None = None,
    with_names: bool = False,
    by: str = "import",
) -> Taken:
    """Add a file's items and judgments to a project; a file added twice is there once.

    Args:
        target_votes: how many judgments each new item is to have, those of the file among them.
        wanting: what raises that number where votes leave doubt.
        with_names: keep raters' names, where the source has them, in the table of raters.
        by: who asked for it, for the log of events.

    Raises:
        ValueError: there is no such project, or the file cannot be read; with file and line.
    """
    if target_votes < 1:
        raise ValueError(f"target votes are {target_votes}; expected 1 or more")
    stored = expect_project(store, project)
    secret = stored.secret
    reading = Reading(
        project=project, pseudonym=lambda id: pseudonym(secret, id), trust_order=trust_order,
        choices=choices or ChoiceMap(),
    )  # fmt: skip
    entries = read_exchange(path, reading, format)
    check_marks(entries, scales_of(stored.config))
    judgments = [judgment for entry in entries for judgment in entry.judgments]
    found = _items_of(entries)
    new_items = add_items(store, project, found, target_votes)
    detail = {"file": path.name, "sha256": _hash(path), "judgments": len(judgments)}

    def also(connection: Connection) -> None:
        _record_raters(connection, project, judgments, _names(entries) if with_names else {})
        count_votes_on(connection, project, {judgment.item for judgment in judgments}, wanting)
        record_event_in(connection, project, by, "imported", detail)

    receipts = append(store, judgments, also)
    return Taken(
        items=len(found), new_items=new_items, judgments=len(receipts),
        new_judgments=sum(receipt.is_new for receipt in receipts),
        unread=Counter(name for entry in entries for name in entry.unread),
    )  # fmt: skip


def pseudonym(secret: str, id: str) -> str:
    """The rater's id for a source's id of a person, 16 hexadecimal digits."""
    return hmac.new(secret.encode(), id.encode(), hashlib.sha256).hexdigest()[:16]


def _hash(path: Path) -> str:
    return hash_file(path / "records.json" if path.is_dir() else path)


def _items_of(entries: Iterable[Entry]) -> list[Item]:
    found: dict[str, Item] = {}
    for entry in entries:
        found.setdefault(entry.item.id, entry.item)
    return list(found.values())


def _names(entries: Iterable[Entry]) -> dict[str, str]:
    return {id: name for entry in entries for id, name in entry.names.items()}


def _record_raters(
    connection: Connection, project: str, judgments: Sequence[Judgment], names: Mapping[str, str]
) -> None:
    """Give each rater of the file a place among the raters and, if human, in the project."""
    raters: dict[str, Rater] = {judgment.rater.id: judgment.rater for judgment in judgments}
    known = set(connection.execute(select(schema.rater.c.id)).scalars())
    of_project = select(schema.member.c.rater).where(schema.member.c.project == project)
    members = set(connection.execute(of_project).scalars())
    now = connection.execute(select(func.max(schema.judgment.c.recorded_at))).scalar() or 0.0
    new = [rater for id, rater in raters.items() if id not in known]
    joining = [r.id for r in raters.values() if r.kind == "human" and r.id not in members]
    if new:
        rows = [{"id": r.id, "kind": r.kind, "version": r.version, "name": names.get(r.id),
                 "created_at": now} for r in new]  # fmt: skip
        connection.execute(schema.rater.insert(), rows)
    if joining:
        rows = [{"project": project, "rater": id, "role": "rater"} for id in joining]
        connection.execute(schema.member.insert(), rows)

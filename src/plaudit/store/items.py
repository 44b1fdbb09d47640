"""Items: what is judged, and how many votes it has and wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, select

from plaudit.judgments import Item, fingerprint, written_json
from plaudit.store import schema
from plaudit.store.opening import Store

_CHUNK_ROWS = 500
_T = schema.item


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredItem:
    """An item as it stands in the store."""

    number: int
    item: Item
    sha256: str
    is_gold: bool
    target_votes: int
    votes: int
    """That stand, without skips."""
    is_open: bool
    """Whether it wants more votes."""
    disagreement: float
    """Share of the pairs of raters who answered it differently, strength aside: a tally, which
    follows the votes within a second or so."""


def add_items(store: Store, project: str, items: Iterable[Item], target_votes: int) -> int:
    """Add items, in one transaction; those that are there already are left as they are.

    Returns:
        how many are new.

    Raises:
        ValueError: the project is not there, or an id is taken by another prompt or candidates.
    """
    added, source = 0, iter(items)
    with store.writing() as connection:
        _check_project(connection, project)
        while chunk := list(islice(source, _CHUNK_ROWS)):
            rows = _new_rows(connection, project, chunk, target_votes)
            if rows:
                connection.execute(_T.insert(), rows)
            added += len(rows)
    return added


def get_item(store: Store, project: str, id: str) -> StoredItem | None:
    """The item, None where there is none of that id."""
    with store.reading() as connection:
        row = connection.execute(select(_T).where(_T.c.project == project, _T.c.id == id)).first()
    return stored_item(row) if row else None


def items(store: Store, project: str) -> Iterator[StoredItem]:
    """All items of a project, in the order they were added."""
    query, after = select(_T).where(_T.c.project == project).order_by(_T.c.number), 0
    while True:
        with store.reading() as connection:
            rows = connection.execute(query.where(_T.c.number > after).limit(_CHUNK_ROWS)).all()
        yield from map(stored_item, rows)
        if len(rows) < _CHUNK_ROWS:
            return
        after = rows[-1].number


# Each item is asked for several times within a minute: given, judged, counted, by a few raters.
@lru_cache(maxsize=2000)
def item_of(content: str) -> Item:
    """The item as it stands in its table."""
    return Item.model_validate_json(content)


def stored_item(row: Row) -> StoredItem:
    """Of a whole row of the table ``item``."""
    return StoredItem(
        number=row.number, item=Item.model_validate_json(row.content), sha256=row.sha256,
        is_gold=row.is_gold, target_votes=row.target_votes, votes=row.votes, is_open=row.is_open,
        disagreement=row.disagreement,
    )  # fmt: skip


def _check_project(connection: Connection, project: str) -> None:
    of_id = select(schema.project.c.id).where(schema.project.c.id == project)
    if connection.execute(of_id).first() is None:
        raise ValueError(f"project {project}: not in this store; make it first")


def _new_rows(
    connection: Connection, project: str, chunk: Sequence[Item], target_votes: int
) -> list[dict[str, Any]]:
    ids = [item.id for item in chunk]
    known = connection.execute(
        select(_T.c.id, _T.c.sha256).where(_T.c.project == project, _T.c.id.in_(ids))
    )
    there = {row.id: row.sha256 for row in known}
    rows = []
    for item in chunk:
        row = _row(project, item, target_votes)
        if item.id not in there:
            there[item.id] = row["sha256"]
            rows.append(row)
        elif there[item.id] != row["sha256"]:
            raise ValueError(
                f"item {item.id} of {project}: is there with another prompt, candidates or "
                "question; judgments refer to it, so give the new one a new id"
            )
    return rows


def _row(project: str, item: Item, target_votes: int) -> dict[str, Any]:
    return {
        "project": project, "id": item.id, "question": item.question, "stratum": item.stratum,
        "priority": item.priority, "content": written_json(item), "sha256": fingerprint(item),
        "is_gold": item.gold is not None, "target_votes": target_votes,
        "is_open": item.gold is None,
    }  # fmt: skip

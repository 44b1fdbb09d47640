"""Items that raters differ on, and the answer that settles one: a judgment like others, marked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select, update

from plaudit.aggregation import ADJUDICATED
from plaudit.feedback.assignment.answers import Sent, check_fits
from plaudit.feedback.projects.project import Project
from plaudit.judgments import Judgment, Rater, Withdrawn
from plaudit.store import Store, StoredItem, Writer, latest_guideline, stored_item
from plaudit.store.schema import item as item_table
from plaudit.store.schema import judgment as judgment_table

_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One judgment in an item's history."""

    seq: int
    judgment: Judgment
    stands: bool
    """Neither superseded nor taken back; a suspended rater's stands, and does not count."""


def item_numbered(store: Store, project: str, number: int) -> StoredItem | None:
    """An item of the project by its number in the store; None where there is none."""
    table = item_table
    here = select(table).where(table.c.project == project, table.c.number == number)
    with store.reading() as connection:
        row = connection.execute(here).first()
    return None if row is None else stored_item(row)


def history(store: Store, project: str, item: str) -> tuple[Said, ...]:
    """Everything that was said of an item and not erased, the first first."""
    table = judgment_table
    here = (table.c.project == project, table.c.item == item, table.c.body.is_not(None))
    rows = select(table.c.seq, table.c.body).where(*here).order_by(table.c.seq)
    with store.reading() as connection:
        said = [
            (row.seq, Judgment.model_validate_json(row.body)) for row in connection.execute(rows)
        ]
    replaced = {judgment.supersedes for _, judgment in said}
    return tuple(
        Said(
            seq=seq,
            judgment=judgment,
            stands=judgment.id not in replaced and not isinstance(judgment.answer, Withdrawn),
        )
        for seq, judgment in said
    )


def differing(store: Store, project: str, item: str) -> float:
    """The share of the pairs of raters who answered an item differently; 0 where none did."""
    here = (item_table.c.project == project, item_table.c.id == item)
    with store.reading() as connection:
        return connection.execute(select(item_table.c.disagreement).where(*here)).scalar() or 0.0


def adjudicate(
    store: Store, writer: Writer, project: Project, number: int, rater: str, sent: Sent
) -> int:
    """Settle an item; an adjudicator's earlier answer to it is superseded. Returns its seq.

    Candidates stand in the item's own order. Sent twice, it is one judgment.

    Raises:
        LookupError: there is no such item in the project.
        ValueError: the answer does not fit the question, or its id is taken.
    """
    found = item_numbered(store, project.id, number)
    if found is None:
        raise LookupError(f"item {number}: not in project {project.id}")
    check_fits(sent, project.question(found.item.question), found.item)
    said = history(store, project.id, found.item.id)
    mine = [one for one in said if one.judgment.rater.id == rater and settles(one)]
    if again := [one for one in mine if one.judgment.id == sent.id]:
        if again[0].judgment.answer != sent.answer:
            raise ValueError(f"judgment {sent.id}: recorded already with another answer")
        return again[0].seq
    guideline = latest_guideline(store, project.id)
    judgment = _judgment(found, project.id, rater, sent).model_copy(
        update={
            "supersedes": mine[-1].judgment.id if mine else "",
            "guideline_version": guideline.version if guideline else "",
        }
    )
    future = writer.submit(judgment, lambda connection: _close(connection, number))
    return future.result(timeout=_WAIT_SECONDS).seq


def settles(said: Said) -> bool:
    """Whether it is an adjudicator's answer that stands or stood."""
    return ADJUDICATED in said.judgment.flags


def _judgment(found: StoredItem, project: str, rater: str, sent: Sent) -> Judgment:
    return Judgment(
        id=sent.id,
        project=project,
        item=found.item.id,
        item_sha256=found.sha256,
        question=found.item.question,
        rater=Rater(id=rater),
        answer=sent.answer,
        shown=tuple(range(len(found.item.candidates))),
        criteria=sent.criteria,
        confidence=sent.confidence,
        rationale=sent.rationale,
        flags=(ADJUDICATED, *sent.flags),
        submitted_at=datetime.fromtimestamp(time.time(), UTC),
        active_seconds=sent.active_seconds,
    )


def _close(connection: Connection, number: int) -> None:
    """It asks for no more votes."""
    here = item_table.c.number == number
    connection.execute(update(item_table).where(here).values(is_open=False))

"""What becomes of an assignment: judged, skipped, undone, left with a draft.

Everything is done in the transaction that records the judgment, so that log and tables agree
whatever is cut off. No answer is thrown away: one that comes after its lease ran out counts too,
and may then be a vote more than the item wanted.
"""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row

from plaudit.feedback.assignment import Assignment, Conflict, Refused, assignment_of, case_of
from plaudit.feedback.assignment_answers import (
    Sent,
    check_fits,
    marks_of_item,
    marks_of_places,
    of_item,
    of_places,
)
from plaudit.feedback.assignment_policy import rater_key
from plaudit.feedback.assignment_votes import disagreement, verdicts_possible, votes_needed
from plaudit.feedback.project import Project, project_of
from plaudit.judgments import Answer, Item, Judgment, Rater, Skipped, Withdrawn
from plaudit.store import Receipt, Store, Writer, find, get_project, record_event_in
from plaudit.store import assignment_queue as queue
from plaudit.store import assignments as table


def submit(
    writer: Writer, assignment: str, rater: str, sent: Sent, now: float | None = None
) -> Receipt:
    """Record an answer; returns once it has reached the disk.

    Sent twice under one id it is recorded once.

    Raises:
        ValueError: the answer does not fit the question or the item.
        Refused: the assignment is another rater's.
        Conflict: the assignment was judged or skipped already, with another id or answer.
    """
    at = time.time() if now is None else now
    with writer.store.reading() as connection:
        row = case_of(connection, assignment, rater)
    item = Item.model_validate_json(row.content)
    check_fits(sent, project_of(row.config).question(item.question), item)
    shown = table.shown_of(row)
    judgment = _judgment(row, item, sent.id, of_item(sent.answer, shown), at).model_copy(
        update={
            "criteria": marks_of_item(sent.criteria, shown),
            "rationale": sent.rationale,
            "flags": sent.flags,
            "confidence": sent.confidence,
            "active_seconds": sent.active_seconds,
        }
    )
    if row.judgment == sent.id:
        return _sent_before(writer.store, judgment)
    return _record(writer, judgment, item)


def skip(
    writer: Writer,
    assignment: str,
    rater: str,
    reason: str,
    note: str = "",
    now: float | None = None,
) -> Receipt:
    """Record that the rater gives no answer, and why; others get the item.

    Raises:
        ValueError: the reason is none of the project's.
        Refused: the assignment is another rater's.
        Conflict: the assignment was judged already.
    """
    at = time.time() if now is None else now
    with writer.store.reading() as connection:
        row = case_of(connection, assignment, rater)
    reasons = project_of(row.config).skip_reasons
    if reason not in reasons:
        raise ValueError(f"reason is {reason!r}; expected one of {', '.join(reasons)}")
    item = Item.model_validate_json(row.content)
    # The log has one skip of an assignment, however often it is sent; undone, it is a new one.
    id = f"skip-{assignment}-{row.opened_at:.6f}"
    judgment = _judgment(row, item, id, Skipped(reason=reason), at)
    judgment = judgment.model_copy(update={"rationale": note})
    if row.judgment == id:
        return _sent_before(writer.store, judgment)
    return _record(writer, judgment, item)


def undo(writer: Writer, project: str, rater: str, now: float | None = None) -> Assignment | None:
    """Take back the rater's last submission or skip; None where there is none to take back.

    The log gets a ``Withdrawn``, and the assignment opens again with the answer as its draft.
    Only the last ``undo_last`` assignments may be undone.
    """
    at = time.time() if now is None else now
    stored = get_project(writer.store, project)
    if stored is None:
        raise Refused(f"project {project}: there is none of that name")
    config = project_of(stored.config)
    with writer.store.reading() as connection:
        last = table.last_closed(
            connection, rater_key(stored.secret, rater), rater, config.undo_last
        )
        row = None if last is None else case_of(connection, last, rater)
    if row is None:
        return None
    item = Item.model_validate_json(row.content)
    withdrawn = _judgment(row, item, f"undo-{secrets.token_hex(8)}", Withdrawn(), at)
    withdrawn = withdrawn.model_copy(update={"supersedes": row.judgment})
    logged = find(writer.store, row.judgment)
    draft = _as_draft(logged.judgment if logged else None, table.shown_of(row))

    def reopen(connection: Connection) -> Assignment:
        now_row = case_of(connection, row.id, rater)
        if now_row.judgment != row.judgment:
            raise Conflict(f"assignment {row.id}: undone already; ask for the next one")
        table.reopen(connection, row.id, at, at + config.lease_seconds)
        if draft is not None:
            table.put_draft(connection, row.id, draft, at)
        if row.state == "judged" and not row.turn:
            _count(connection, now_row, config, item, change=-1)
        record_event_in(connection, project, rater, "undone", {"judgment": row.judgment})
        return row

    writer.submit(withdrawn, reopen).result()
    with writer.store.reading() as connection:
        return assignment_of(connection, row.id)


def save_draft(
    store: Store, assignment: str, rater: str, body: str, now: float | None = None
) -> None:
    """Keep what the rater has entered so far, as JSON, and the assignment for as long again.

    Raises:
        Refused: the assignment is another rater's.
        Conflict: it was judged or skipped already.
    """
    at = time.time() if now is None else now
    with table.leasing(store) as connection:
        row = case_of(connection, assignment, rater)
        if row.state not in ("open", "expired"):
            raise Conflict(f"assignment {assignment}: {row.state} already; undo it to change it")
        table.put_draft(connection, assignment, body, at)
        table.extend(connection, assignment, at + project_of(row.config).lease_seconds)


def _judgment(row: Row[Any], item: Item, id: str, answer: Answer, at: float) -> Judgment:
    return Judgment(
        id=id,
        project=row.project,
        item=item.id,
        item_sha256=row.sha256,
        question=item.question,
        rater=Rater(id=row.rater, kind=row.rater_kind, version=row.rater_version),
        answer=answer,
        shown=table.shown_of(row),
        guideline_version=row.guideline or "",
        is_gold=row.is_gold,
        is_repeat=row.turn == 1,
        assignment=row.id,
        opened_at=datetime.fromtimestamp(row.opened_at, UTC),
        submitted_at=datetime.fromtimestamp(at, UTC),
    )


def _record(writer: Writer, judgment: Judgment, item: Item) -> Receipt:
    try:
        return writer.submit(
            judgment, lambda connection: _settle(connection, judgment, item)
        ).result()
    except ValueError:
        # The same may have come twice at once, and the other one been first.
        with writer.store.reading() as connection:
            row = case_of(connection, judgment.assignment, judgment.rater.id)
        if row.judgment != judgment.id:
            raise
        return _sent_before(writer.store, judgment)


def _settle(connection: Connection, judgment: Judgment, item: Item) -> None:
    """Close the assignment by the judgment, and count the vote."""
    row = case_of(connection, judgment.assignment, judgment.rater.id)
    if row.judgment == judgment.id:
        return
    if row.state not in ("open", "expired"):
        raise Conflict(
            f"assignment {row.id}: {row.state} already; ask for the next one, or undo this one"
        )
    is_skip = isinstance(judgment.answer, Skipped)
    state = "skipped" if is_skip else "judged"
    table.close(connection, row.id, state, judgment.id, judgment.submitted_at.timestamp())
    if not is_skip and not row.turn:
        _count(connection, row, project_of(row.config), item, change=1)


def _count(
    connection: Connection, row: Row[Any], project: Project, item: Item, change: int
) -> None:
    """Votes, wanted votes and disagreement of an item, after an assignment of it was closed."""
    question = project.question(item.question)
    bodies = table.standing_bodies(connection, row.item)
    answers = [Judgment.model_validate_json(body).answer for body in bodies]
    possible = verdicts_possible(question, len(item.candidates), len(item.steps))
    base = project.votes_wanted(item.stratum)
    target = votes_needed(base, project.overlap.adaptive, answers, possible)
    votes = row.votes + change
    queue.set_votes(
        connection, row.item, votes=votes, target=target,
        is_open=votes < target and not row.is_gold, disagreement=disagreement(answers, question),
    )  # fmt: skip


def _sent_before(store: Store, judgment: Judgment) -> Receipt:
    """The receipt of a judgment that stands in the log, for one that is sent again.

    Raises:
        Conflict: it stands there with another answer.
    """
    logged = find(store, judgment.id)
    assert logged is not None, "an assignment names a judgment that is not in the log"
    before = logged.judgment
    told = ("answer", "criteria", "rationale", "flags", "confidence")
    if before and any(getattr(before, name) != getattr(judgment, name) for name in told):
        raise Conflict(
            f"judgment {judgment.id}: recorded with another answer; undo it to change it"
        )
    return Receipt(seq=logged.seq, sha256=logged.sha256, is_new=False)


def _as_draft(judgment: Judgment | None, shown: tuple[int, ...]) -> str | None:
    """The answer as a browser would have it; None for a skip."""
    if judgment is None or isinstance(judgment.answer, Skipped):
        return None
    body = {
        "answer": of_places(judgment.answer, shown).model_dump(mode="json"),
        "criteria": marks_of_places(judgment.criteria, shown),
        "rationale": judgment.rationale,
        "flags": judgment.flags,
        "confidence": judgment.confidence,
    }
    return json.dumps(body, ensure_ascii=False)

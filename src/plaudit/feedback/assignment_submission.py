"""What becomes of an assignment: judged, skipped, undone, left with a draft.

Everything is done in the transaction that records the judgment, so that log and tables agree
whatever is cut off. No answer is thrown away: one that comes after its lease ran out counts too,
and may then be a vote more than the item wanted.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

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
from plaudit.feedback.questions import Question
from plaudit.judgments import Answer, Item, Judgment, Rater, Skipped, Withdrawn
from plaudit.store import Receipt, Store, Writer, find, get_project, record_event_in
from plaudit.store import assignment_queue as queue
from plaudit.store import assignments as table
from plaudit.store.assignments import AnyRow


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """An assignment with all that its answer is checked against and counted by."""

    row: AnyRow
    item: Item
    project: Project
    at: float

    @property
    def question(self) -> Question:
        return self.project.question(self.item.question)

    @property
    def shown(self) -> tuple[int, ...]:
        return table.shown_of(self.row)


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
    case = _case(writer.store, assignment, rater, now)
    check_fits(sent, case.question, case.item)
    said = {
        "criteria": marks_of_item(sent.criteria, case.shown),
        "rationale": sent.rationale,
        "flags": sent.flags,
        "confidence": sent.confidence,
        "active_seconds": sent.active_seconds,
    }
    return _record(writer, case, _judgment(case, sent.id, of_item(sent.answer, case.shown), said))


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
    case = _case(writer.store, assignment, rater, now)
    if reason not in case.project.skip_reasons:
        expected = ", ".join(case.project.skip_reasons)
        raise ValueError(f"reason is {reason!r}; expected one of {expected}")
    # Named by the assignment and when it was opened: sent twice it is one skip, and after an undo
    # it is another.
    id = f"skip-{assignment}-{case.row.opened_at:.6f}"
    return _record(writer, case, _judgment(case, id, Skipped(reason=reason), {"rationale": note}))


def undo(writer: Writer, project: str, rater: str, now: float | None = None) -> Assignment | None:
    """Take back the rater's last submission or skip; None where there is none to take back.

    The log gets a ``Withdrawn``, and the assignment opens again with the answer as its draft.
    Only the last ``undo_last`` assignments may be undone.

    Raises:
        Refused: there is no such project.
        Conflict: it is being undone in another window.
    """
    last = _last_closed(writer.store, project, rater)
    if last is None:
        return None
    case = _case(writer.store, last, rater, now)
    taken_back = find(writer.store, case.row.judgment)
    withdrawn = _judgment(
        case, f"undo-{secrets.token_hex(8)}", Withdrawn(), {"supersedes": case.row.judgment}
    )
    draft = _as_draft(taken_back.judgment if taken_back else None, case.shown)
    writer.submit(withdrawn, lambda connection: _reopen(connection, case, draft)).result()
    with writer.store.reading() as connection:
        return assignment_of(connection, last)


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


def _case(store: Store, assignment: str, rater: str, now: float | None) -> _Case:
    with store.reading() as connection:
        row = case_of(connection, assignment, rater)
    at = time.time() if now is None else now
    item = Item.model_validate_json(row.content)
    return _Case(row=row, item=item, project=project_of(row.config), at=at)


def _judgment(case: _Case, id: str, answer: Answer, said: Mapping[str, Any]) -> Judgment:
    row = case.row
    return Judgment(
        id=id,
        project=case.project.id,
        item=case.item.id,
        item_sha256=row.sha256,
        question=case.item.question,
        rater=Rater(id=row.rater, kind=row.rater_kind, version=row.rater_version),
        answer=answer,
        shown=case.shown,
        guideline_version=row.guideline or "",
        is_gold=row.is_gold,
        is_repeat=row.turn == 1,
        assignment=row.id,
        opened_at=datetime.fromtimestamp(row.opened_at, UTC),
        submitted_at=datetime.fromtimestamp(case.at, UTC),
        **said,
    )


def _record(writer: Writer, case: _Case, judgment: Judgment) -> Receipt:
    if case.row.judgment == judgment.id:
        return _sent_before(writer.store, judgment)
    try:
        return writer.submit(judgment, lambda c: _settle(c, case, judgment)).result()
    except ValueError:
        # The same may have come twice at once, and the other one been first.
        with writer.store.reading() as connection:
            if table.state_of(connection, case.row.id).judgment != judgment.id:
                raise
        return _sent_before(writer.store, judgment)


def _settle(connection: Connection, case: _Case, judgment: Judgment) -> None:
    """Close the assignment by the judgment, and count the vote."""
    current = table.state_of(connection, case.row.id)
    if current.judgment == judgment.id:
        return
    if current.state not in ("open", "expired"):
        raise Conflict(
            f"assignment {case.row.id}: {current.state} already; ask for the next one, or undo"
        )
    is_skip = isinstance(judgment.answer, Skipped)
    state = "skipped" if is_skip else "judged"
    table.close(connection, case.row.id, state, judgment.id, case.at)
    if not is_skip and not case.row.turn:
        _count(connection, case, current.votes + 1)


def _last_closed(store: Store, project: str, rater: str) -> str | None:
    stored = get_project(store, project)
    if stored is None:
        raise Refused(f"project {project}: there is none of that name")
    key, among = rater_key(stored.secret, rater), project_of(stored.config).undo_last
    with store.reading() as connection:
        return table.last_closed(connection, key, rater, among)


def _reopen(connection: Connection, case: _Case, draft: str | None) -> None:
    row, current = case.row, table.state_of(connection, case.row.id)
    if current.judgment != row.judgment:
        raise Conflict(f"assignment {row.id}: undone already; ask for the next one")
    table.reopen(connection, row.id, case.at, case.at + case.project.lease_seconds)
    if draft is not None:
        table.put_draft(connection, row.id, draft, case.at)
    if row.state == "judged" and not row.turn:
        _count(connection, case, current.votes - 1)
    detail = {"judgment": row.judgment}
    record_event_in(connection, case.project.id, row.rater, "undone", detail)


def _count(connection: Connection, case: _Case, votes: int) -> None:
    """Votes, wanted votes and disagreement of an item, after an assignment of it was closed."""
    bodies = table.standing_bodies(connection, case.row.item)
    answers = [Judgment.model_validate_json(body).answer for body in bodies]
    possible = verdicts_possible(case.question, len(case.item.candidates), len(case.item.steps))
    base = case.project.votes_wanted(case.item.stratum)
    target = votes_needed(base, case.project.overlap.adaptive, answers, possible)
    queue.set_votes(
        connection,
        case.row.item,
        votes=votes,
        target_votes=target,
        is_open=votes < target and not case.row.is_gold,
        disagreement=disagreement(answers, case.question),
    )


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

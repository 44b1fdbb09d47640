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
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from plaudit.feedback.assignment.answers import (
    Sent,
    check_fits,
    marks_of_item,
    marks_of_places,
    of_item,
    of_places,
)
from plaudit.feedback.assignment.case import Case, case_in, count_votes
from plaudit.feedback.assignment.giving import Assignment, Conflict, Refused, assignment_of
from plaudit.feedback.assignment.policy import rater_key
from plaudit.feedback.projects.project import project_of
from plaudit.judgments import Answer, Judgment, Rater, Skipped, Withdrawn
from plaudit.store import Appending, Receipt, Writer, find_in, record_event_in
from plaudit.store import assignment_changes as changes
from plaudit.store import assignments as table
from plaudit.store.turns import Turns, alone


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

    def work(log: Appending) -> Turns[Receipt]:
        return submit_in((yield from case_in(log, assignment, rater, at)), sent)

    return writer.run(work).result()


def submit_in(case: Case, sent: Sent) -> Receipt:
    """``submit`` within a transaction of the writer."""
    check_fits(sent, case.question, case.item)
    said = {
        "criteria": marks_of_item(sent.criteria, case.shown),
        "rationale": sent.rationale,
        "flags": sent.flags,
        "confidence": sent.confidence,
        "active_seconds": sent.active_seconds,
    }
    return _record(case, _judgment(case, sent.id, of_item(sent.answer, case.shown), said))


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

    def work(log: Appending) -> Turns[Receipt]:
        return skip_in((yield from case_in(log, assignment, rater, at)), reason, note)

    return writer.run(work).result()


def skip_in(case: Case, reason: str, note: str) -> Receipt:
    """``skip`` within a transaction of the writer."""
    if reason not in case.project.skip_reasons:
        expected = ", ".join(case.project.skip_reasons)
        raise ValueError(f"reason is {reason!r}; expected one of {expected}")
    # Named by the assignment and when it was opened: sent twice it is one skip, and after an undo
    # it is another.
    id = f"skip-{case.row.id}-{case.row.opened_at:.6f}"
    return _record(case, _judgment(case, id, Skipped(reason=reason), {"rationale": note}))


def undo(writer: Writer, project: str, rater: str, now: float | None = None) -> Assignment | None:
    """Take back the rater's last submission or skip; None where there is none to take back.

    The log gets a ``Withdrawn``, and the assignment opens again with the answer as its draft.
    Only the last ``undo_last`` assignments may be undone.

    Raises:
        Refused: there is no such project.
    """
    at = time.time() if now is None else now
    return writer.run(lambda log: undo_in(log, project, rater, at)).result()


def undo_in(log: Appending, project: str, rater: str, at: float) -> Assignment | None:
    """``undo`` within a transaction of the writer."""
    last = _last_closed(log.connection, project, rater)
    if last is None:
        return None
    case = alone(case_in(log, last, rater, at))
    taken_back = find_in(log.connection, case.row.judgment)
    withdrawn = _judgment(
        case, f"undo-{secrets.token_hex(8)}", Withdrawn(), {"supersedes": case.row.judgment}
    )
    draft = _as_draft(taken_back.judgment if taken_back else None, case.shown)
    log.append(withdrawn)
    _reopen(case, draft)
    return alone(assignment_of(log.connection, last))


def save_draft(
    writer: Writer, assignment: str, rater: str, body: str, now: float | None = None
) -> None:
    """Keep what the rater has entered so far, as JSON, and the assignment for as long again.

    Raises:
        Refused: the assignment is another rater's.
        Conflict: it was judged or skipped already.
    """
    at = time.time() if now is None else now
    writer.run(lambda log: save_draft_in(log, assignment, rater, body, at)).result()


def save_draft_in(log: Appending, assignment: str, rater: str, body: str, at: float) -> Turns[None]:
    """``save_draft`` within a transaction of the writer."""
    case = yield from case_in(log, assignment, rater, at)
    if case.row.state not in ("open", "expired"):
        raise Conflict(f"assignment {assignment}: {case.row.state} already; undo it to change it")
    changes.put_draft(log.connection, assignment, body, at)
    changes.extend(log.connection, assignment, at + case.project.lease_seconds)


def _judgment(case: Case, id: str, answer: Answer, said: Mapping[str, Any]) -> Judgment:
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


def _record(case: Case, judgment: Judgment) -> Receipt:
    """Append the judgment, close the assignment by it, and count the vote."""
    row, connection = case.row, case.log.connection
    if row.judgment == judgment.id:
        return _sent_before(connection, judgment)
    if row.state not in ("open", "expired"):
        raise Conflict(f"assignment {row.id}: {row.state} already; ask for the next one, or undo")
    receipt = case.log.append(judgment)
    is_skip = isinstance(judgment.answer, Skipped)
    changes.close(connection, row.id, "skipped" if is_skip else "judged", judgment.id, case.at)
    if row.has_draft:
        changes.forget_draft(connection, row.id)
    if not is_skip and case.gives_a_vote:
        count_votes(case, row.votes + 1, judgment.answer)
    return receipt


def _last_closed(connection: Connection, project: str, rater: str) -> str | None:
    here = table.membership(connection, project, rater).first()
    if here is None:
        raise Refused(f"project {project}: there is none of that name")
    among = project_of(here.config).undo_last
    return table.last_closed(connection, rater_key(here.secret, rater), rater, among)


def _reopen(case: Case, draft: str | None) -> None:
    row, connection = case.row, case.log.connection
    changes.reopen(connection, row.id, case.at, case.at + case.project.lease_seconds)
    if draft is not None:
        changes.put_draft(connection, row.id, draft, case.at)
    if row.state == "judged" and case.gives_a_vote:
        count_votes(case, row.votes - 1)
    detail = {"judgment": row.judgment}
    record_event_in(connection, case.project.id, row.rater, "undone", detail)


def _sent_before(connection: Connection, judgment: Judgment) -> Receipt:
    """The receipt of a judgment that stands in the log, for one that is sent again.

    Raises:
        Conflict: it stands there with another answer.
    """
    logged = find_in(connection, judgment.id)
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

"""An assignment that is being answered: what its answer is checked against and counted by."""

from __future__ import annotations

from dataclasses import dataclass

from plaudit.feedback.assignment.giving import Assignment, Refused, give_after
from plaudit.feedback.assignment.votes import votes_wanted
from plaudit.feedback.projects.project import Project, project_of
from plaudit.feedback.projects.questions import Question
from plaudit.judgments import Answer, Item, Judgment
from plaudit.store import Appending
from plaudit.store import assignment_case as cases
from plaudit.store import assignment_queue as queue
from plaudit.store import assignments as table
from plaudit.store.items import item_of
from plaudit.store.prepared import AnyRow, Asked
from plaudit.store.turns import Turns
from plaudit.store.votes import is_counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """An assignment with all that its answer is checked against and counted by."""

    log: Appending
    row: AnyRow
    item: Item
    project: Project
    at: float
    last: Asked
    """The rater's assignments up to this one."""

    @property
    def question(self) -> Question:
        return self.project.question(self.item.question)

    @property
    def gives_a_vote(self) -> bool:
        """A repeat gives none, nor does who was suspended meanwhile."""
        return not self.row.turn and self.row.suspended_at is None

    @property
    def shown(self) -> tuple[int, ...]:
        return table.shown_of(self.row)


def case_in(log: Appending, assignment: str, rater: str, at: float) -> Turns[Case]:
    """A rater's assignment, within a transaction of the writer, to be changed.

    Raises:
        Refused: the assignment is another rater's.
    """
    while True:
        since, last = len(log.touched), table.recent_around(log.connection, assignment, rater)
        asked = cases.case(log.connection, assignment)
        yield
        row = asked.first()
        if row is None or row.rater != rater:
            raise Refused(f"assignment {assignment}: not one of yours; ask for the next one")
        if {rater, row.item}.isdisjoint(log.touched[since:]):
            break
    log.touched += [rater, row.item]
    item, project = item_of(row.content), project_of(row.config)
    return Case(log=log, row=row, item=item, project=project, at=at, last=last)


def after(case: Case) -> Turns[Assignment | None]:
    """The task after one that was submitted or skipped; None where there is none, or not for who
    was suspended meanwhile and has judged all the same."""
    try:
        return (yield from give_after(case.log.connection, case.row, case.last, case.at))
    except Refused:
        return None


def count_votes(case: Case, votes: int, *own: Answer) -> None:
    """Write down how many votes the item has, after the assignment was closed or reopened, and how
    many it wants: by those of others and what this one says now, if anything."""
    adaptive = case.project.overlap.adaptive
    target = case.project.votes_wanted(case.item.stratum) if adaptive else case.row.target_votes
    if adaptive is not None and votes >= target:  # fewer leave no doubt of how many are wanted
        others = map(Judgment.model_validate_json, cases.other_bodies(case.row))
        answers = [*own, *(other.answer for other in others if is_counted(other))]
        target = votes_wanted(case.project, case.item, answers)
    queue.set_votes(
        case.log.connection, case.row.item, votes=votes, target_votes=target,
        is_open=votes < target and not case.row.is_gold and not _is_closed_for_good(case),
    )  # fmt: skip


def _is_closed_for_good(case: Case) -> bool:
    """Settled; an item that is open is not, and need not be looked up."""
    return not case.row.is_open and queue.is_settled_item(case.log.connection, case.row.item)

"""Strata that raters decline: which, and what becomes of what they were given of them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from plaudit.store.opening import Store
from plaudit.store.schema import assignment, declined, draft, item


def declined_strata(store: Store, project: str, rater: str) -> list[str]:
    """What the rater declines, by name in order."""
    here = (declined.c.project == project, declined.c.rater == rater)
    asked = select(declined.c.stratum).where(*here).order_by(declined.c.stratum)
    with store.reading() as connection:
        return list(connection.execute(asked).scalars())


def set_declined(
    connection: Connection, project: str, rater: str, strata: Collection[str], at: float
) -> None:
    """Let the rater have nothing more of these strata, and of no others.

    What they were given of them and have not judged is taken back, for others to have.
    """
    here = (declined.c.project == project, declined.c.rater == rater)
    connection.execute(declined.delete().where(*here))
    if not strata:
        return
    rows = [{"project": project, "rater": rater, "stratum": stratum} for stratum in set(strata)]
    connection.execute(declined.insert(), rows)
    theirs = (
        assignment.c.project == project, assignment.c.rater == rater,
        assignment.c.state.in_(("open", "expired")),
        assignment.c.item.in_(
            select(item.c.number).where(item.c.project == project, item.c.stratum.in_(strata))
        ),
    )  # fmt: skip
    connection.execute(
        draft.delete().where(draft.c.assignment.in_(select(assignment.c.id).where(*theirs)))
    )
    taken_back = assignment.update().where(*theirs).values(state="declined", closed_at=at)
    connection.execute(taken_back)


def keep_declined(connection: Connection, project: str, strata: Collection[str]) -> None:
    """Forget who declines what is none of these: nobody could take it back any more."""
    gone = (declined.c.project == project, declined.c.stratum.not_in(strata))
    connection.execute(declined.delete().where(*gone))

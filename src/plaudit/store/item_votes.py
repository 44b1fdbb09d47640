"""The votes of items when a rater's stop or begin to count."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam, select

from plaudit.store.schema import item, vote
from plaudit.store.settled import is_settled
from plaudit.store.tallies import fold
from plaudit.store.votes import read_vote


def count_votes_of(connection: Connection, project: str, rater: str, by: int) -> None:
    """Add so much to the votes of every item on which one of the rater's stands, whichever way it
    came into the log; open those that want more, and close those that have enough.

    Within ``Store.appending``.
    """
    while fold(connection):
        pass
    votes = sa.case((item.c.votes + by > 0, item.c.votes + by), else_=0)
    wants_more = sa.and_(
        votes < item.c.target_votes, sa.not_(item.c.is_gold), sa.not_(is_settled())
    )
    of_item = (item.c.project == project, item.c.id == bindparam("of_id"))
    rows = [{"of_id": id} for id in sorted(_voted_on(connection, project, rater))]
    if rows:
        counted = item.update().where(*of_item).values(votes=votes, is_open=wants_more)
        connection.execute(counted, rows)


def _voted_on(connection: Connection, project: str, rater: str) -> set[str]:
    of_rater = select(vote.c.item, vote.c.facts).where(
        vote.c.rater == rater, vote.c.project == project
    )
    found = connection.execute(of_rater).all()
    return {row.item for row in found if read_vote(row.facts).is_counted}

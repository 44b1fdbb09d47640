"""The votes of items when a rater's stop or begin to count, or when judgments were imported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam, select

from plaudit.judgments import Answer, Item, Judgment
from plaudit.store.items import item_of
from plaudit.store.log import suspended_raters
from plaudit.store.schema import item, judgment, vote
from plaudit.store.settled import is_settled
from plaudit.store.tallies import fold
from plaudit.store.votes import is_counted, read_vote

Wanting = Callable[[Item, Sequence[Answer]], int]
"""How many votes an item wants, given those it has."""

_ITEMS_AT_ONCE = 500


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


def count_votes_on(
    connection: Connection, project: str, ids: Collection[str], wanting: Wanting | None
) -> None:
    """Bring the votes of these items up to those that stand, and the number wanted up to what
    ``wanting`` says of them; close those that have enough.

    Within ``Store.appending``.
    """
    for id, answers in _answers_to(connection, project, ids).items():
        here, votes = (item.c.project == project) & (item.c.id == id), len(answers)
        wanted = item.c.target_votes
        if wanting is not None:
            row = connection.execute(select(item.c.content, wanted).where(here)).one()
            doubted = wanting(item_of(row.content), answers)
            wanted = sa.literal(max(row.target_votes, doubted))
        is_open = (votes < wanted) & ~item.c.is_gold & ~is_settled()
        changed = {"votes": votes, "target_votes": wanted, "is_open": is_open}
        connection.execute(item.update().where(here).values(changed))


def _answers_to(
    connection: Connection, project: str, ids: Collection[str]
) -> dict[str, list[Answer]]:
    """By item, the votes that stand."""
    later = judgment.alias("later")
    query = select(judgment.c.item, judgment.c.body).where(
        judgment.c.project == project,
        judgment.c.body.is_not(None),
        judgment.c.rater.not_in(suspended_raters(project)),
        ~select(later.c.seq).where(later.c.supersedes == judgment.c.id).exists(),
    )
    asked = sorted(ids)
    found: dict[str, list[Answer]] = {id: [] for id in asked}
    for first in range(0, len(asked), _ITEMS_AT_ONCE):
        some = judgment.c.item.in_(asked[first : first + _ITEMS_AT_ONCE])
        for row in connection.execute(query.where(some)):
            read = Judgment.model_validate_json(row.body)
            found[row.item] += [read.answer] if is_counted(read) else []
    return found

"""A rater's own figures, for the rater alone."""

from __future__ import annotations

import statistics
from typing import Any

from sqlalchemy import func, select

from plaudit.store import Store
from plaudit.store.schema import assignment

_LATEST = 200


def own_progress(store: Store, project: str, rater: str, since: float) -> dict[str, Any]:
    """How many were judged, since when, how many skipped, and the median seconds of the latest.

    Seconds are those from opening to submitting, of the last 200 judged.
    """
    mine = (assignment.c.project == project, assignment.c.rater == rater)
    counted = (
        select(assignment.c.state, func.count().label("number"))
        .where(*mine)
        .group_by(assignment.c.state)
    )
    judged = (*mine, assignment.c.state == "judged")
    today = select(func.count()).where(*judged, assignment.c.closed_at >= since)
    took = select(assignment.c.closed_at - assignment.c.opened_at).where(*judged)
    with store.reading() as connection:
        states = {row.state: row.number for row in connection.execute(counted)}
        judged_today = connection.execute(today).scalar_one()
        latest = took.order_by(assignment.c.closed_at.desc()).limit(_LATEST)
        seconds = list(connection.execute(latest).scalars())
    return {
        "judged": states.get("judged", 0),
        "judged_today": judged_today,
        "skipped": states.get("skipped", 0),
        "median_seconds": statistics.median(seconds) if seconds else None,
    }

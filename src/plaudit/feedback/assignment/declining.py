"""What raters would rather not see, of the strata that a project lets them decline."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from plaudit.feedback.assignment.giving import Refused
from plaudit.feedback.projects.project import Project, project_of
from plaudit.store import Appending, Store
from plaudit.store import assignments as table
from plaudit.store.declined import declined_strata, set_declined


def decline_in(
    log: Appending, project: str, rater: str, titles: Collection[str], at: float
) -> None:
    """Give the rater nothing more of what is so called, within a transaction of the writer.

    Raises:
        Refused: there is no such project.
        ValueError: the project lets nobody decline one of them.
    """
    here = table.membership(log.connection, project, rater).first()
    if here is None:
        raise Refused(f"project {project}: there is none of that name")
    strata = {title: name for name, title in project_of(here.config).may_decline.items()}
    for title in titles:
        if title not in strata:
            known = ", ".join(strata) or "none"
            raise ValueError(f"titles: {title!r} may not be declined; there are {known}")
    log.touched.append(rater)
    set_declined(log.connection, project, rater, [strata[title] for title in titles], at)


def choices(store: Store, project: Project, rater: str) -> list[dict[str, Any]]:
    """What the rater may decline, and whether they do; how strata are named stays here."""
    chosen = declined_strata(store, project.id, rater) if project.may_decline else []
    return [
        {"title": title, "is_declined": stratum in chosen}
        for stratum, title in project.may_decline.items()
    ]

"""Putting a project into the store: its file, its guidelines, its items and what comes first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plaudit.feedback.assignment.selection import read_selection, selected
from plaudit.feedback.projects.items import load_items
from plaudit.feedback.projects.project import Project, guideline_text
from plaudit.store import Store, add_items, get_project, put_guideline, put_project
from plaudit.store import assignment_queue as queue
from plaudit.store.declined import keep_declined


@dataclass(frozen=True, kw_only=True, slots=True)
class SetUp:
    """What came of setting a project up."""

    items: int
    """That are new in the store."""
    left_out: dict[str, int]
    """Rows left out, by reason."""
    leaks: dict[str, tuple[str, ...]]
    """By item, the model names its candidates give away."""


def set_up_project(store: Store, project: Project, folder: Path) -> SetUp:
    """Make a project or bring it up to date with its file; nothing judged is touched.

    Items that are there stay as they are. The number of votes wanted follows the file, for items
    that nobody has judged yet.

    Raises:
        ValueError: the guidelines were changed under an old version, an item's text was changed
            under its old id, or a file cannot be read.
    """
    text = guideline_text(project, folder)
    loaded = load_items(project, folder)
    items = loaded.items
    if project.selection is not None:
        scores = read_selection(folder / project.selection.file)
        items = selected(items, scores, project.selection.random_share, project.id)
    config = project.model_dump_json(exclude_unset=True)
    if get_project(store, project.id) is None:
        put_project(store, project.id, config)
    put_guideline(store, project.id, project.guidelines.version, text)
    added = add_items(store, project.id, items, project.overlap.votes)
    # Raters at work are asked the questions of before until nothing more can be refused.
    put_project(store, project.id, config)
    with store.writing() as connection:
        queue.make_indexes(connection)
        strata = {item.stratum for item in items}
        wanted = {stratum: project.votes_wanted(stratum) for stratum in strata}
        queue.set_targets(connection, project.id, wanted)
        if project.selection is not None:
            queue.set_priorities(connection, project.id, items)
        keep_declined(connection, project.id, project.may_decline)
    return SetUp(items=added, left_out=loaded.left_out, leaks=loaded.leaks)

"""``plaudit feedback import`` and ``export``: judgments from others' formats and into them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.commands.stores import ProjectId, StorePath, open_existing

_FORMATS = "plaudit, label_studio, argilla, trl, ... (docs/collect/formats.md has all)."


def import_judgments(
    file: Annotated[Path, typer.Argument(help="A file, or a directory of Argilla's to_disk.")],
    store: StorePath,
    project: ProjectId,
    format: Annotated[str, typer.Option(help=f"{_FORMATS} auto goes by the first row.")] = "auto",
    trust_order: Annotated[
        bool, typer.Option("--trust-order", help="Take a ranking's order for its ranks.")
    ] = False,
    choices: Annotated[
        Path | None, typer.Option(help="YAML: what fields and labels mean (see the docs).")
    ] = None,
    target_votes: Annotated[
        int, typer.Option(help="Judgments that each new item is to have, the file's included.")
    ] = 1,
    with_names: Annotated[
        bool, typer.Option("--with-names", help="Keep raters' names, where the file has them.")
    ] = False,
) -> None:
    """Add a file's items and judgments to a project; people's ids are hashed.

    A store that has no project yet is given this one.
    """
    from contextlib import closing

    from plaudit.aggregation.taking import take_judgments
    from plaudit.config import make_config, read_yaml
    from plaudit.feedback.assignment.votes import wanting_of
    from plaudit.formats.exchange import ChoiceMap
    from plaudit.store import PROJECT_ID, get_project, open_store, projects, put_project

    values = read_yaml(choices) if choices else {}
    meanings = make_config(ChoiceMap, values, str(choices))
    if not file.exists():
        raise ValueError(f"{file}: no such file or directory; expected judgments to import")
    with closing(open_store(store)) as opened:
        if not projects(opened):
            if not re.match(PROJECT_ID, project):
                raise ValueError(
                    f"--project: {project!r}; expected lower-case letters, digits, - and _"
                )
            put_project(opened, project, json.dumps({"imported_from": file.name}))
            typer.echo(f"new project {project} in {store}")
        stored = get_project(opened, project)
        taken = take_judgments(
            opened, project, file, format=format, trust_order=trust_order, choices=meanings,
            target_votes=target_votes, with_names=with_names,
            wanting=wanting_of(stored.config) if stored else None,
        )  # fmt: skip
    typer.echo(f"{taken.new_judgments} new of {taken.judgments} judgments, "
               f"{taken.new_items} new of {taken.items} items")  # fmt: skip
    _account("found, but no part of a judgment", taken.unread)


def export_judgments(
    store: StorePath,
    project: ProjectId,
    format: Annotated[
        str,
        typer.Option(
            help=f"{_FORMATS} Of targets: trl, judged, unpaired, stepwise or demonstrations."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The file to write: .json or .jsonl.")],
    targets: Annotated[
        str, typer.Option(help="votes (as they are), majority or soft (training targets).")
    ] = "votes",
    weighting: Annotated[
        str | None, typer.Option(help="Of targets: even, information or certainty.")
    ] = None,
    margins: Annotated[
        bool, typer.Option("--margins", help="Of targets: the votes' mean strength as margin.")
    ] = False,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Of targets: lowest and highest mark; the project's own if not said."),
    ] = None,
) -> None:
    """Write a project's judgments, or training targets made of them, and record the export."""
    from contextlib import closing

    from plaudit.aggregation.giving import Making, give_judgments

    said = {"weighting": weighting, "margins": margins or None, "scale": scale}
    chosen: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    with closing(open_existing(store)) as opened:
        given = give_judgments(
            opened, project, output, format=format, targets=targets,  # pyright: ignore[reportArgumentType]
            making=Making(**chosen) if chosen else None,
        )  # fmt: skip
    typer.echo(f"{given.rows} rows of {given.judgments} judgments, up to number {given.last_seq} "
               f"of the log: export {given.id}, {given.sha256}")  # fmt: skip
    _account("not in the file", given.losses)


def _account(what: str, counts: Mapping[str, int]) -> None:
    if counts:
        listed = ", ".join(f"{name} ({number})" for name, number in counts.items())
        typer.echo(f"{what}: {listed}")

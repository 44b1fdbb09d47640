"""``plaudit collect``: the web application in which people judge, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def collect(
    project: Annotated[Path | None, typer.Option(help="The project file, YAML.")] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Or an artifact of evaluate: its policies' answers, blind."),
    ] = None,
    store: Annotated[
        str, typer.Option(help="The log: a file, or postgresql://user@host:port/db.")
    ] = "judgments.db",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8700,
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="A name browsers may call it by, beside this machine; repeatable."),
    ] = None,
    https: Annotated[
        bool, typer.Option("--https", help="It is reached by https alone, through a proxy.")
    ] = False,
    as_name: Annotated[str, typer.Option("--as", help="The lead to sign in as.")] = "",
) -> None:
    """Serve a project to its raters and leads; judgments go to one append-only log."""
    project = project_file(project, evaluation, store)
    from plaudit.feedback.projects.project import read_project
    from plaudit.feedback.projects.setup import set_up_project
    from plaudit.feedback.rating.arena import key_of
    from plaudit.feedback.serving import invitation, listen, serve, where_to_sign_in
    from plaudit.store import open_store

    names = tuple(host_name or ())
    for name in names:
        if "/" in name or (":" in name and not name.startswith("[")):
            raise ValueError(
                f"--host-name: {name}; expected a name alone, without http:// and port, such as "
                "judging.example.org"
            )
    read = read_project(project)
    if read.arena is not None and read.arena.key_variable:
        key_of(read.arena)
    socket = listen(host, port)
    opened = open_store(store)
    try:
        found = set_up_project(opened, read, project.parent)
        print(f"{read.title}: {found.items} new items in {store}")
        for reason, rows in found.left_out.items():
            print(f"left out: {rows} with {reason}")
        if found.leaks:
            print(f"{len(found.leaks)} items have a candidate that names a model; they are flagged")
        address = where_to_sign_in(host, socket.getsockname()[1], names, https)
        for line in invitation(opened, read.id, as_name, host, address, names, https):
            print(line, flush=True)
        serve(opened, socket, host, names, https)
    finally:
        opened.close()


def project_file(project: Path | None, evaluation: Path | None, store: str) -> Path:
    """The project's file; that of an evaluation is written beside it.

    Raises:
        ValueError: neither was named, or both, or the evaluation is not finished.
    """
    if (project is None) == (evaluation is None):
        raise ValueError("collect: expected --project FILE, or --evaluation DIR; give one of them")
    if project is not None:
        return project
    from plaudit.evaluation.to_judge import write_project

    assert evaluation is not None
    folder = evaluation.parent / f"{evaluation.name}-judging"
    written = write_project(evaluation, folder, "Which answer is better?")
    print(
        f"wrote {written}; once some are judged, run the recipe again with "
        f"steps.report.judgments={store}, and the report says who agrees with you"
    )
    return written

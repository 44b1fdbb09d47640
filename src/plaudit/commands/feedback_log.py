"""``plaudit feedback verify``: whether the log is as it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.commands.stores import open_existing


def verify(
    store: Annotated[
        str, typer.Argument(help="A log (.db), an artifact that holds one, or postgresql://...")
    ],
    head: Annotated[
        str, typer.Option(help="The head that was noted down earlier; finds a cut-off tail.")
    ] = "",
) -> None:
    """Check every judgment of the log against the chain of hashes; exits with 1 at a fault."""
    from plaudit.store import verify as verify_store

    opened = open_existing(store)
    found = verify_store(opened, head)
    opened.close()
    for fault in found.faults:
        print(fault)
    print(f"{found.judgments} judgments, {found.erased} of them erased; head {found.head_sha256}")
    if found.faults:
        print(f"{store}: the log is not as it was written")
        raise typer.Exit(1)

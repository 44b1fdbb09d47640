"""Stores of judgments by name, as the commands take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from plaudit.store import Store

StorePath = Annotated[str, typer.Option("--store", help="The store: a file, or a database's URL.")]
ProjectId = Annotated[str, typer.Option("--project", help="The project's id.")]


def open_existing(store: str) -> Store:
    """A store that is there: none is made of a slip of the hand.

    Raises:
        ValueError: no file lies there, nor a directory with a log in it.
    """
    from plaudit.aggregation.logs import log_file
    from plaudit.store import open_store

    return open_store(store if "://" in store else log_file(store))

"""``plaudit feedback``: the judgment log from the command line."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="feedback",
    help="The log of judgments: verify, import, export, consensus, plan.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

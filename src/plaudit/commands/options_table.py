"""The options that are written key=value, as a table below a command's help."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from plaudit.config import Config, options


def options_table(command: str, config: type[Config]) -> Table:
    title = f"Options of {command}, as key=value or in the --config file"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("option", no_wrap=True)
    table.add_column("default", overflow="fold", max_width=16)
    table.add_column("meaning", overflow="fold")
    for name, kind, default, meaning in options(config):
        told = f"{escape(meaning)} [dim]({escape(kind)})[/]"
        table.add_row(f"[bold cyan]{escape(name)}[/]", escape(default), told)
    return table

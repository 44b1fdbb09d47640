"""A table of rows by name, without the columns that say nothing of anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def row_table(rows: Sequence[dict[str, str]]) -> Table:
    """One row or more, of the same columns; the first is always there, and whole."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    first, *rest = rows[0]
    kept = [first, *(name for name in rest if any(row[name] for row in rows))]
    for name in kept:
        table.add_column(name, no_wrap=name == first, overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in kept))
    return table

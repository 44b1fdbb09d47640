"""Items that an adjudicator settled: they ask for no more votes, whatever becomes of the votes."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from plaudit.store.schema import SETTLES, item, judgment


def is_settled() -> ColumnElement[bool]:
    """Of a row of the table ``item``: whether an adjudicator's answer to it was recorded."""
    here = (judgment.c.project == item.c.project, judgment.c.item == item.c.id, SETTLES)
    return select(judgment.c.seq).where(*here).exists()

"""All there is to know of an assignment whose answer has come, read by one statement."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from plaudit.store.assignments import ASSIGNMENT, DESK, exist_unfinished
from plaudit.store.prepared import AnyRow, Asked, Prepared
from plaudit.store.schema import (
    assignment,
    draft,
    guideline,
    item,
    judgment,
    member,
    project,
    rater,
)

_GUIDELINE = (
    select(guideline.c.version)
    .where(guideline.c.project == assignment.c.project)
    .order_by(guideline.c.created_at.desc())
    .limit(1)
    .scalar_subquery()
)
_begun, _away, _later = assignment.alias("begun"), member.alias("away"), judgment.alias("later")
_HAS_UNFINISHED = exist_unfinished(
    _begun,
    _begun.c.project == assignment.c.project,
    _begun.c.rater == assignment.c.rater,
    _begun.c.id != assignment.c.id,
)
_BETWEEN_BODIES = "\x1e"  # JSON has no such character


class _Joined(FunctionElement[str]):
    """Texts one after another; as SQLAlchemy's own, whose statement changes with its separator."""

    type = sa.String()
    inherit_cache = True


@compiles(_Joined)
def _string_agg(element: _Joined, compiler: Any, **how: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **how)})"


@compiles(_Joined, "sqlite")
def _group_concat(element: _Joined, compiler: Any, **how: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **how)})"


_OTHERS = (
    select(_Joined(judgment.c.body, _BETWEEN_BODIES))
    .where(
        judgment.c.project == item.c.project,
        judgment.c.item == item.c.id,
        judgment.c.id != sa.func.coalesce(assignment.c.judgment, ""),
        judgment.c.body.is_not(None),
        ~sa.exists().where(_later.c.supersedes == judgment.c.id),
        ~sa.exists().where(
            _away.c.project == judgment.c.project,
            _away.c.rater == judgment.c.rater,
            _away.c.suspended_at.is_not(None),
        ),
    )
    .scalar_subquery()
)
_CASE = Prepared(
    select(
        *ASSIGNMENT, assignment.c.project, assignment.c.rater, assignment.c.judgment,
        item.c.content, item.c.sha256, item.c.is_gold, item.c.votes, item.c.target_votes,
        item.c.is_open,
        rater.c.kind.label("rater_kind"), rater.c.version.label("rater_version"),
        _GUIDELINE.label("guideline"), _OTHERS.label("others"), *DESK,
        _HAS_UNFINISHED,
        sa.exists().where(draft.c.assignment == assignment.c.id).label("has_draft"),
    )
    .join(item, item.c.number == assignment.c.item)
    .join(project, project.c.id == assignment.c.project)
    .join(rater, rater.c.id == assignment.c.rater)
    .outerjoin(
        member,
        sa.and_(member.c.project == assignment.c.project, member.c.rater == assignment.c.rater),
    )
    .where(assignment.c.id == bindparam("id"))
)  # fmt: skip


def case(connection: Connection, id: str) -> Asked:
    """An assignment with its item, project, rater and the guideline in force; nothing where there
    is none of that id.

    With it comes what ``membership`` tells of the rater, where has_unfinished is of assignments
    beside this one.
    """
    return _CASE.ask(connection, id=id)


def other_bodies(row: AnyRow) -> list[str]:
    """Of a case, what else stands of the item, as JSON; not what suspended raters said."""
    return row.others.split(_BETWEEN_BODIES) if row.others else []

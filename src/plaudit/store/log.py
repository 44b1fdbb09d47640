"""The log: judgments are appended, read and superseded, never changed."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, literal_column, select

from plaudit.judgments import Judgment, Withdrawn, written_json
from plaudit.store import schema
from plaudit.store.chain import Head, hash_body, hash_link
from plaudit.store.opening import Store
from plaudit.store.prepared import Asked, Prepared

Also = Callable[[Connection], Any]
"""What else is done in the transaction that records a judgment."""

_CHUNK_ROWS = 1000
_T = schema.judgment
_LAST = Prepared(select(_T.c.seq, _T.c.sha256).order_by(_T.c.seq.desc()).limit(literal_column("1")))
_SEALED = Prepared(
    select(_T.c.seq, _T.c.sha256, _T.c.salt, _T.c.body_sha256).where(_T.c.id == bindparam("of_id"))
)
_INSERT = Prepared(_T.insert().values({one.name: bindparam(one.name) for one in _T.c}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """That a judgment stands in the log."""

    seq: int
    sha256: str
    is_new: bool
    """False where the same judgment stood there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """A judgment as it stands in the log."""

    seq: int
    id: str
    project: str
    recorded_at: float
    sha256: str
    judgment: Judgment | None
    """None when it was erased."""


def append(store: Store, judgments: Iterable[Judgment], also: Also | None = None) -> list[Receipt]:
    """Record judgments, and do what else belongs to it, in one transaction.

    Sent twice, a judgment is recorded once.

    Raises:
        ValueError: an id stands there with another body, or what a judgment supersedes is not a
            judgment of the same rater about the same item that nothing supersedes yet.
    """
    with store.appending() as connection:
        log = Appending(connection)
        receipts = [log.append(judgment) for judgment in judgments]
        if also is not None:
            also(connection)
    return receipts


class Appending:
    """The end of the chain, within a transaction of ``Store.appending``."""

    def __init__(self, connection: Connection, is_hopeful: bool = False) -> None:
        """``is_hopeful``: an id that stands there already is not looked for. The database refuses
        it, and the whole transaction with it, which is then to be tried again without hope."""
        self.connection = connection
        self.touched: list[Hashable] = []
        """Items, by number, and raters that work of this transaction has changed, in order."""
        self._last, self._head = _LAST.ask(connection), None
        self._is_hopeful = is_hopeful

    @property
    def head(self) -> Head:
        """The last record, of those appended here too."""
        if self._head is None:
            self._head = _head_of(self._last)
        return self._head

    @head.setter
    def head(self, head: Head) -> None:
        self._head = head

    def append(self, judgment: Judgment) -> Receipt:
        """Record a judgment, once.

        Raises:
            ValueError: as the function of this name.
        """
        body = written_json(judgment)
        _check_writable(judgment, body)
        if not self._is_hopeful:
            before = _recorded_before(self.connection, judgment.id, body)
            if before is not None:
                return before
        if judgment.supersedes:
            _check_superseded(self.connection, judgment)
        row = link(judgment, body, self.head, round(time.time(), 6))
        _INSERT.ask(self.connection, **row)
        self.head = Head(row["seq"], row["sha256"])
        return Receipt(seq=row["seq"], sha256=row["sha256"], is_new=True)


def link(judgment: Judgment, body: str, head: Head, recorded_at: float) -> dict[str, Any]:
    """The row that follows ``head``."""
    salt = secrets.token_hex(16)
    sealed = {
        "seq": head.seq + 1,
        "id": judgment.id,
        "project": judgment.project,
        "recorded_at": recorded_at,
        "body_sha256": hash_body(salt, body),
        "previous_sha256": head.sha256,
    }
    beside = {
        "salt": salt,
        "body": body,
        "rater": judgment.rater.id,
        "item": judgment.item,
        "supersedes": judgment.supersedes or None,
    }
    return {**sealed, "sha256": hash_link(**sealed), **beside}


def chain_head(connection: Connection) -> Head:
    """The last record; seq 0 where there is none."""
    return _head_of(_LAST.ask(connection))


def _head_of(asked: Asked) -> Head:
    last = asked.first()
    return Head(last.seq, last.sha256) if last else Head()


def find(store: Store, id: str) -> Logged | None:
    """The judgment of this id, None where there is none."""
    with store.reading() as connection:
        return find_in(connection, id)


def find_in(connection: Connection, id: str) -> Logged | None:
    """``find`` within a transaction."""
    row = connection.execute(_logged().where(_T.c.id == id)).first()
    return _read(row) if row else None


def read(store: Store, project: str | None = None, after: int = 0) -> Iterator[Logged]:
    """Everything recorded, in order, from the one after ``after``."""
    query = _logged() if project is None else _logged().where(_T.c.project == project)
    for row in _in_order(store, query, after):
        yield _read(row)


def standing(
    store: Store,
    project: str,
    question: str | None = None,
    with_suspended: bool = False,
    last_seq: int | None = None,
) -> Iterator[Judgment]:
    """What stands at this moment, or stood when ``last_seq`` was the log's last: neither
    superseded, nor withdrawn, nor erased.

    Skips stand too. Suspended raters' judgments are left out, unless asked for.
    """
    last = last_seq
    if last is None:
        with store.reading() as connection:
            last = chain_head(connection).seq
    later = _T.alias("later")
    is_superseded = (
        select(later.c.seq).where(later.c.supersedes == _T.c.id, later.c.seq <= last).exists()
    )
    query = _logged().where(
        _T.c.project == project, _T.c.seq <= last, _T.c.body.is_not(None), ~is_superseded
    )
    if not with_suspended:
        query = query.where(_T.c.rater.not_in(suspended_raters(project)))
    for row in _in_order(store, query, 0):
        judgment = Judgment.model_validate_json(row.body)
        if question in (None, judgment.question) and not isinstance(judgment.answer, Withdrawn):
            yield judgment


def suspended_raters(project: str) -> Select[tuple[str]]:
    """Those whose judgments do not count in a project for now."""
    member = schema.member
    return select(member.c.rater).where(
        member.c.project == project, member.c.suspended_at.is_not(None)
    )


def _logged() -> Select:
    return select(_T.c.seq, _T.c.id, _T.c.project, _T.c.recorded_at, _T.c.sha256, _T.c.body)


def _in_order(store: Store, query: Select, after: int) -> Iterator[Row]:
    """By seq, some at a time, so that no reader holds up the database."""
    while True:
        with store.reading() as connection:
            rows: Sequence[Row] = connection.execute(
                query.where(_T.c.seq > after).order_by(_T.c.seq).limit(_CHUNK_ROWS)
            ).all()
        yield from rows
        if len(rows) < _CHUNK_ROWS:
            return
        after = rows[-1].seq


def _read(row: Row) -> Logged:
    judgment = Judgment.model_validate_json(row.body) if row.body is not None else None
    return Logged(
        seq=row.seq, id=row.id, project=row.project, recorded_at=row.recorded_at,
        sha256=row.sha256, judgment=judgment,
    )  # fmt: skip


def _recorded_before(connection: Connection, id: str, body: str) -> Receipt | None:
    row = _SEALED.first(connection, of_id=id)
    if row is None:
        return None
    if row.salt is None:
        raise ValueError(f"judgment {id}: was erased; expected a new id")
    if hash_body(row.salt, body) != row.body_sha256:
        raise ValueError(
            f"judgment {id}: recorded already with another body; expected the same again, or a "
            "new id and supersedes"
        )
    return Receipt(seq=row.seq, sha256=row.sha256, is_new=False)


def _check_superseded(connection: Connection, judgment: Judgment) -> None:
    old = connection.execute(
        select(_T.c.project, _T.c.rater, _T.c.item).where(_T.c.id == judgment.supersedes)
    ).first()
    said = f"judgment {judgment.id}: supersedes {judgment.supersedes}"
    if old is None:
        raise ValueError(f"{said}, which is not recorded; record it first")
    if tuple(old) != (judgment.project, judgment.rater.id, judgment.item):
        raise ValueError(f"{said}, which is another rater's or about another item")
    taken = connection.execute(
        select(_T.c.id).where(_T.c.supersedes == judgment.supersedes)
    ).scalar()
    if taken is not None:
        raise ValueError(f"{said}, which {taken} supersedes already; expected that one")


def _check_writable(judgment: Judgment, body: str) -> None:
    """JSON has neither NaN nor infinity, UTF-8 no half characters, PostgreSQL no NUL in texts."""
    named = (judgment.id, judgment.project, judgment.item, judgment.rater.id, judgment.supersedes)
    if any("\0" in name for name in named):
        raise ValueError(f"judgment {judgment.id!r}: a NUL in an id; expected ids without one")
    if not body.isascii() and any("\ud800" <= character <= "\udfff" for character in body):
        raise ValueError(f"judgment {judgment.id!r}: half of a character; expected whole text")
    constants: list[str] = []
    json.loads(body, parse_constant=constants.append)
    if constants:
        raise ValueError(
            f"judgment {judgment.id}: a number is {constants[0]}; expected finite ones"
        )

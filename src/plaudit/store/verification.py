"""Whether the log is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Row, select

from plaudit.judgments import Judgment
from plaudit.store import schema
from plaudit.store.chain import Head, hash_body, hash_link
from plaudit.store.opening import Store

_CHUNK_ROWS = 2000
_MOST_FAULTS = 100
_T = schema.judgment


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What a walk along the chain found."""

    judgments: int
    erased: int
    head_sha256: str
    faults: tuple[str, ...]
    """One line each; only the first 100 where there are more."""


def verify(store: Store, head_sha256: str = "") -> Verified:
    """Walk the whole chain and check every hash, body and place in the order.

    A tail that was cut off leaves a chain that holds; it is missed only where a head that was
    noted down before is given.
    """
    head, judgments, erased, is_head_found = Head(), 0, 0, not head_sha256
    faults: list[str] = []
    for row in _rows(store):
        judgments += 1
        if len(faults) < _MOST_FAULTS:
            faults += _faults(row, head)
        erased += row.body is None
        head = Head(row.seq, row.sha256)
        is_head_found = is_head_found or row.sha256 == head_sha256
    if not is_head_found:
        faults.append(
            f"head {head_sha256}: not in the chain, which ends in judgment {head.seq}; "
            "judgments at its end are missing, or it was written anew"
        )
    return Verified(
        judgments=judgments, erased=erased, head_sha256=head.sha256, faults=tuple(faults)
    )


def _faults(row: Row, before: Head) -> Iterator[str]:
    name = f"judgment {row.seq} ({row.id})"
    if row.seq != before.seq + 1:
        yield f"{name}: follows {before.seq}; {_missing(before.seq + 1, row.seq - 1)}"
    if row.previous_sha256 != before.sha256:
        yield f"{name}: its previous_sha256 is not the hash of judgment {before.seq}"
    sealed = (
        row.seq, row.id, row.project, row.recorded_at, row.body_sha256, row.previous_sha256,
    )  # fmt: skip
    if hash_link(*sealed) != row.sha256:
        yield f"{name}: its seq, id, project, time or hash was changed"
    yield from (f"{name}: {fault}" for fault in _faults_beside(row))


def _faults_beside(row: Row) -> Iterator[str]:
    beside = (row.body, row.salt, row.rater, row.item)
    if all(part is None for part in beside):
        return
    if any(part is None for part in beside):
        yield "partly erased; expected body, salt, rater and item to go together"
        return
    if hash_body(row.salt, row.body) != row.body_sha256:
        yield "its body was changed"
        return
    said = Judgment.model_validate_json(row.body)
    columns = (row.id, row.project, row.rater, row.item, row.supersedes or "")
    if columns != (said.id, said.project, said.rater.id, said.item, said.supersedes):
        yield "its rater, item or supersedes is not what its body says"


def _missing(first: int, last: int) -> str:
    if last < first:
        return "the order is not by seq"
    return f"{first} is missing" if first == last else f"{first} to {last} are missing"


def _rows(store: Store) -> Iterator[Row]:
    after = -(2**62)
    while True:
        query = select(_T).where(_T.c.seq > after).order_by(_T.c.seq).limit(_CHUNK_ROWS)
        with store.reading() as connection:
            rows = connection.execute(query).all()
        yield from rows
        if len(rows) < _CHUNK_ROWS:
            return
        after = rows[-1].seq

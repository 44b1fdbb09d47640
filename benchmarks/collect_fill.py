"""A project of any size, written past the store's own ways, as they would have written it.

Every item has five votes of 200 raters. The last tenth of the items want more votes, so that the
queue is long; one rater has had half of these. ``tests/test_benchmarks_collect_scale.py`` compares.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from plaudit.feedback.assignment.policy import rater_key
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Rater, written_json
from plaudit.store import get_project, open_store, put_project, schema
from plaudit.store.assignment_queue import make_indexes
from plaudit.store.assignments import assignment_id
from plaudit.store.chain import Head, hash_body, hash_link
from plaudit.store.tally_rows import TABLES
from plaudit.store.votes import Cell, Vote, contribution, differing, vote_of, written

RATERS = 200
VOTES = 5
OPEN_SHARE = 0.1
BUSY = "busy"
"""The rater who has had half of the open items."""
NEWCOMER = "newcomer"
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
_PROJECT = {
    "id": "p",
    "title": "Scale",
    "guidelines": {"version": "1", "text": "Choose the better one."},
    "questions": [{"name": "overall", "kind": "pairwise", "title": "Which one is better?"}],
}


def fill(file: Path, items: int) -> None:
    """Write the project past the store's own ways, and the indexes after the rows."""
    store = open_store(file)
    put_project(store, "p", json.dumps(_PROJECT))
    with store.writing() as connection:
        make_indexes(connection)
    project = get_project(store, "p")
    assert project is not None
    store.close()
    raters = [f"r{n:03d}" for n in range(RATERS)] + [BUSY, NEWCOMER]
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA synchronous=OFF")
        later = _drop_indexes(database)
        _insert(database, schema.rater.name, _rater_rows(raters))
        _insert(database, schema.member.name, _member_rows(raters))
        _insert(database, schema.item.name, _item_rows(items))
        _insert(database, schema.judgment.name, _judgment_rows(items))
        _insert_tallies(database, items)
        _insert(database, schema.assignment.name, _assignment_rows(items, project.secret))
        for statement in later:
            database.execute(statement)
        database.execute("ANALYZE")
    database.close()


def _votes_on(number: int, items: int) -> list[tuple[str, int]]:
    """Who voted how: a label that most share, and a rater now and then who differs."""
    best = (number * 7919) % 7 - 3
    raters = [f"r{(number * VOTES + k) % RATERS:03d}" for k in range(VOTES)]
    if items * (1 - OPEN_SHARE) <= number < items * (1 - OPEN_SHARE / 2):
        raters[0] = BUSY
    return [
        (rater, best if (number * 31 + k * 17) % 10 < 7 else (number + k) % 7 - 3)
        for k, rater in enumerate(raters)
    ]


def a_vote(id: str, number: int, rater: str, strength: int = 1, after: int = 0) -> Judgment:
    return Judgment(
        id=id, project="p", item=f"i{number:07d}", item_sha256="0" * 64, rater=Rater(id=rater),
        answer=Pairwise(strength=strength), shown=((0, 1), (1, 0))[number % 2],
        submitted_at=BEGAN + timedelta(seconds=after), active_seconds=5.0 + number % 40,
        guideline_version="1", rationale="The second one answers what was asked.",
    )  # fmt: skip


def _judgment_rows(items: int) -> Iterator[dict[str, Any]]:
    """As ``plaudit.store.log.link`` writes them, in order; texts are put together, not dumped."""
    head, seq = Head(), 0
    shape = written_json(a_vote("\1", 0, "\2")).replace("\\u0001", "\1").replace("\\u0002", "\2")
    for number in range(items):
        for rater, strength in _votes_on(number, items):
            seq += 1
            id, item, after = f"j{seq:08d}", f"i{number:07d}", _seconds_after(seq, items)
            body = _body(shape, id, item, rater, strength, number, after)
            assert seq % 100_000 != 1 or body == written_json(
                a_vote(id, number, rater, strength, after)
            )
            salt = f"{seq:032x}"
            sealed = {
                "seq": seq, "id": id, "project": "p", "recorded_at": 1.7e9 + seq,
                "body_sha256": hash_body(salt, body), "previous_sha256": head.sha256,
            }  # fmt: skip
            head = Head(seq, hash_link(**sealed))
            beside = {"salt": salt, "body": body, "rater": rater, "item": item, "supersedes": None}
            yield {**sealed, "sha256": head.sha256, **beside}


def _body(
    shape: str, id: str, item: str, rater: str, strength: int, number: int, after: int
) -> str:
    submitted = (BEGAN + timedelta(seconds=after)).isoformat().replace("+00:00", "Z")
    active = f'"active_seconds":{5.0 + number % 40}'
    for old, new in (
        ("\1", id), ("\2", rater), ("i0000000", item), ('"strength":1', f'"strength":{strength}'),
        ("2026-01-05T00:00:00Z", submitted), ('"active_seconds":5.0', active),
        ('"shown":[0,1]', '"shown":[1,0]' if number % 2 else '"shown":[0,1]'),
    ):  # fmt: skip
        shape = shape.replace(old, new)
    return shape


def _item(number: int) -> Item:
    return Item(
        id=f"i{number:07d}", prompt=f"How does one make tea number {number:07d}?",
        candidates=(
            Candidate(content="Pour hot water over the leaves and wait. " * 4, source="a"),
            Candidate(content="Ask a barista for it. " * (6 + number % 5), source="b"),
        ),
        stratum=f"s{number % 4}",
    )  # fmt: skip


def _item_rows(items: int) -> Iterator[dict[str, Any]]:
    shapes = [written_json(_item(number)) for number in range(20)]  # lengths, strata
    for number in range(items):
        content = shapes[number % 20].replace(f"{number % 20:07d}", f"{number:07d}")
        is_open = number >= items * (1 - OPEN_SHARE)
        yield {
            "number": number + 1, "project": "p", "id": f"i{number:07d}", "question": "overall",
            "stratum": f"s{number % 4}", "priority": 0, "content": content,
            "sha256": hash_body("", content), "is_gold": False,
            "target_votes": VOTES * (1 + is_open), "votes": VOTES, "is_open": is_open,
            "disagreement": 0.0,
        }  # fmt: skip


def _insert_tallies(database: sqlite3.Connection, items: int) -> None:
    """What ``rebuild_tallies`` makes of the log, without reading it back (a test compares them)."""
    cells: Counter[Cell] = Counter()
    shares: list[tuple[float, int]] = []

    def rows() -> Iterator[dict[str, Any]]:
        seq = 0
        for number in range(items):
            votes = []
            for rater, strength in _votes_on(number, items):
                seq += 1
                votes.append(_as_vote(number, rater, strength, _seconds_after(seq, items)))
                yield {
                    "seq": seq, "project": "p", "item": f"i{number:07d}", "rater": rater,
                    "facts": written(votes[-1]),
                }  # fmt: skip
            cells.update(contribution(votes, ()))
            if share := differing(votes, ()):
                shares.append((share, number + 1))

    _insert(database, schema.vote.name, rows())
    for kind, table in TABLES.items():
        names = table.columns.keys()
        values = (("p", *cell, many) for cell, many in cells.items() if many and type(cell) is kind)
        _insert(database, table.name, (dict(zip(names, row, strict=True)) for row in values))
    database.executemany("UPDATE item SET disagreement = ? WHERE number = ?", shares)
    mark = {"name": "votes", "seq": items * VOTES}
    _insert(database, schema.tally_mark.name, iter([mark]))


def _as_vote(number: int, rater: str, strength: int, after: int) -> Vote:
    like = _vote_like(number % 40, strength, after // 86_400)
    return Vote(rater, *(getattr(like, name) for name in tuple(Vote.__slots__)[1:]))


@cache
def _vote_like(number: int, strength: int, day: int) -> Vote:
    """What depends on the item's number does so by its rest from 40, or less."""
    return vote_of(a_vote("any", number, "any", strength, day * 86_400), _item(number))


def _seconds_after(seq: int, items: int) -> int:
    """Thirty days, evenly."""
    return seq * 30 * 86_400 // (items * VOTES + 1)


def _assignment_rows(items: int, secret: str) -> Iterator[dict[str, Any]]:
    serials: dict[str, int] = {}
    keys: dict[str, str] = {}
    seq = 0
    for number in range(items):
        for rater, _ in _votes_on(number, items):
            seq += 1
            serial = serials.get(rater, 0)
            serials[rater] = serial + 1
            key = keys.setdefault(rater, rater_key(secret, rater))
            yield {
                "id": assignment_id(key, serial), "project": "p", "item": number + 1,
                "rater": rater, "turn": 0, "state": "judged", "shown": "0,1",
                "opened_at": 1.7e9 + seq, "leased_until": 1.7e9 + seq + 1800,
                "closed_at": 1.7e9 + seq + 20, "judgment": f"j{seq:08d}",
            }  # fmt: skip


def _rater_rows(raters: list[str]) -> Iterator[dict[str, Any]]:
    return ({"id": id, "kind": "human", "version": "", "created_at": 0.0} for id in raters)


def _member_rows(raters: list[str]) -> Iterator[dict[str, Any]]:
    return ({"project": "p", "rater": id, "role": "rater", "queue": ""} for id in raters)


def _insert(database: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    names = ", ".join(first)
    places = ", ".join(f":{name}" for name in first)
    statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
    database.execute(statement, first)
    database.executemany(statement, rows)
    database.commit()


def _drop_indexes(database: sqlite3.Connection) -> list[str]:
    """Indexes that hold no constraint; returns what makes them again."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    found = database.execute(query).fetchall()
    for name, _ in found:
        database.execute(f"DROP INDEX {name}")
    return [statement for _, statement in found]

"""The big project that is measured is one that the store itself would have made."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from benchmarks.collect_append import append_for
from benchmarks.collect_fill import VOTES, fill
from plaudit.judgments import Item, written_json
from plaudit.store import Store, items, open_store, read, rebuild_tallies, schema, verify

ITEMS = 60


def test_it_is_what_the_store_would_have_made(tmp_path: Path) -> None:
    fill(tmp_path / "store.db", ITEMS)
    store = open_store(tmp_path / "store.db")
    assert verify(store).faults == ()
    judgments = [entry.judgment for entry in read(store)]
    assert len(judgments) == ITEMS * VOTES and all(judgments)
    with store.reading() as connection:
        for row in connection.execute(select(schema.item.c.content)):
            assert written_json(Item.model_validate_json(row.content)) == row.content
    assert len({entry.item.prompt for entry in items(store, "p")}) == ITEMS
    filled = _tallies(store)
    rebuild_tallies(store)
    assert _tallies(store) == filled and len(filled) > ITEMS * VOTES


def test_appending_is_measured(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    found = append_for(store, clients=3, seconds=0.2)
    assert found["judgments_a_second"] > 0 and found["p99_ms"] >= found["median_ms"] > 0
    assert verify(store).judgments >= 3


def _tallies(store: Store) -> set[tuple]:
    tables = (schema.vote, schema.rater_tally, schema.pattern_tally, schema.item)
    with store.reading() as connection:
        return {tuple(row) for table in tables for row in connection.execute(select(table))}

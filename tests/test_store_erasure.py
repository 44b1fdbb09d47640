"""A person's words and name go, everywhere in the store; the chain and the others' votes stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from plaudit.judgments import Skipped
from plaudit.store import (
    Store,
    add_items,
    append,
    erase_rater,
    events,
    get_item,
    lineage,
    open_store,
    put_project,
    read,
    record_event,
    record_export,
    record_model,
    schema,
    standing,
    verify,
)
from tests.voting import a_judgment, an_item

pytest_plugins = ("tests.postgres",)

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture
def collected(store: Store) -> Store:
    """Two raters' votes; r1 has a name, a draft, a token; exports and models stand."""
    put_project(store, "p", "{}")
    put_project(store, "q", "{}")
    add_items(store, "p", [an_item("i1"), an_item("i2")], target_votes=2)
    with store.writing() as connection:
        for rater in ("r1", "r2"):
            row = {"id": rater, "kind": "human", "name": f"Name of {rater}", "created_at": 0.0}
            connection.execute(schema.rater.insert(), row)
        numbers = connection.execute(select(schema.item.c.number)).scalars().all()
        assignment = {
            "id": "as1", "project": "p", "item": numbers[1], "rater": "r1", "state": "open",
            "shown": "0,1", "opened_at": 0.0, "leased_until": 9.0,
        }  # fmt: skip
        connection.execute(schema.assignment.insert(), assignment)
        draft = {"assignment": "as1", "body": "secret draft", "saved_at": 0.0}
        connection.execute(schema.draft.insert(), draft)
        token = {"hash": "f" * 64, "purpose": "session", "rater": "r1", "created_at": 0.0}
        connection.execute(schema.token.insert(), token)
        connection.execute(schema.item.update().values(votes=2, is_open=False))
    old = record_export(store, "p", 0, {})
    said = [
        a_judgment("a", rationale="secret words", guideline_version="1"),
        a_judgment("b", rater="r2", guideline_version="2"),
        a_judgment("c", item="i2", answer=Skipped(reason="secret reason")),
    ]
    append(store, said)
    full = record_export(store, "p", 3, {})
    partial = record_export(store, "p", 3, {"raters": ["r2"]})
    for sha256, export in ((ONE, old), (TWO, full), (TWO, old), (THREE, partial)):
        record_model(store, sha256, export, f"runs/{sha256[0]}")
    record_event(store, "p", "r1", "blurred", {"assignment": "as1"})
    return store


def test_words_and_names_go_and_the_chain_holds(collected: Store) -> None:
    head = verify(collected).head_sha256
    erased = erase_rater(collected, "r1", by="lead")
    assert erased.judgments == 2
    verified = verify(collected, head)
    assert (verified.judgments, verified.erased, verified.faults) == (3, 2, ())
    assert [entry.judgment is None for entry in read(collected)] == [True, False, True]
    assert [judgment.id for judgment in standing(collected, "p")] == ["b"]
    with collected.reading() as connection:
        for table in (schema.draft, schema.assignment, schema.token):
            assert connection.execute(select(table)).all() == []
        names = connection.execute(select(schema.rater.c.name).order_by(schema.rater.c.id))
        assert names.scalars().all() == [None, "Name of r2"]
    said = list(events(collected, "p"))
    assert [(event.kind, event.rater) for event in said] == [("blurred", "r1"), ("erased", "lead")]
    assert said[0].detail == {}
    assert said[1].detail == {"judgments": 2, "models": [TWO], "rater": "r1"}


def test_the_models_that_learned_from_it_are_told(collected: Store) -> None:
    models = erase_rater(collected, "r1", by="lead").models
    assert [(model.sha256, model.path, len(model.exports)) for model in models] == [
        (TWO, "runs/2", 1)
    ]


def test_an_item_that_loses_its_vote_is_open_again(collected: Store) -> None:
    erase_rater(collected, "r1", by="lead")
    lost, skipped = get_item(collected, "p", "i1"), get_item(collected, "p", "i2")
    assert lost is not None and skipped is not None
    assert (lost.votes, lost.is_open) == (1, True)
    assert (skipped.votes, skipped.is_open) == (2, False)


def test_what_was_erased_is_in_no_file_any_more(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    put_project(store, "p", "{}")
    append(store, [a_judgment(f"j{n}", f"i{n}", rationale=f"private {n}") for n in range(50)])
    assert any(b"private 3" in file.read_bytes() for file in tmp_path.iterdir())
    erase_rater(store, "r1", by="lead")
    for file in tmp_path.iterdir():
        assert b"private" not in file.read_bytes(), file


def test_what_was_erased_does_not_come_back(collected: Store) -> None:
    erase_rater(collected, "r1", by="lead")
    with pytest.raises(ValueError, match="judgment a: was erased"):
        append(collected, [a_judgment("a", rationale="secret words", guideline_version="1")])
    with pytest.raises(ValueError, match="erased already"):
        erase_rater(collected, "r1", by="lead")
    with pytest.raises(ValueError, match="not in this store"):
        erase_rater(collected, "nobody", by="lead")


def test_a_model_is_traced_to_raters_and_guidelines(collected: Store) -> None:
    traced = lineage(collected, TWO)
    assert traced.paths == ("runs/2",)
    behind = {export.last_seq: export for export in traced.exports}
    assert behind[0].judgments == 0 and behind[0].head_sha256 == ""
    assert behind[3].raters == {"r1": 2, "r2": 1}
    assert behind[3].guideline_versions == {"1": 1, "2": 1, "": 1}
    assert behind[3].head_sha256 == verify(collected).head_sha256
    assert lineage(collected, THREE).exports[0].raters == {"r2": 1}
    erase_rater(collected, "r1", by="lead")
    after = {export.last_seq: export for export in lineage(collected, TWO).exports}[3]
    assert (after.judgments, after.erased, dict(after.raters)) == (3, 2, {"r2": 1})
    with pytest.raises(ValueError, match="none recorded"):
        lineage(collected, "4" * 64)

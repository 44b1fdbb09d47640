"""An item that loses a vote by a suspension wants another, until the rater is resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from plaudit.feedback.assignment.giving import next_assignment
from plaudit.feedback.assignment.submission import undo
from plaudit.judgments import Pairwise
from plaudit.store import Store, Writer, erase_rater, get_item, open_store, people, schema
from tests.collecting import given, join, judge, made, pair, project


def preferring(candidate: int, shown: tuple[int, ...]) -> Pairwise:
    return Pairwise(strength=-2 if shown[0] == candidate else 2)


def counted(store: Store, id: str = "a") -> tuple[int, bool]:
    stored = get_item(store, "p", id)
    assert stored is not None
    return stored.votes, stored.is_open


def suspend(store: Store, rater: str) -> None:
    people.suspend(store, "p", rater, 1.0, "lead", "too quick")


@pytest.fixture
def judged(tmp_path: Path) -> Store:
    """Ann and Bob have judged the one item, and Cem waits."""
    store = made(tmp_path, project(), [pair("a")], ["ann", "bob", "cem"])
    with Writer(store) as writer:
        for rater in ("ann", "bob"):
            judge(writer, given(store, rater), rater)
    assert counted(store) == (2, False) and next_assignment(store, "p", "cem") is None
    return store


def test_a_suspended_raters_items_are_given_to_others(judged: Store):
    suspend(judged, "bob")
    assert counted(judged) == (1, True)
    with Writer(judged) as writer:
        judge(writer, given(judged, "cem"), "cem")
    assert counted(judged) == (2, False)


def test_who_is_resumed_counts_again(judged: Store):
    for _ in range(2):  # said twice it is done once
        suspend(judged, "bob")
    assert counted(judged) == (1, True)
    for _ in range(2):
        people.resume(judged, "p", "bob", "lead")
    assert counted(judged) == (2, False)


def test_other_raters_and_projects_are_left_alone(judged: Store):
    join(judged, "p", "dan")
    suspend(judged, "dan")
    assert counted(judged) == (2, False)


def test_an_erased_rater_does_not_lose_his_votes_twice(judged: Store):
    suspend(judged, "bob")
    erase_rater(judged, "bob", by="lead")
    assert counted(judged) == (1, True)


def test_what_is_sent_meanwhile_gives_no_vote(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    with Writer(store) as writer:
        late = given(store, "ann")
        suspend(store, "ann")
        judge(writer, late, "ann")
        assert counted(store) == (0, True)
        people.resume(store, "p", "ann", "lead")
        assert counted(store) == (1, True)
        undo(writer, "p", "ann")
    assert counted(store) == (0, True)


def test_a_suspended_raters_doubt_calls_for_no_further_vote(tmp_path: Path):
    config = project(overlap={"votes": 2, "adaptive": {"max_votes": 3}})
    store = made(tmp_path, config, [pair("a")], ["ann", "bob", "cem"])
    with Writer(store) as writer:
        for rater, candidate in (("ann", 0), ("bob", 1)):
            one = given(store, rater)
            judge(writer, one, rater, preferring(candidate, one.shown))
        assert counted(store) == (2, True)
        suspend(store, "bob")
        one = given(store, "cem")
        judge(writer, one, "cem", preferring(0, one.shown))
    assert counted(store) == (2, False)


def test_older_stores_leave_out_who_is_suspended(tmp_path: Path, judged: Store):
    suspend(judged, "bob")
    with judged.writing() as connection:
        connection.execute(schema.item.update().values(votes=2, is_open=False))
        connection.execute(text("UPDATE schema_version SET version = 3"))
    judged.close()
    again = open_store(tmp_path / "judgments.db")
    assert counted(again) == (1, True)
    again.close()

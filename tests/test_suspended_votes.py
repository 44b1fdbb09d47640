"""An item that loses a vote by a suspension wants another, until the rater is resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, text

from plaudit.aggregation.giving import give_judgments
from plaudit.aggregation.taking import take_judgments
from plaudit.feedback.assignment.answers import Sent
from plaudit.feedback.assignment.giving import next_assignment
from plaudit.feedback.assignment.submission import undo
from plaudit.feedback.leads.adjudication import adjudicate
from plaudit.feedback.projects.setup import set_up_project
from plaudit.judgments import Pairwise
from plaudit.store import (
    Store,
    Writer,
    add_items,
    erase_rater,
    get_item,
    items,
    open_store,
    people,
    schema,
    standing,
)
from plaudit.store import assignment_queue as queue
from plaudit.store.settled import is_settled
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


def imported(store: Store, place: Path, **options: int) -> str:
    """One vote on one pair from a file; the rater's id."""
    path = place / "in.jsonl"
    path.write_text('{"#id": "x", "turkerid": "W1", "label": "a1", "a1": "yes", "a2": "no"}\n')
    take_judgments(store, "p", path, **options)
    (found,) = standing(store, "p")
    return found.rater.id


def test_imported_votes_go_and_come_back_like_others(tmp_path: Path):
    store = made(tmp_path, project(), [])
    rater = imported(store, tmp_path)
    name = next(items(store, "p")).item.id
    assert counted(store, name) == (1, False)
    suspend(store, rater)
    assert counted(store, name) == (0, True)
    people.resume(store, "p", rater, "lead")
    assert counted(store, name) == (1, False)
    erase_rater(store, rater, by="lead")
    assert counted(store, name) == (0, True)


def test_an_import_does_not_count_who_is_suspended(judged: Store, tmp_path: Path):
    suspend(judged, "bob")
    give_judgments(judged, "p", tmp_path / "all.jsonl", format="plaudit")
    take_judgments(judged, "p", tmp_path / "all.jsonl")
    assert counted(judged) == (1, True)


def test_an_item_that_was_imported_to_get_more_votes_gets_them(tmp_path: Path):
    store = made(tmp_path, project(overlap={"votes": 1}), [], ["ann"])
    imported(store, tmp_path, target_votes=3)
    with Writer(store) as writer:
        one = given(store, "ann")
        judge(writer, one, "ann")
    assert counted(store, one.item.id) == (2, True)


def test_what_is_settled_stays_closed_whatever_becomes_of_its_votes(tmp_path: Path):
    config = project(overlap={"votes": 3})
    store = made(tmp_path, config, [pair("a")], ["ann", "bob", "lead"])
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann")
        late = given(store, "bob")
        settled = Sent(id="settled", answer=Pairwise(strength=1))
        adjudicate(store, writer, config, late.number, "lead", settled)
        judge(writer, late, "bob")
        assert counted(store) == (2, False)
        undo(writer, "p", "bob")
        assert counted(store) == (1, False)
    suspend(store, "ann")
    assert counted(store) == (0, False)
    people.resume(store, "p", "ann", "lead")
    set_up_project(store, project(overlap={"votes": 4}), tmp_path)
    with store.writing() as connection:
        queue.set_targets(connection, "p", {"": 4})
    assert counted(store) == (1, False)
    erase_rater(store, "lead", by="ann")
    assert counted(store) == (1, False), "who settled it gave it no vote"


def test_gold_stands_in_no_queue(tmp_path: Path):
    gold, config = pair("g", gold=Pairwise(strength=-1)), project(gold={"onboarding": 1})
    store = made(tmp_path, config, [gold, pair("a")], ["ann"])
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann")
    assert counted(store, "g") == (1, False)
    erase_rater(store, "ann", by="lead")
    assert counted(store, "g") == (0, False)
    add_items(store, "p", [pair("new", gold=Pairwise(strength=1))], target_votes=2)
    assert counted(store, "new") == (0, False), "as where a file is imported"


def test_older_stores_leave_out_who_is_suspended(tmp_path: Path, judged: Store):
    suspend(judged, "bob")
    with judged.writing() as connection:
        connection.execute(schema.item.update().values(votes=2, is_open=False))
        connection.execute(text("UPDATE schema_version SET version = 3"))
    judged.close()
    again = open_store(tmp_path / "judgments.db")
    assert counted(again) == (1, True)
    again.close()


def test_what_is_settled_is_found_by_an_index_of_its_own(tmp_path: Path, judged: Store):
    """To look through the answers to all that lost a vote kept raters waiting for seconds."""
    with judged.writing() as connection:
        connection.execute(text("DROP INDEX judgment_settling"))
        connection.execute(text("UPDATE schema_version SET version = 7"))
    judged.close()
    again = open_store(tmp_path / "judgments.db")
    asked = select(schema.item.c.id).where(is_settled()).compile(again.engine)
    with again.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}").all()
    assert "judgment_settling" in str(plan)
    again.close()

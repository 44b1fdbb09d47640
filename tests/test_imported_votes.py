"""Imported judgments are votes like any other: they count, and call for more where they differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plaudit.aggregation.taking import take_judgments
from plaudit.cli import app
from plaudit.feedback.assignment.votes import wanting_of
from plaudit.judgments import Judgment, Pairwise, Rated, Skipped, Withdrawn
from plaudit.store import Store, StoredItem, Writer, get_project, items
from plaudit.store.votes import is_counted, vote_of
from tests.collecting import filled, given, judge, made, project
from tests.test_suspended_votes import preferring, suspend
from tests.voting import a_judgment

pytest_plugins = ("tests.postgres",)
ADAPTIVE = {"votes": 2, "adaptive": {"max_votes": 3}}


def collecting(place: Path, **overlap: object) -> Store:
    return made(place, project(overlap=overlap), [], ["ann", "bob"])


def taken(store: Store, place: Path, *labels: str, target_votes: int = 1) -> StoredItem:
    """The item of a file with so many votes."""
    said = [{"#id": "x", "turkerid": f"W{i}", "label": label, "a1": "yes", "a2": "no"}
            for i, label in enumerate(labels)]  # fmt: skip
    path = place / "in.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in said))
    found = get_project(store, "p")
    assert found is not None
    wanting = wanting_of(found.config)
    take_judgments(store, "p", path, target_votes=target_votes, wanting=wanting)
    return only(store)


def only(store: Store) -> StoredItem:
    (found,) = items(store, "p")
    return found


def judged_by(store: Store, rater: str, candidate: int) -> None:
    with Writer(store) as writer:
        one = given(store, rater)
        judge(writer, one, rater, preferring(candidate, one.shown))


@pytest.mark.parametrize(
    ("labels", "wanted", "is_open"),
    [(["a1"], 2, True), (["a1", "a1"], 2, False), (["a1", "a2"], 3, True),
     (["a1", "a2", "a2"], 3, False)],
)  # fmt: skip
def test_imported_doubt_calls_for_another_vote(
    tmp_path: Path, labels: list[str], wanted: int, is_open: bool
):
    found = taken(collecting(tmp_path, **ADAPTIVE), tmp_path, *labels)
    assert (found.votes, found.target_votes) == (len(labels), wanted)
    assert found.is_open == is_open


def test_without_adaptive_overlap_doubt_calls_for_none(tmp_path: Path):
    found = taken(collecting(tmp_path, votes=2), tmp_path, "a1", "a2", target_votes=2)
    assert (found.votes, found.target_votes, found.is_open) == (2, 2, False)


def test_more_votes_asked_for_are_kept(tmp_path: Path):
    found = taken(collecting(tmp_path, **ADAPTIVE), tmp_path, "a1", "a1", target_votes=3)
    assert (found.target_votes, found.is_open) == (3, True)


def test_a_vote_beside_imported_ones_is_held_against_them(store: Store, tmp_path: Path):
    filled(store, project(overlap=ADAPTIVE), [], ["ann", "bob"])
    assert taken(store, tmp_path, "a1").is_open
    judged_by(store, "ann", 1)
    found = only(store)
    assert (found.votes, found.target_votes, found.is_open) == (2, 3, True)
    judged_by(store, "bob", 0)
    found = only(store)
    assert (found.votes, found.target_votes, found.is_open) == (3, 3, False)


def test_what_agrees_with_imported_votes_is_enough(tmp_path: Path):
    store = collecting(tmp_path, **ADAPTIVE)
    taken(store, tmp_path, "a1")
    judged_by(store, "ann", 0)
    found = only(store)
    assert (found.votes, found.target_votes, found.is_open) == (2, 2, False)


def test_a_suspended_raters_imported_vote_leaves_no_doubt(tmp_path: Path):
    store = collecting(tmp_path, **ADAPTIVE)
    taken(store, tmp_path, "a2")
    with store.reading() as connection:
        (rater,) = connection.exec_driver_sql("SELECT rater FROM judgment").scalars()
    assert rater is not None
    suspend(store, rater)
    judged_by(store, "ann", 0)
    judged_by(store, "bob", 0)
    found = only(store)
    assert (found.votes, found.target_votes, found.is_open) == (2, 2, False)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({}, True),
        ({"answer": Rated(values=(1.0, 2.0))}, True),
        ({"answer": Skipped(reason="unclear")}, False),
        ({"is_repeat": True}, False),
        ({"flags": ("adjudicated",)}, False),
        ({"answer": Pairwise(strength=0, both_bad=True), "flags": ("odd",)}, True),
    ],
)
def test_judgments_and_the_facts_kept_of_them_tell_alike_what_is_a_vote(said: dict, counts: bool):
    judgment: Judgment = a_judgment("j", **said)
    assert is_counted(judgment) == vote_of(judgment, None).is_counted == counts


def test_what_takes_a_judgment_back_is_no_vote():
    assert not is_counted(a_judgment("j", answer=Withdrawn(), supersedes="i"))


def test_the_command_follows_the_projects_overlap(tmp_path: Path):
    store = collecting(tmp_path, **ADAPTIVE)
    taken(store, tmp_path, "a1")
    (tmp_path / "more.jsonl").write_text(
        '{"#id": "y", "turkerid": "W1", "label": "a1", "a1": "up", "a2": "down"}\n'
        '{"#id": "y", "turkerid": "W2", "label": "a2", "a1": "up", "a2": "down"}\n'
    )
    words = ["feedback", "import", str(tmp_path / "more.jsonl"), "--project", "p"]
    said = CliRunner().invoke(app, [*words, "--store", str(tmp_path / "judgments.db")])
    assert said.exit_code == 0, said.output
    assert [one.target_votes for one in items(store, "p")] == [2, 3]

"""What raters are given next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.feedback.assignment import Refused, next_assignment
from plaudit.feedback.assignment_submission import skip, undo
from plaudit.judgments import Pairwise
from plaudit.store import Writer, get_item, standing, verify
from tests.collecting import given, judge, made, pair, project


def test_an_item_is_given_judged_and_counted(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann", "bob"])
    with Writer(store) as writer:
        for rater in ("ann", "bob"):
            judge(writer, given(store, rater), rater)
    stored = get_item(store, "p", "a")
    assert stored is not None and stored.votes == 2 and not stored.is_open
    assert {one.rater.id for one in standing(store, "p")} == {"ann", "bob"}
    assert not verify(store).faults
    assert next_assignment(store, "p", "ann") is None


def test_a_reload_gives_the_same_assignment_in_the_same_order(tmp_path: Path):
    store = made(tmp_path, project(), [pair(str(i)) for i in range(5)], ["ann"])
    first = given(store, "ann")
    assert [given(store, "ann") for _ in range(3)] == [first] * 3


def test_strangers_and_suspended_raters_are_refused(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")])
    with pytest.raises(Refused, match="not a member"):
        next_assignment(store, "p", "ann")
    with pytest.raises(Refused, match="none of that name"):
        next_assignment(store, "q", "ann")


def test_undo_takes_back_and_opens_again_with_the_answer(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann", Pairwise(strength=-2), rationale="why not")
        again = undo(writer, "p", "ann")
        assert again is not None and again.draft is not None
        draft = json.loads(again.draft)
        assert draft["answer"]["strength"] == -2 and draft["rationale"] == "why not"
        assert not list(standing(store, "p"))
        assert given(store, "ann") == again
        judge(writer, again, "ann", Pairwise(strength=1))
    assert len(list(standing(store, "p"))) == 1
    assert not verify(store).faults


def test_a_skip_gives_the_item_to_others(tmp_path: Path):
    store = made(tmp_path, project(overlap={"votes": 1}), [pair("a")], ["ann", "bob"])
    with Writer(store) as writer:
        skip(writer, given(store, "ann").id, "ann", "unclear")
    assert next_assignment(store, "p", "ann") is None
    assert given(store, "bob").item.id == "a"

"""What becomes of an assignment: judged, skipped, undone, left with a draft."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.feedback.assignment.answers import Sent
from plaudit.feedback.assignment.case import after, case_in
from plaudit.feedback.assignment.giving import Conflict, Refused, give, next_assignment
from plaudit.feedback.assignment.submission import save_draft, skip, submit, submit_in, undo
from plaudit.judgments import Candidate, Item, Pairwise, Ranked, Rated, Skipped, Withdrawn
from plaudit.store import (
    Appending,
    Store,
    StoredItem,
    Writer,
    events,
    get_item,
    put_guideline,
    read,
    standing,
    verify,
)
from plaudit.store.turns import alone
from tests.collecting import given, join, judge, made, pair, project

RANKING = {"name": "order", "kind": "ranking"}


def stored(store: Store, id: str) -> StoredItem:
    found = get_item(store, "p", id)
    assert found is not None
    return found


def ranked_item(id: str, candidates: int) -> Item:
    texts = [f"answer {n} of {id}" for n in range(candidates)]
    return Item(
        id=id, question="order", prompt="?", candidates=tuple(Candidate(content=t) for t in texts)
    )


def test_places_become_candidates_of_the_item(tmp_path: Path):
    """Whatever the order shown, left is the candidate that was shown first."""
    store = made(tmp_path, project(), [pair(f"i{n}") for n in range(10)], ["ann"])
    chosen = {}
    with Writer(store) as writer:
        for _ in range(10):
            one = given(store, "ann")
            judge(writer, one, "ann", Pairwise(strength=-3))
            chosen[one.item.id] = one.shown
    assert set(chosen.values()) == {(0, 1), (1, 0)}
    for judgment in standing(store, "p"):
        assert isinstance(judgment.answer, Pairwise)
        assert judgment.shown == chosen[judgment.item]
        assert judgment.answer.strength == (-3 if judgment.shown[0] == 0 else 3)


def test_ranks_and_marks_by_place_become_those_of_candidates(tmp_path: Path):
    config = project(questions=[RANKING | {"criteria": [{"name": "clear"}]}])
    store = made(tmp_path, config, [ranked_item("r", 4)], ["ann"])
    one = given(store, "ann")
    with Writer(store) as writer:
        ranks, marks = Ranked(ranks=(2, 1, 4, 3)), {"clear": (1.0, 2.0, 3.0, 4.0)}
        judge(writer, one, "ann", ranks, criteria=marks)
        (judgment,) = standing(store, "p")
        assert isinstance(judgment.answer, Ranked)
        for place, candidate in enumerate(one.shown):
            assert judgment.answer.ranks[candidate] == (2, 1, 4, 3)[place]
            assert judgment.criteria["clear"][candidate] == place + 1
        again = undo(writer, "p", "ann")
    assert again is not None and again.draft is not None
    draft = json.loads(again.draft)
    assert draft["answer"]["ranks"] == [2, 1, 4, 3]
    assert draft["criteria"] == {"clear": [1.0, 2.0, 3.0, 4.0]}


def test_the_default_order_of_a_ranking_is_no_answer(tmp_path: Path):
    """Trap H 11."""
    store = made(tmp_path, project(questions=[RANKING]), [ranked_item("r", 3)], ["ann"])
    one, untouched = given(store, "ann"), Ranked(ranks=(1, 2, 3))
    with Writer(store) as writer:
        with pytest.raises(ValueError, match="is the order shown"):
            judge(writer, one, "ann", untouched)
        assert not list(standing(store, "p"))
        judge(writer, one, "ann", untouched, confirmed=True)
    assert len(list(standing(store, "p"))) == 1


def test_a_second_vote_of_the_same_rater_is_refused(tmp_path: Path):
    """Trap H 21."""
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    one = given(store, "ann")
    with Writer(store) as writer:
        judge(writer, one, "ann", id="first")
        with pytest.raises(Conflict, match="judged already"):
            judge(writer, one, "ann", id="second")
        with pytest.raises(Conflict, match="judged already"):
            skip(writer, one.id, "ann", "unclear")
    assert stored(store, "a").votes == 1
    assert [entry.id for entry in read(store, "p")] == ["first"]


def test_sent_twice_it_is_one_judgment(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    one = given(store, "ann")
    with Writer(store) as writer:
        first = judge(writer, one, "ann", id="same", now=10.0)
        again = judge(writer, one, "ann", id="same", now=11.0)
        assert (again.seq, again.sha256) == (first.seq, first.sha256)
        assert first.is_new and not again.is_new
        with pytest.raises(Conflict, match="another answer"):
            judge(writer, one, "ann", Pairwise(strength=1), id="same")
    assert stored(store, "a").votes == 1


def test_an_id_of_another_judgment_is_refused_and_changes_nothing(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a"), pair("b")], ["ann"])
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann", id="same")
        second = given(store, "ann")
        with pytest.raises(ValueError, match="another body"):
            judge(writer, second, "ann", id="same")
    assert stored(store, "b").votes == 0
    assert given(store, "ann").id == second.id


def test_another_raters_assignment_is_refused(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann", "bob"])
    one = given(store, "ann")
    with Writer(store) as writer:
        for act in (
            lambda: judge(writer, one, "bob"),
            lambda: skip(writer, one.id, "bob", "unclear"),
            lambda: save_draft(writer, one.id, "bob", "{}"),
            lambda: submit(writer, "no-such", "ann", Sent(id="x", answer=Pairwise(strength=1))),
        ):
            with pytest.raises(Refused, match="not one of yours"):
                act()
    assert not list(read(store, "p"))


def test_a_late_answer_counts_even_where_the_item_is_full(tmp_path: Path):
    """No answer is thrown away: it is a vote more than was wanted."""
    config = project(overlap={"votes": 1}, lease_seconds=60)
    store = made(tmp_path, config, [pair("a")], ["ann", "bob"])
    late = given(store, "ann", now=0.0)
    with Writer(store) as writer:
        judge(writer, given(store, "bob", now=100.0), "bob", now=110.0)
        judge(writer, late, "ann", now=120.0)
    item = stored(store, "a")
    assert (item.votes, item.target_votes, item.is_open) == (2, 1, False)


def test_skips_are_recorded_and_never_votes(tmp_path: Path):
    store = made(tmp_path, project(overlap={"votes": 1}), [pair("a")], ["ann", "bob"])
    one = given(store, "ann")
    with Writer(store) as writer:
        with pytest.raises(ValueError, match="reason is 'boring'; expected one of unclear"):
            skip(writer, one.id, "ann", "boring")
        first = skip(writer, one.id, "ann", "needs_expert", note="Latin")
        assert skip(writer, one.id, "ann", "needs_expert", note="Latin").seq == first.seq
        with pytest.raises(Conflict, match="skipped already"):
            judge(writer, one, "ann")
    (judgment,) = standing(store, "p")
    assert judgment.answer == Skipped(reason="needs_expert") and judgment.rationale == "Latin"
    assert stored(store, "a").votes == 0
    assert next_assignment(store, "p", "ann") is None
    assert given(store, "bob").item.id == "a"


def test_undo_goes_back_step_by_step(tmp_path: Path):
    store = made(tmp_path, project(overlap={"votes": 1}), [pair("a"), pair("b")], ["ann"])
    with Writer(store) as writer:
        for _ in range(2):
            judge(writer, given(store, "ann"), "ann", Pairwise(strength=2), rationale="so")
        second, first = undo(writer, "p", "ann"), undo(writer, "p", "ann")
        assert first is not None and second is not None
        assert (first.item.id, second.item.id) == ("a", "b")
        assert undo(writer, "p", "ann") is None
        assert stored(store, "a").is_open and stored(store, "a").votes == 0
        assert first.draft and json.loads(first.draft)["answer"]["strength"] == 2
        assert not list(standing(store, "p"))
        assert given(store, "ann").item.id == "a"
        judge(writer, given(store, "ann"), "ann")
        assert given(store, "ann").item.id == "b"
    kinds = [type(entry.judgment.answer) for entry in read(store, "p") if entry.judgment]
    assert kinds == [Pairwise, Pairwise, Withdrawn, Withdrawn, Pairwise]
    assert [event.rater for event in events(store, "p", "undone")] == ["ann", "ann"]
    assert not verify(store).faults


def test_undo_reaches_only_so_far_back(tmp_path: Path):
    config = project(undo_last=2)
    store = made(tmp_path, config, [pair(f"i{n}") for n in range(4)], ["ann"])
    with Writer(store) as writer:
        assert undo(writer, "p", "ann") is None
        for _ in range(4):
            judge(writer, given(store, "ann"), "ann")
        undone = [one.item.id for _ in range(3) if (one := undo(writer, "p", "ann"))]
    assert undone == ["i3", "i2"]


def test_a_skip_can_be_undone_and_skipped_again(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    with Writer(store) as writer:
        one = given(store, "ann", now=1.0)
        skip(writer, one.id, "ann", "unclear", now=2.0)
        again = undo(writer, "p", "ann", now=3.0)
        assert again is not None and again.id == one.id and again.draft is None
        skip(writer, one.id, "ann", "harmful", now=4.0)
    (judgment,) = standing(store, "p")
    assert judgment.answer == Skipped(reason="harmful")


def test_drafts_survive_a_reload_and_keep_the_lease(tmp_path: Path):
    config = project(lease_seconds=60)
    store = made(tmp_path, config, [pair("a")], ["ann"])
    one = given(store, "ann", now=0.0)
    with Writer(store) as writer:
        save_draft(writer, one.id, "ann", '{"rationale": "I thi"}', now=50.0)
        save_draft(writer, one.id, "ann", '{"rationale": "I think"}', now=55.0)
    again = given(store, "ann", now=100.0)
    assert again.draft == '{"rationale": "I think"}'
    assert again.leased_until == 115.0 and again.opened_at == 0.0
    with Writer(store) as writer:
        judge(writer, again, "ann", now=101.0)
        with pytest.raises(Conflict, match="judged already"):
            save_draft(writer, one.id, "ann", "{}")


def test_a_judgment_says_under_which_guideline_it_was_made(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a"), pair("b")], ["ann"])
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann")
        put_guideline(store, "p", "2", "Choose the worse one.")
        judge(writer, given(store, "ann"), "ann")
    assert [one.guideline_version for one in standing(store, "p")] == ["1", "2"]


def test_doubt_calls_for_a_third_vote_and_undo_takes_the_call_back(tmp_path: Path):
    config = project(overlap={"votes": 2, "adaptive": {"max_votes": 3}})
    store = made(tmp_path, config, [pair("a"), pair("b")], ["ann", "bob", "cem"])
    left, right = Pairwise(strength=-2), Pairwise(strength=2)
    for_first: dict[tuple[int, ...], Pairwise] = {(0, 1): left, (1, 0): right}
    for_second: dict[tuple[int, ...], Pairwise] = {(0, 1): right, (1, 0): left}
    with Writer(store) as writer:
        for rater, answers in (("ann", for_first), ("bob", for_second)):
            one = given(store, rater)
            judge(writer, one, rater, answers[one.shown])
        doubted = stored(store, "a")
        assert (doubted.target_votes, doubted.is_open) == (3, True)
        again = undo(writer, "p", "bob")
        assert again is not None and stored(store, "a").target_votes == 2
        judge(writer, again, "bob", for_second[again.shown])
        third = given(store, "cem")
        assert third.item.id == "a"
        judge(writer, third, "cem", for_first[third.shown])
        settled = stored(store, "a")
        assert (settled.votes, settled.is_open) == (3, False)
        for rater in ("ann", "bob"):
            one = given(store, rater)
            judge(writer, one, rater, for_first[one.shown])
    agreed = stored(store, "b")
    assert (agreed.votes, agreed.is_open) == (2, False)


def test_a_failed_submission_leaves_everything_as_it_was(tmp_path: Path):
    question = {"name": "rate", "kind": "rating", "rationale": "always"}
    item = Item(id="a", question="rate", prompt="?", candidates=(Candidate(content="x"),))
    store = made(tmp_path, project(questions=[question]), [item], ["ann"])
    one = given(store, "ann")
    with Writer(store) as writer, pytest.raises(ValueError, match="rationale is empty"):
        judge(writer, one, "ann", Rated(values=(3.0,)))
    assert given(store, "ann") == one and not list(read(store))


def test_a_new_rater_joins_in_the_middle(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    with Writer(store) as writer:
        judge(writer, given(store, "ann"), "ann")
        join(store, "p", "bob")
        judge(writer, given(store, "bob"), "bob")
    assert stored(store, "a").votes == 2


def test_what_comes_after_is_what_would_have_been_given(tmp_path: Path):
    """By the rows that were read with the case, as by reading anew."""
    config = project(
        overlap={"votes": 2, "adaptive": {"max_votes": 3}}, repeat_rate=0.2, repeat_after=3
    )
    store = made(tmp_path, config, [pair(f"i{n}") for n in range(30)], ["ann", "bob"])
    with Writer(store) as writer:
        judge(writer, given(store, "bob"), "bob")
        for n in range(20):
            one = given(store, "ann")

            def both(log: Appending, one=one, n=n):
                case = yield from case_in(log, one.id, "ann", 2e9)
                submit_in(case, Sent(id=f"j{n}", answer=Pairwise(strength=1)))
                savepoint = log.connection.begin_nested()
                anew = alone(give(log, "p", "ann", 2e9))
                savepoint.rollback()
                return (yield from after(case)), anew

            sooner, anew = writer.run(both).result(10)
            assert sooner == anew and sooner is not None
            if n % 5 == 4:
                undo(writer, "p", "ann")


def test_an_id_that_is_none_is_refused(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    with Writer(store) as writer:
        for id in ("x", "", "-", "a-²", "a-" + "9" * 150, f"{given(store, 'ann').id} "):
            with pytest.raises(Refused, match="not one of yours"):
                submit(writer, id, "ann", Sent(id="s", answer=Pairwise(strength=1)))

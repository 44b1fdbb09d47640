"""What raters are given next, and in which order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from plaudit.feedback.assignment.giving import (
    Conflict,
    Refused,
    give_item,
    next_assignment,
    release_expired,
)
from plaudit.feedback.assignment.policy import BLOCK, order_shown, repeat_serials
from plaudit.feedback.assignment.submission import skip
from plaudit.feedback.rating.arena import put_before
from plaudit.judgments import Item, Pairwise
from plaudit.store import Store, Writer, assignment_case, get_item, schema, standing, verify
from plaudit.store import assignment_queue as queue
from plaudit.store import assignments as table
from plaudit.store.schema import assignment
from tests.collecting import given, join, judge, made, pair, project


def pairs(number: int, **options) -> list[Item]:
    return [pair(f"i{n}", **options) for n in range(number)]


def golds(number: int) -> list[Item]:
    return [pair(f"gold{n}", gold=Pairwise(strength=-2)) for n in range(number)]


def work_off(store: Store, rater: str, most: int = 10_000) -> list[str]:
    """Judge until there is nothing left, and say what was given."""
    had = []
    with Writer(store) as writer:
        while len(had) < most and (one := next_assignment(store, "p", rater)):
            judge(writer, one, rater)
            had.append(one.item.id)
    return had


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
    """Trap H 10."""
    store = made(tmp_path, project(), pairs(5), ["ann"])
    first = given(store, "ann")
    assert [given(store, "ann") for _ in range(3)] == [first] * 3


def test_strangers_and_suspended_raters_are_refused(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")])
    with pytest.raises(Refused, match="not a member"):
        next_assignment(store, "p", "ann")
    with pytest.raises(Refused, match="none of that name"):
        next_assignment(store, "q", "ann")
    join(store, "p", "ann")
    with store.writing() as connection:
        connection.execute(schema.member.update().values(suspended_at=1.0))
    with pytest.raises(Refused, match="suspended"):
        next_assignment(store, "p", "ann")


def test_higher_priority_first_then_begun_items_then_first_come(tmp_path: Path):
    items = [pair("low"), pair("mid"), pair("high", priority=5)]
    store = made(tmp_path, project(), items, ["ann", "bob", "cem"])
    assert work_off(store, "ann", 1) == ["high"]
    with Writer(store) as writer:
        low = given(store, "ann")
        assert low.item.id == "low"
        judge(writer, low, "ann")
    assert work_off(store, "bob") == ["high", "low", "mid"]
    assert work_off(store, "cem") == ["mid"]


def test_a_begun_item_comes_before_earlier_fresh_ones(tmp_path: Path):
    store = made(tmp_path, project(overlap={"votes": 3}), pairs(3), ["ann", "bob", "cem"])
    with Writer(store) as writer:
        given(store, "ann", now=0.0)
        skip(writer, given(store, "bob", now=0.0).id, "bob", "unclear", now=1.0)
        judge(writer, second := given(store, "bob", now=2.0), "bob", now=3.0)
    assert second.item.id == "i1"
    assert given(store, "cem", now=4.0).item.id == "i1"


def test_nobody_gets_an_item_twice(tmp_path: Path):
    store = made(tmp_path, project(overlap={"votes": 9}), pairs(12), ["ann"])
    had = work_off(store, "ann")
    assert sorted(had) == sorted(f"i{n}" for n in range(12))


def test_the_search_goes_past_the_head_of_the_queue(tmp_path: Path):
    """More open items than the head of the queue holds, all of which the rater has had."""
    store = made(tmp_path, project(overlap={"votes": 9}), pairs(70), ["ann", "bob"])
    assert len(set(work_off(store, "ann"))) == 70
    with Writer(store) as writer:
        bobs = given(store, "bob")
        judge(writer, bobs, "bob")
    assert next_assignment(store, "p", "ann") is None
    assert len(set(work_off(store, "bob"))) == 69


def test_what_was_missed_on_the_way_is_found_in_the_end(tmp_path: Path):
    """Behind the place where the rater is, and beyond the head of the queue."""
    store = made(tmp_path, project(overlap={"votes": 9}), pairs(75), ["ann"])
    of_id = schema.item.update().where(schema.item.c.id == "i68")
    with store.writing() as connection:
        connection.execute(of_id.values(is_open=False))
    assert len(work_off(store, "ann")) == 74
    with store.writing() as connection:
        connection.execute(of_id.values(is_open=True))
    assert work_off(store, "ann") == ["i68"]


def test_a_queue_of_ones_own(tmp_path: Path):
    items = [*pairs(3), *(pair(f"m{n}", stratum="maths") for n in range(2))]
    store = made(tmp_path, project(overlap={"votes": 1}), items, ["ann"])
    join(store, "p", "expert", queue="maths")
    assert work_off(store, "expert") == ["m0", "m1"]
    assert work_off(store, "ann") == ["i0", "i1", "i2"]


def test_gold_of_a_queue_of_ones_own(tmp_path: Path):
    items = [*golds(2), pair("mgold", stratum="maths", gold=Pairwise(strength=1))]
    store = made(tmp_path, project(gold={"onboarding": 3}), items)
    join(store, "p", "expert", queue="maths")
    assert work_off(store, "expert") == ["mgold"]


def test_overlap_by_stratum(tmp_path: Path):
    config = project(overlap={"votes": 1, "by_stratum": {"hard": 3}})
    items = [pair("easy"), pair("hard", stratum="hard")]
    store = made(tmp_path, config, items, ["ann", "bob", "cem"])
    had = [work_off(store, rater) for rater in ("ann", "bob", "cem")]
    assert had == [["easy", "hard"], ["hard"], ["hard"]]


def test_gold_first_then_at_its_rate(tmp_path: Path):
    config = project(gold={"onboarding": 3, "rate": 0.2}, overlap={"votes": 1})
    store = made(tmp_path, config, [*pairs(100), *golds(50)], ["ann"])
    had = work_off(store, "ann", 103)
    is_gold = [id.startswith("gold") for id in had]
    assert all(is_gold[:3])
    # Binomial(100, 0.2): mean 20, standard deviation 4.
    assert 6 < sum(is_gold[3:]) < 34
    assert len(set(had)) == len(had)
    logged = [one for one in standing(store, "p") if one.is_gold]
    assert {one.item for one in logged} == {id for id in had if id.startswith("gold")}


def test_gold_never_closes_and_never_stands_in_the_queue(tmp_path: Path):
    config = project(gold={"onboarding": 1}, overlap={"votes": 1})
    store = made(tmp_path, config, [*golds(1), pair("a")], ["ann", "bob", "cem"])
    assert work_off(store, "ann") == ["gold0", "a"]
    assert work_off(store, "bob") == ["gold0"]
    stored = get_item(store, "p", "gold0")
    assert stored is not None and not stored.is_open and stored.votes == 2


def test_repeats_come_flipped_and_give_no_vote(tmp_path: Path):
    config = project(repeat_rate=0.2, repeat_after=5, overlap={"votes": 1})
    store = made(tmp_path, config, pairs(80), ["ann"])
    first_order: dict[str, tuple[int, ...]] = {}
    repeats = 0
    with Writer(store) as writer:
        while one := next_assignment(store, "p", "ann"):
            assert one.is_repeat == (one.item.id in first_order)
            if one.is_repeat:
                repeats += 1
                assert one.shown == first_order[one.item.id][::-1]
            first_order[one.item.id] = one.shown
            judge(writer, one, "ann")
    # Binomial(about 95, 0.2): mean 19, standard deviation 4.
    assert 5 < repeats < 34
    assert sum(one.is_repeat for one in standing(store, "p")) == repeats
    votes = [item.votes for n in range(80) if (item := get_item(store, "p", f"i{n}"))]
    assert votes == [1] * 80


def test_repeats_are_long_enough_ago():
    config = project(repeat_rate=0.2, repeat_after=7)
    assert repeat_serials(config, "secret", "ann", 7) == []
    drawn = [s for serial in range(8, 60) for s in repeat_serials(config, "secret", "ann", serial)]
    assert drawn and all(
        0 <= earlier < serial - 7
        for serial in range(8, 60)
        for earlier in repeat_serials(config, "secret", "ann", serial)
    )


def test_a_lease_counts_as_taken_until_it_runs_out(tmp_path: Path):
    config = project(overlap={"votes": 1}, lease_seconds=60)
    store = made(tmp_path, config, [pair("a")], ["ann", "bob"])
    held = given(store, "ann", now=100.0)
    assert next_assignment(store, "p", "bob", now=159.0) is None
    assert given(store, "bob", now=161.0).item.id == "a"
    assert next_assignment(store, "p", "ann", now=162.0) is None
    assert held.leased_until == 160.0


def test_what_somebody_asked_in_the_arena_is_theirs_alone(tmp_path: Path):
    config = project(lease_seconds=60, overlap={"votes": 2})
    store = made(tmp_path, config, [], ["ann", "bob"])
    held = put_before(store, config, "ann", pair("asked", stratum="arena"))
    later = held.leased_until + 100
    assert next_assignment(store, "p", "bob", later) is None
    assert given(store, "ann", later).id == held.id


def test_what_somebody_asked_gets_the_votes_its_stratum_is_named_for(tmp_path: Path):
    config = project(overlap={"votes": 1, "by_stratum": {"arena": 2}})
    store = made(tmp_path, config, [], ["ann", "bob"])
    held = put_before(store, config, "ann", pair("asked", stratum="arena"))
    with Writer(store) as writer:
        judge(writer, held, "ann")
    assert given(store, "bob").item.id == "asked"


def test_a_lapsed_lease_of_gold_is_renewed_as_any_other(tmp_path: Path):
    config = project(gold={"onboarding": 1}, lease_seconds=60)
    gold = pair("g", gold=Pairwise(strength=-1))
    store = made(tmp_path, config, [gold, pair("a")], ["ann"])
    held = given(store, "ann", now=100.0)
    assert held.item.id == "g" and given(store, "ann", now=300.0).id == held.id


def test_a_lapsed_lease_is_renewed_while_the_place_is_free(tmp_path: Path):
    config = project(overlap={"votes": 1}, lease_seconds=60)
    store = made(tmp_path, config, pairs(2), ["ann"])
    held = given(store, "ann", now=100.0)
    assert release_expired(store, now=200.0) == 1
    assert release_expired(store, now=200.0) == 0
    again = given(store, "ann", now=300.0)
    assert (again.id, again.shown, again.leased_until) == (held.id, held.shown, 360.0)


def test_an_item_can_be_given_by_name(tmp_path: Path):
    store = made(tmp_path, project(), pairs(3), ["ann"])
    given(store, "ann", now=1.0)
    wanted = get_item(store, "p", "i2")
    assert wanted is not None
    one = give_item(store, "p", "ann", wanted.number, now=2.0)
    assert given(store, "ann", now=3.0) == one and one.item.id == "i2"
    with pytest.raises(Conflict, match="has had it"):
        give_item(store, "p", "ann", wanted.number, now=4.0)


def test_orders_are_balanced_within_blocks_and_drawn_by_item_and_rater(tmp_path: Path):
    store = made(tmp_path, project(), pairs(40), ["ann", "bob"])
    shown: dict[str, list[tuple[int, ...]]] = {"ann": [], "bob": []}
    with Writer(store) as writer:
        for rater, orders in shown.items():
            for _ in range(40):
                one = given(store, rater)
                orders.append(one.shown)
                skip(writer, one.id, rater, "unclear")
    for orders in shown.values():
        blocks = [orders[at : at + BLOCK] for at in range(0, 40, BLOCK)]
        assert all(Counter(block) == {(0, 1): 5, (1, 0): 5} for block in blocks)
    assert shown["ann"] != shown["bob"]


def test_more_candidates_are_shuffled_evenly():
    orders = [order_shown("secret", f"i{n}", "ann", 3, []) for n in range(1200)]
    counts = Counter(orders)
    assert len(counts) == 6
    # 200 each, standard deviation 13.
    assert all(140 < count < 260 for count in counts.values())
    assert order_shown("other", "i0", "ann", 9, []) != order_shown("secret", "i0", "ann", 9, [])


def test_an_assignment_id_does_not_tell_who_the_rater_is(tmp_path: Path):
    store = made(tmp_path, project(), [pair("a")], ["ann"])
    one = given(store, "ann")
    assert "ann" not in one.id
    with store.reading() as connection:
        assert connection.execute(assignment.select()).one().rater == "ann"


@pytest.mark.parametrize("declines", [False, True])
@pytest.mark.parametrize("one_stratum", [False, True])
def test_every_search_goes_by_an_index(tmp_path: Path, one_stratum: bool, declines: bool):
    """No table is scanned, and only the head of the queue is ever sorted."""
    store = made(tmp_path, project(), pairs(3), ["ann"])
    searches = [
        *(ways := queue._WAYS[one_stratum, declines]),
        queue._GOLD[one_stratum],
        table._RECENT_ONES,
        table._MEMBERSHIP,
        table._LAST_ID,
    ]
    searches += [table._UNFINISHED, assignment_case._CASE, table._JUDGED_ONCE]
    with store.reading() as connection:
        for search in searches:
            compiled = search.statement.compile(dialect=store.engine.dialect)
            assert compiled.positiontup is not None
            values = tuple(compiled.params[name] or 0 for name in compiled.positiontup)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
            steps = [row[3] for row in plan if "CONSTANT ROW" not in row[3]]
            scans = [step for step in steps if step.startswith("SCAN")]
            assert {*scans} <= {"SCAN queued", "SCAN found"}, steps  # the head, and the one row
            # By their item alone: SQLite would take an index by state, and most are in one.
            by_lease = [step for step in steps if "assignment_lease" in step]
            assert all("taken USING INDEX assignment_lease (item=" in step for step in by_lease)
            is_whole = search is ways[3] or search is queue._GOLD[one_stratum]
            assert not (is_whole and any("TEMP B-TREE" in step for step in steps)), steps

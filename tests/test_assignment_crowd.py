"""Many raters at once, each in a thread, on either database: no item gets too many votes, no
assignment doubles."""

from __future__ import annotations

import threading
from collections import Counter
from random import Random

from plaudit.feedback.assignment.giving import Assignment, Conflict, next_assignment
from plaudit.feedback.assignment.submission import skip, undo
from plaudit.judgments import Pairwise, Skipped, Withdrawn
from plaudit.store import Store, Writer, items, read, schema, standing, verify
from tests.collecting import filled, judge, pair, project

pytest_plugins = ("tests.postgres",)


def together(number: int, work) -> None:
    """Run ``work(n)`` in so many threads, and raise what any of them raised."""
    failed: list[BaseException] = []

    def guarded(n: int) -> None:
        try:
            work(n)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def check_whole(store: Store) -> None:
    """Tables agree with the log, and nobody voted twice on an item."""
    entries = [entry.judgment for entry in read(store, "p") if entry.judgment]
    logged = [one for one in standing(store, "p") if isinstance(one.answer, Pairwise)]
    votes = Counter(one.item for one in logged if not one.is_repeat)
    by_rater = Counter((one.item, one.rater.id) for one in logged if not one.is_repeat)
    assert max(by_rater.values()) == 1
    taken_back = {one.supersedes for one in entries if isinstance(one.answer, Withdrawn)}
    skips = [one for one in entries if isinstance(one.answer, Skipped)]
    unskipped = Counter(one.item for one in skips if one.id in taken_back)
    for stored in items(store, "p"):
        assert stored.votes == votes[stored.item.id]
        assert stored.is_open == (stored.votes < stored.target_votes and not stored.is_gold)
        # Who takes back a skip may find the place filled, and is a vote more.
        most = stored.target_votes + unskipped[stored.item.id]
        assert stored.is_gold or stored.votes <= most
    assert not verify(store).faults


def test_raters_who_judge_skip_and_undo_leave_a_whole_log(store: Store):
    raters = [f"r{n}" for n in range(8)]
    config = project(
        overlap={"votes": 2, "adaptive": {"max_votes": 4}},
        gold={"onboarding": 2, "rate": 0.1},
        repeat_rate=0.1,
        repeat_after=3,
    )
    golds = [pair(f"gold{n}", gold=Pairwise(strength=2)) for n in range(4)]
    things = [*(pair(f"i{n}", priority=n % 3) for n in range(12)), *golds]
    filled(store, config, things, raters)

    def work(n: int) -> None:
        random, rater = Random(n), raters[n]
        while one := next_assignment(store, "p", rater):
            drawn = random.random()
            if drawn < 0.1:
                skip(writer, one.id, rater, "unclear")
            elif drawn < 0.2:
                undo(writer, "p", rater)
            else:
                judge(writer, one, rater, Pairwise(strength=random.choice((-2, -1, 1, 2))))

    with Writer(store) as writer:
        together(len(raters), work)
        # What was given back after others had gone.
        while left := [rater for rater in raters if next_assignment(store, "p", rater)]:
            for rater in left:
                if one := next_assignment(store, "p", rater):
                    judge(writer, one, rater, Pairwise(strength=1))
    check_whole(store)
    for one in (one for one in items(store, "p") if one.is_open):
        had = schema.assignment.select().where(schema.assignment.c.item == one.number)
        with store.reading() as connection:
            assert len(connection.execute(had).all()) >= len(raters), "open though not all had it"


def test_fifty_raters_at_once_never_overfill_an_item(store: Store):
    raters = [f"r{n}" for n in range(50)]
    filled(store, project(overlap={"votes": 3}), [pair(f"i{n}") for n in range(10)], raters)
    found: list[Assignment | None] = [None] * 50

    def ask(n: int) -> None:
        found[n] = next_assignment(store, "p", raters[n])

    together(50, ask)
    given = Counter(one.item.id for one in found if one)
    assert given == {f"i{n}": 3 for n in range(10)}


def test_two_windows_of_one_rater_get_the_same_assignment(store: Store):
    filled(store, project(), [pair(f"i{n}") for n in range(10)], ["ann"])
    found: list[Assignment | None] = [None] * 16

    def ask(n: int) -> None:
        found[n] = next_assignment(store, "p", "ann")

    together(16, ask)
    assert len({one.id for one in found if one}) == 1 and None not in found


def test_an_impatient_double_click_is_one_judgment(store: Store):
    filled(store, project(), [pair("a")], ["ann"])
    one = next_assignment(store, "p", "ann")
    assert one is not None
    receipts = []
    with Writer(store) as writer:
        together(8, lambda n: receipts.append(judge(writer, one, "ann", id="same")))
    assert len({receipt.seq for receipt in receipts}) == 1
    assert sum(receipt.is_new for receipt in receipts) == 1
    check_whole(store)


def test_two_windows_that_answer_differently_leave_one_vote(store: Store):
    filled(store, project(), [pair("a")], ["ann"])
    one = next_assignment(store, "p", "ann")
    assert one is not None
    refused = []

    def answer(n: int) -> None:
        try:
            judge(writer, one, "ann", Pairwise(strength=(-1) ** n))
        except Conflict as error:
            refused.append(error)

    with Writer(store) as writer:
        together(8, answer)
    assert len(refused) == 7
    check_whole(store)


def test_undone_in_two_windows_it_is_undone_once(store: Store):
    filled(store, project(), [pair(f"i{n}") for n in range(2)], ["ann"])
    refused = []

    def take_back(_: int) -> None:
        try:
            undo(writer, "p", "ann")
        except Conflict as error:
            refused.append(error)

    with Writer(store) as writer:
        for _ in range(2):
            one = next_assignment(store, "p", "ann")
            assert one is not None
            judge(writer, one, "ann")
        together(6, take_back)
    entries = [entry.judgment for entry in read(store, "p") if entry.judgment]
    withdrawn = [one.supersedes for one in entries if isinstance(one.answer, Withdrawn)]
    assert 1 <= len(withdrawn) == len(set(withdrawn)) <= 2
    assert [one.votes for one in items(store, "p")].count(0) == len(withdrawn)
    assert not verify(store).faults

"""Many raters in one batch of the writer: what each is told is as if they had come one by one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
from sqlalchemy import Connection, text

from plaudit.feedback.assignment.answers import Sent
from plaudit.feedback.assignment.case import after, case_in
from plaudit.feedback.assignment.giving import Assignment, give
from plaudit.feedback.assignment.submission import submit_in
from plaudit.judgments import Pairwise
from plaudit.store import Appending, Receipt, Store, Writer, items, open_store, sending, verify
from plaudit.store import writer as module
from plaudit.store.pipeline import Sent as Sending
from plaudit.store.turns import Turns
from tests.collecting import filled, given, pair, project

pytest_plugins = ("tests.postgres",)
RATERS = [f"r{n}" for n in range(10)]
Done = tuple[Receipt, Assignment | None]


@contextmanager
def one_batch(store: Store) -> Iterator[Writer]:
    """A writer that cannot begin before the block is left."""
    with store.appending() as connection:
        connection.execute(text("SELECT 1"))
        yield (writer := Writer(store))
    writer.close()


def _judging(one: Assignment, rater: str, id: str, strength: int = 1) -> Callable:
    def work(log: Appending) -> Turns[Done]:
        case = yield from case_in(log, one.id, rater, time.time())
        receipt = submit_in(case, Sent(id=id, answer=Pairwise(strength=strength)))
        return receipt, (yield from after(case))

    return work


def _asking(rater: str) -> Callable:
    return lambda log: give(log, "p", rater, time.time())


def _outcomes(futures: list[Future]) -> list:
    return [future.result(10) for future in futures]


def test_votes_on_one_item_are_all_counted_and_weighed(store: Store) -> None:
    """Two who differ want a third, and two who agree do not."""
    config = project(overlap={"votes": 2, "adaptive": {"max_votes": 3}})
    filled(store, config, [pair("differ"), pair("agree")], ["ann", "bob"])
    for is_alike in (False, True):
        tasks = {rater: given(store, rater) for rater in ("ann", "bob")}
        assert len({one.item.id for one in tasks.values()}) == 1
        with one_batch(store) as writer:
            futures = [
                writer.run(_judging(one, rater, f"{rater}-{is_alike}", _strength(one, is_alike, n)))
                for n, (rater, one) in enumerate(tasks.items())
            ]
        _outcomes(futures)
    found = {one.item.id: (one.votes, one.target_votes, one.is_open) for one in items(store, "p")}
    assert found == {"differ": (2, 3, True), "agree": (2, 2, False)}


def _strength(one: Assignment, is_alike: bool, n: int) -> int:
    """Of an answer about places, that is the second's for the same candidate or the other."""
    better = 1 if is_alike else n
    return 1 if one.shown[1] == better else -1


def test_no_item_is_given_to_more_than_it_wants(store: Store) -> None:
    filled(store, project(overlap={"votes": 1}), [pair(f"i{n}") for n in range(15)], RATERS)
    tasks = {rater: given(store, rater) for rater in RATERS[:5]}
    with one_batch(store) as writer:
        done = [writer.run(_judging(one, rater, rater)) for rater, one in tasks.items()]
        first = [writer.run(_asking(rater)) for rater in RATERS[5:]]
    following = [one for _, one in _outcomes(done)] + _outcomes(first)
    assert Counter(one.item.id for one in following) == {f"i{n}": 1 for n in range(5, 15)}
    assert [given(store, r) for r in RATERS[5:]] == following[5:], "what stands is what was told"
    assert all(sorted(one.shown) == [0, 1] for one in following)


def test_one_who_sends_twice_and_asks_meanwhile_has_one_task(store: Store) -> None:
    filled(store, project(), [pair(f"i{n}") for n in range(5)], ["ann"])
    one = given(store, "ann")
    with one_batch(store) as writer:
        sent = [writer.run(_judging(one, "ann", "same")) for _ in range(3)]
        asked = writer.run(_asking("ann"))
    done = _outcomes(sent)
    assert [receipt.is_new for receipt, _ in done] == [True, False, False]
    assert len({following.id for _, following in done} | {asked.result().id}) == 1
    assert [one.votes for one in items(store, "p")] == [1, 0, 0, 0, 0]
    assert not verify(store).faults


def test_postgresql_is_waited_for_no_oftener_by_ten_than_by_one(
    new_postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    store = open_store(new_postgres().replace("postgresql:", "postgresql+psycopg:"))
    filled(store, project(overlap={"votes": 1}), [pair(f"i{n}") for n in range(40)], RATERS)
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_TALLIES", 60.0)
    sent, waits, carry_out = [], [], sending.carry_out

    def counted(connection: Connection, statements: Sequence[Sending]) -> None:
        sent.append(statements)
        carry_out(connection, statements)

    monkeypatch.setattr(sending, "carry_out", counted)
    for raters in (RATERS[:1], RATERS):
        tasks = {rater: given(store, rater) for rater in raters}
        before = len(sent)
        with one_batch(store) as writer:
            done = [writer.run(_judging(one, rater, one.id)) for rater, one in tasks.items()]
        waits.append(len(sent) - before)
        assert all(following for _, following in _outcomes(done))
    store.close()
    assert waits[1] <= waits[0] <= 5

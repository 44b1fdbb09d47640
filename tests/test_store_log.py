"""The log on both databases: what is recorded stays, once and in order."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from plaudit.judgments import Pairwise, Rater, Skipped, Withdrawn
from plaudit.store import (
    Store,
    append,
    find,
    open_store,
    put_project,
    read,
    schema,
    standing,
    verify,
)
from tests.voting import NOON, a_judgment

pytest_plugins = ("tests.postgres",)


def test_what_is_appended_is_read_as_it_was(store: Store) -> None:
    said = [
        a_judgment("a", rationale='ça "va" \n 茶 \x00', confidence=0.1, raw={"row": [1.5, None]}),
        a_judgment("b", rater="judge", answer=Skipped(reason="unclear")),
    ]
    receipts = append(store, said)
    logged = list(read(store))
    assert [entry.judgment for entry in logged] == said
    assert [(r.seq, r.sha256, r.is_new) for r in receipts] == [
        (entry.seq, entry.sha256, True) for entry in logged
    ]
    assert [entry.seq for entry in logged] == [1, 2]
    assert [entry.id for entry in read(store, after=1)] == ["b"]
    assert list(read(store, project="other")) == []
    assert find(store, "a") == logged[0] and find(store, "c") is None


def test_the_same_judgment_twice_is_recorded_once(store: Store) -> None:
    first = append(store, [a_judgment("a"), a_judgment("a")])
    again = append(store, [a_judgment("a")])[0]
    assert [r.is_new for r in first] == [True, False]
    assert (again.seq, again.sha256, again.is_new) == (1, first[0].sha256, False)
    assert len(list(read(store))) == 1


def test_another_body_under_the_same_id_is_refused(store: Store) -> None:
    append(store, [a_judgment("a")])
    with pytest.raises(ValueError, match="judgment a: recorded already with another body"):
        append(store, [a_judgment("b"), a_judgment("a", rationale="no, wait")])
    assert [entry.id for entry in read(store)] == ["a"]


def test_what_else_is_done_is_done_together_or_not_at_all(store: Store) -> None:
    put_project(store, "p", "{}")

    def fails(connection) -> None:
        connection.execute(text("UPDATE project SET config = 'changed'"))
        raise KeyError("no")

    with pytest.raises(KeyError):
        append(store, [a_judgment("a")], also=fails)
    with store.reading() as connection:
        assert connection.execute(text("SELECT config FROM project")).scalar() == "{}"
    assert list(read(store)) == []


def test_what_was_superseded_or_withdrawn_does_not_stand(store: Store) -> None:
    last = a_judgment("a2", answer=Pairwise(strength=3), supersedes="a")
    skip = a_judgment("d", item="i4", answer=Skipped(reason="unclear"))
    append(store, [a_judgment("a"), a_judgment("b", item="i2"), a_judgment("c", rater="r2"), last])
    append(store, [a_judgment("b2", item="i2", answer=Withdrawn(), supersedes="b"), skip])
    append(store, [a_judgment("e", question="other")])
    assert [j.id for j in standing(store, "p")] == ["c", "a2", "d", "e"]
    assert [j.id for j in standing(store, "p", question="overall")] == ["c", "a2", "d"]


def test_suspended_raters_are_left_out_until_they_are_back(store: Store) -> None:
    put_project(store, "p", "{}")
    append(store, [a_judgment("a"), a_judgment("b", rater="r2")])
    with store.writing() as connection:
        connection.execute(
            schema.rater.insert(), {"id": "r2", "kind": "human", "version": "", "created_at": 0.0}
        )
        member = {"project": "p", "rater": "r2", "role": "rater", "suspended_at": 1.0}
        connection.execute(schema.member.insert(), member)
    assert [j.id for j in standing(store, "p")] == ["a"]
    assert [j.id for j in standing(store, "p", with_suspended=True)] == ["a", "b"]
    with store.writing() as connection:
        connection.execute(schema.member.update().values(suspended_at=None))
    assert [j.id for j in standing(store, "p")] == ["a", "b"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (a_judgment("z", supersedes="never"), "never, which is not recorded"),
        (a_judgment("z", rater="r2", supersedes="a"), "another rater's"),
        (a_judgment("z", item="i2", supersedes="a"), "about another item"),
        (a_judgment("z", supersedes="b"), "which c supersedes already"),
        (a_judgment("z\0"), "a NUL in an id"),
        (a_judgment("z", rationale="\ud83d"), "half of a character"),
        (a_judgment("z", active_seconds=float("inf")), "a number is Infinity"),
        (a_judgment("z", criteria={"clear": (float("nan"), 1.0)}), "a number is NaN"),
    ],
)
def test_a_wrong_judgment_is_refused(tmp_path: Path, wrong, message: str) -> None:
    store = open_store(tmp_path / "store.db")
    append(store, [a_judgment("a"), a_judgment("b"), a_judgment("c", supersedes="b")])
    with pytest.raises(ValueError, match=message):
        append(store, [wrong])
    assert len(list(read(store))) == 3


def test_a_chain_of_thousands_is_read_in_pieces_and_holds(store: Store) -> None:
    many = [
        a_judgment(f"j{n}", item=f"i{n}", submitted_at=NOON + timedelta(seconds=n / 7))
        for n in range(2500)
    ]
    receipts = append(store, many)
    assert [entry.judgment for entry in read(store)] == many
    assert [j.id for j in standing(store, "p")] == [j.id for j in many]
    verified = verify(store)
    assert (verified.judgments, verified.erased, verified.faults) == (2500, 0, ())
    assert verified.head_sha256 == receipts[-1].sha256


def test_threads_append_without_a_gap_and_resend_without_a_copy(store: Store) -> None:
    def send(rater: str) -> None:
        for number in range(15):
            for _ in range(2):
                append(store, [a_judgment(f"{rater}-{number}", item=f"i{number}", rater=rater)])

    _in_threads(send, [f"r{n}" for n in range(6)])
    logged = list(read(store))
    assert [entry.seq for entry in logged] == list(range(1, 91))
    assert {entry.id for entry in logged} == {f"r{n}-{i}" for n in range(6) for i in range(15)}
    assert verify(store).faults == ()


def test_of_two_who_supersede_the_same_judgment_one_is_refused(store: Store) -> None:
    append(store, [a_judgment("a")])
    refused = []

    def send(id: str) -> None:
        try:
            append(store, [a_judgment(id, supersedes="a")])
        except ValueError as error:
            refused.append(str(error))

    _in_threads(send, ["b", "c", "d"])
    assert len(list(read(store))) == 2
    assert len(refused) == 2 and all("supersedes already" in message for message in refused)


def test_a_rater_keeps_what_kind_he_is(store: Store) -> None:
    judge = Rater(id="j", kind="judge", version="model@1 prompt 3")
    append(store, [a_judgment("a").model_copy(update={"rater": judge})])
    assert next(standing(store, "p")).rater == judge


def _in_threads(act, arguments) -> None:
    threads = [threading.Thread(target=act, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

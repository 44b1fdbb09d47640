"""Every way to tamper with the log is found, and said with its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from plaudit.store import Store, append, open_store, read, verify
from plaudit.store.chain import hash_body, hash_link
from tests.voting import a_judgment

pytest_plugins = ("tests.postgres",)


@pytest.fixture
def written(store: Store) -> Store:
    append(store, [a_judgment(f"j{n}", item=f"i{n}", rationale="fine") for n in range(1, 7)])
    return store


def test_the_hashes_are_those_of_the_formula() -> None:
    """By hand: printf 'abBODY' | sha256sum, and of [1,"j","p",1.5,"..","0.."] as compact JSON."""
    assert hash_body("ab", "BODY") == (
        "4c9450a5af1d2cd96dabc31801f85b709c31dc236fe2b755dbb0e25704ee33c4"
    )
    assert hash_link(1, "j", "p", 1.5, "f" * 64, "0" * 64) == (
        "da48fdfa92e70845550194094baaf3fda69d18fb1d6b4704dea08c160e27b259"
    )


@pytest.mark.parametrize(
    ("tampering", "faults"),
    [
        (
            "UPDATE judgment SET body = replace(body, 'fine', 'poor') WHERE seq = 3",
            ["judgment 3 (j3): its body was changed"],
        ),
        (
            "UPDATE judgment SET body = replace(body, 'fine', 'poor'), sha256 = body_sha256 "
            "WHERE seq = 3",
            [
                "judgment 3 (j3): its seq, id, project, time or hash was changed",
                "judgment 3 (j3): its body was changed",
                "judgment 4 (j4): its previous_sha256 is not the hash of judgment 3",
            ],
        ),
        (
            "UPDATE judgment SET recorded_at = recorded_at + 1 WHERE seq = 2",
            ["judgment 2 (j2): its seq, id, project, time or hash was changed"],
        ),
        (
            "DELETE FROM judgment WHERE seq IN (3, 4)",
            [
                "judgment 5 (j5): follows 2; 3 to 4 are missing",
                "judgment 5 (j5): its previous_sha256 is not the hash of judgment 2",
            ],
        ),
        (
            "DELETE FROM judgment WHERE seq = 1",
            [
                "judgment 2 (j2): follows 0; 1 is missing",
                "judgment 2 (j2): its previous_sha256 is not the hash of judgment 0",
            ],
        ),
        (
            "UPDATE judgment SET seq = CASE seq WHEN 2 THEN -2 ELSE -3 END WHERE seq IN (2, 3);"
            "UPDATE judgment SET seq = CASE seq WHEN -2 THEN 3 ELSE 2 END WHERE seq < 0",
            [
                "judgment 2 (j3): its previous_sha256 is not the hash of judgment 1",
                "judgment 2 (j3): its seq, id, project, time or hash was changed",
                "judgment 3 (j2): its previous_sha256 is not the hash of judgment 2",
                "judgment 3 (j2): its seq, id, project, time or hash was changed",
                "judgment 4 (j4): its previous_sha256 is not the hash of judgment 3",
            ],
        ),
        (
            "UPDATE judgment SET rater = 'someone' WHERE seq = 6",
            ["judgment 6 (j6): its rater, item or supersedes is not what its body says"],
        ),
        (
            "UPDATE judgment SET salt = NULL WHERE seq = 6",
            ["judgment 6 (j6): partly erased; expected body, salt, rater and item to go together"],
        ),
        (
            "UPDATE judgment SET body = '{}' WHERE seq = 6",
            ["judgment 6 (j6): its body was changed"],
        ),
    ],
)
def test_tampering_is_found(written: Store, tampering: str, faults: list[str]) -> None:
    _execute(written, tampering)
    assert list(verify(written).faults) == faults


def test_a_cut_tail_is_found_by_who_noted_the_head(written: Store) -> None:
    head = verify(written).head_sha256
    earlier = list(read(written))[2].sha256
    assert verify(written, head_sha256=head).faults == ()
    assert verify(written, head_sha256=earlier).faults == ()
    _execute(written, "DELETE FROM judgment WHERE seq = 6")
    assert verify(written).faults == ()
    assert verify(written, head_sha256=earlier).faults == ()
    assert "not in the chain, which ends in judgment 5" in verify(written, head).faults[0]


def test_a_log_with_nothing_in_it_holds(store: Store) -> None:
    verified = verify(store)
    assert (verified.judgments, verified.head_sha256, verified.faults) == (0, "0" * 64, ())


def test_a_file_copied_while_at_work_verifies(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    append(store, [a_judgment("a")])
    store.close()
    shutil.copy(tmp_path / "store.db", tmp_path / "copy.db")
    assert verify(open_store(tmp_path / "copy.db")) == verify(open_store(tmp_path / "store.db"))


def _execute(store: Store, statements: str) -> None:
    with store.writing() as connection:
        for statement in statements.split(";"):
            connection.execute(text(statement))

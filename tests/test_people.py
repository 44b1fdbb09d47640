"""Members, roles and tokens, on a database file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plaudit.store import Store, events, open_store, people, put_project, tokens

NOW = 1_000_000.0
BY = "0123456789abcdef"
DAY = tokens.DAY_SECONDS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "log.db")
    for id in ("coffee", "tea"):
        put_project(opened, id, "{}")
    yield opened
    opened.close()


def member(store, role: str = "rater", project: str = "coffee", name: str = "") -> str:
    id = people.new_rater(store, NOW, name)
    people.add_member(store, project, id, role)
    return id


def test_ids_say_nothing_of_the_person(store) -> None:
    first, second = (people.new_rater(store, NOW, "Ann") for _ in range(2))
    assert first != second and len(first) == 16 and "ann" not in first.lower()


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\x1b[31m", "x" * 201, "\ud800"])
def test_names_that_would_break_a_line_are_refused(store, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        people.new_rater(store, NOW, name)


def test_names_in_any_script_are_kept_as_they_are(store) -> None:
    id = member(store, name="  Žofie <b>O'Brien</b>; DROP TABLE rater --  ")
    found = people.get_member(store, "coffee", id)
    assert found and found.name == "Žofie <b>O'Brien</b>; DROP TABLE rater --"


@pytest.mark.parametrize("role", people.ROLES)
@pytest.mark.parametrize("wanted", people.ROLES)
def test_a_role_reaches_those_before_it(role: str, wanted: str) -> None:
    assert people.reaches(role, wanted) == (people.ROLES.index(role) >= people.ROLES.index(wanted))
    assert not people.reaches(None, wanted)


def test_an_invite_raises_a_role_and_never_lowers_it(store) -> None:
    id = member(store, "adjudicator")
    people.add_member(store, "coffee", id, "rater")
    assert people.get_member(store, "coffee", id).role == "adjudicator"
    people.add_member(store, "coffee", id, "lead")
    assert people.get_member(store, "coffee", id).role == "lead"


@pytest.mark.parametrize(
    ("project", "role", "match"),
    [("coffee", "owner", "no such role"), ("nothing", "rater", "project 'nothing'")],
)
def test_a_member_needs_a_role_and_a_project(store, project: str, role: str, match: str) -> None:
    id = people.new_rater(store, NOW)
    with pytest.raises(ValueError, match=match):
        people.add_member(store, project, id, role)


def test_the_only_lead_can_be_neither_suspended_nor_lowered(store) -> None:
    lead = member(store, "lead")
    with pytest.raises(ValueError, match="only lead"):
        people.suspend(store, "coffee", lead, NOW, BY, "slow")
    with pytest.raises(ValueError, match="only lead"):
        people.set_role(store, "coffee", lead, "rater", BY)
    other = member(store, "lead")
    people.suspend(store, "coffee", lead, NOW, BY, "slow")
    with pytest.raises(ValueError, match="only lead"):
        people.suspend(store, "coffee", other, NOW, BY, "slow")


def test_a_suspension_is_one_project_s_and_reversible(store) -> None:
    id = member(store)
    people.add_member(store, "tea", id)
    people.suspend(store, "coffee", id, NOW, BY, "slow")
    found = people.memberships(store, id)
    assert found["coffee"].suspended_at == NOW and found["tea"].suspended_at is None
    people.resume(store, "coffee", id, BY)
    assert people.memberships(store, id)["coffee"].suspended_at is None
    happened = [
        (event.kind, event.rater, event.detail["rater"]) for event in events(store, "coffee")
    ]
    assert happened == [("suspended", BY, id), ("resumed", BY, id)]


def test_members_of_another_project_are_not_listed(store) -> None:
    here, there = member(store), member(store, project="tea")
    assert [m.rater for m in people.members(store, "coffee")] == [here]
    assert people.get_member(store, "coffee", there) is None


def test_a_token_is_found_by_its_purpose_alone(store) -> None:
    id = member(store)
    for purpose in ("session", "api"):
        text = tokens.issue(store, purpose, NOW, rater=id)
        for asked in ("session", "api", "invite"):
            found = tokens.look_up(store, text, (asked,), NOW)
            assert (found is not None) == (asked == purpose)


def test_a_token_ends_at_its_time(store) -> None:
    text = tokens.issue(store, "api", NOW, rater=member(store), lifetime_seconds=60)
    assert tokens.look_up(store, text, ("api",), NOW + 59)
    assert not tokens.look_up(store, text, ("api",), NOW + 60)
    assert tokens.is_known(store, text)


def test_a_revoked_token_is_good_for_nothing(store) -> None:
    id = member(store)
    text = tokens.issue(store, "api", NOW, rater=id)
    hash = tokens.hash_of(text)
    assert hash and tokens.revoke(store, hash, NOW) and not tokens.revoke(store, hash, NOW)
    assert not tokens.look_up(store, text, ("api",), NOW)


def test_revoking_all_of_a_rater_leaves_others(store) -> None:
    first, second = member(store), member(store)
    mine = [tokens.issue(store, purpose, NOW, rater=first) for purpose in ("api", "session")]
    theirs = tokens.issue(store, "api", NOW, rater=second)
    assert tokens.revoke_all(store, first, NOW) == 2
    assert not any(tokens.look_up(store, text, ("api", "session"), NOW) for text in mine)
    assert tokens.look_up(store, theirs, ("api",), NOW)


@pytest.mark.parametrize(
    "text",
    ["", "plaudit_", "plaudit_" + "a" * 42, "plaudit_" + "a" * 44, "x" * 10**6, "\ud800", "a\0",
     "plaudit_" + "a" * 43 + "\n", "' OR 1=1 --", "plaudit_" + "é" * 43],
)  # fmt: skip
def test_what_cannot_be_a_token_is_none(store, text: str) -> None:
    assert tokens.hash_of(text) is None
    assert tokens.look_up(store, text, ("api", "session", "invite"), NOW) is None
    assert tokens.redeem_invite(store, text, NOW) is None


@pytest.mark.parametrize("uses", [0, -1, tokens.MOST_USES + 1])
def test_an_invite_has_a_number_of_uses(store, uses: int) -> None:
    with pytest.raises(ValueError, match="uses"):
        tokens.invite(store, "coffee", "rater", NOW, uses=uses)


@pytest.mark.parametrize("days", [0, -1, 4000, float("nan"), float("inf")])
def test_an_invite_ends(store, days: float) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        tokens.invite(store, "coffee", "rater", NOW, days=days)


def test_an_invite_serves_as_often_as_it_says(store) -> None:
    text = tokens.invite(store, "coffee", "rater", NOW, uses=2)
    joined = [tokens.redeem_invite(store, text, NOW, f"R{i}") for i in range(3)]
    assert joined[2] is None and joined[0] != joined[1]
    assert [m.name for m in people.members(store, "coffee")] and len(
        people.members(store, "coffee")
    ) == 2


def test_an_invite_used_by_many_at_once_serves_as_often_as_it_says(store) -> None:
    text = tokens.invite(store, "coffee", "rater", NOW, uses=3)
    joined: list[str | None] = []

    def join() -> None:
        joined.append(tokens.redeem_invite(store, text, NOW))

    threads = [threading.Thread(target=join) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([id for id in joined if id]) == 3


def test_an_invite_ends_at_its_time(store) -> None:
    text = tokens.invite(store, "coffee", "rater", NOW, days=1)
    assert tokens.redeem_invite(store, text, NOW + DAY) is None
    assert tokens.redeem_invite(store, text, NOW + DAY - 1)


def test_who_is_there_already_joins_as_they_are(store) -> None:
    id = member(store, project="tea")
    text = tokens.invite(store, "coffee", "adjudicator", NOW)
    assert tokens.redeem_invite(store, text, NOW, rater=id) == id
    assert people.memberships(store, id)["coffee"].role == "adjudicator"


def test_an_invite_does_not_undo_a_suspension(store) -> None:
    id = member(store)
    people.suspend(store, "coffee", id, NOW, BY, "slow")
    text = tokens.invite(store, "coffee", "rater", NOW)
    tokens.redeem_invite(store, text, NOW, rater=id)
    assert people.get_member(store, "coffee", id).suspended_at == NOW


def test_a_name_that_is_refused_leaves_the_invite_unused(store) -> None:
    text = tokens.invite(store, "coffee", "rater", NOW)
    with pytest.raises(ValueError, match="name"):
        tokens.redeem_invite(store, text, NOW, name="a\0")
    assert tokens.redeem_invite(store, text, NOW, name="a")


def test_no_token_lies_in_the_database_file(store, tmp_path) -> None:
    """Read as bytes, with the write-ahead log: only the SHA-256 is there."""
    id = member(store)
    made = [tokens.issue(store, purpose, NOW, rater=id) for purpose in ("api", "session")]
    made.append(tokens.invite(store, "coffee", "rater", NOW))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("log.db*"))
    for text in made:
        secret = text.removeprefix("plaudit_")
        assert secret.encode() not in stored and secret[:12].encode() not in stored
        assert tokens.hash_of(text).encode() in stored  # so the bytes were the right ones


def test_expired_tokens_are_forgotten_and_others_are_not(store) -> None:
    id = member(store)
    tokens.issue(store, "session", NOW, rater=id, lifetime_seconds=10)
    kept = tokens.issue(store, "session", NOW, rater=id)
    assert tokens.forget_expired(store, NOW + 100) == 1
    assert tokens.look_up(store, kept, ("session",), NOW + 100)


def test_tokens_are_256_bits_and_never_alike(store, tmp_path) -> None:
    id = member(store)
    made = {tokens.issue(store, "api", NOW, rater=id) for _ in range(50)}
    assert len(made) == 50 and all(len(text) == len("plaudit_") + 43 for text in made)
    with sqlite3.connect(tmp_path / "log.db") as raw:
        assert raw.execute("SELECT count(DISTINCT hash) FROM token").fetchone() == (50,)

"""People from the command line, in one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from plaudit.commands.people import erase, invite, token
from plaudit.store import events, people, tokens
from tests.lead_app import World, made_world
from tests.lead_votes import one_vote, pair

app = typer.Typer()
for command in (invite, token, erase):
    app.command()(command)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with made_world(tmp_path) as made:
        yield made


def run(world: World, tmp_path: Path, *words: str):
    return CliRunner().invoke(app, [*words, "--store", str(tmp_path / "log.db")])


def test_an_invite_is_printed_and_works(world: World, tmp_path: Path) -> None:
    words = ("--project", "coffee", "--role", "adjudicator", "--uses", "2")
    printed = run(world, tmp_path, "invite", *words).output.strip()
    answer = world.anyone().post("/api/session", json={"token": printed})
    assert answer.json()["projects"] == {"coffee": "adjudicator"}
    assert [e.detail["uses"] for e in events(world.store, "coffee", "invited")] == [2]


def test_a_token_is_of_the_member_of_that_name(world: World, tmp_path: Path) -> None:
    printed = [
        run(world, tmp_path, "token", "--project", "coffee", "--name", name).output.strip()
        for name in ("The rater", "Someone new")
    ]
    found = [tokens.look_up(world.store, text, ("api",), time.time()) for text in printed]
    assert found[0] and found[0].rater == world.ids["rater"]
    assert found[1] and people.get_member(world.store, "coffee", found[1].rater or "")


def test_a_token_of_another_kind_than_the_members_is_refused(world: World, tmp_path: Path) -> None:
    words = ("token", "--project", "coffee", "--name", "bot", "--kind", "judge", "--version", "1")
    assert run(world, tmp_path, *words).exit_code == 0
    assert run(world, tmp_path, *words[:5]).exit_code == 0, "of whatever kind it is"
    for other in (("--kind", "human"), ("--kind", "judge", "--version", "2")):
        refused = run(world, tmp_path, *words[:5], *other)
        assert "a member of the kind judge 1; expected a new name" in str(refused.exception)


def test_a_rater_is_erased(world: World, tmp_path: Path) -> None:
    from plaudit.store import add_items

    add_items(world.store, "coffee", [pair(1)], 2)
    one_vote(world.store, pair(1), "coffee", world.ids["rater"], 1)
    done = run(world, tmp_path, "erase", "--rater", world.ids["rater"], "--yes")
    assert done.output.startswith("1 judgments erased")


def test_it_asks_before_it_erases(world: World, tmp_path: Path) -> None:
    done = run(world, tmp_path, "erase", "--rater", world.ids["rater"])
    assert done.exit_code != 0
    assert people.get_member(world.store, "coffee", world.ids["rater"]).name == "The rater"


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("invite", "--project", "milk"), "there are coffee, tea"),
        (("invite", "--project", "coffee", "--uses", "0"), "uses"),
        (("invite", "--project", "coffee", "--role", "boss"), "no such role"),
        (("token", "--project", "coffee", "--name", "x", "--kind", "cat"), "no such kind"),
        (("erase", "--rater", "nobody", "--yes"), "not in this store"),
    ],
)
def test_mistakes_are_named(world: World, tmp_path: Path, words, match: str) -> None:
    done = run(world, tmp_path, *words)
    assert isinstance(done.exception, ValueError) and match in str(done.exception)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["invite", "--project", "p", "--store", str(tmp_path / "no.db")])
    assert "no log of judgments" in str(done.exception) and not (tmp_path / "no.db").exists()

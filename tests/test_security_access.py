"""Who may do what: every address of the API, asked by everyone who may not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plaudit.store import people, tokens
from tests.lead_app import World, api_routes, made_world

# Who an address is for. A new one must be entered here, or the first test fails.
OPEN = {("POST", "/api/session")}
ANY_SIGNED = {
    ("GET", "/api/session"),
    ("DELETE", "/api/session"),
    ("DELETE", "/api/raters/{rater}/data"),
}
P = "/api/projects/{project}"
ADJUDICATOR = {
    ("GET", f"{P}/items"),
    ("GET", f"{P}/items/{{number}}"),
    ("POST", f"{P}/adjudications"),
}
LEAD = {
    ("GET", f"{P}/members"),
    ("POST", f"{P}/members"),
    ("PATCH", f"{P}/members/{{rater}}"),
    ("POST", f"{P}/members/{{rater}}/tokens"),
    ("DELETE", f"{P}/members/{{rater}}/tokens"),
    ("POST", f"{P}/members/{{rater}}/suspension"),
    ("DELETE", f"{P}/members/{{rater}}/suspension"),
    ("GET", f"{P}/invites"),
    ("POST", f"{P}/invites"),
    ("DELETE", f"{P}/invites/{{id}}"),
    ("GET", f"{P}/guidelines"),
    ("POST", f"{P}/guidelines"),
    ("GET", f"{P}/events"),
    ("GET", f"{P}/agreement"),
    ("GET", f"{P}/raters"),
    ("GET", f"{P}/cost"),
    ("POST", f"{P}/import"),
    ("GET", f"{P}/export"),
    ("GET", f"{P}/formats"),
}
RATER = {
    ("GET", P),
    ("GET", f"{P}/next"),
    ("GET", f"{P}/me"),
    ("POST", f"{P}/judgments"),
    ("POST", f"{P}/skips"),
    ("POST", f"{P}/undo"),
    ("PUT", f"{P}/drafts/{{assignment}}"),
    ("PUT", f"{P}/declined"),
    ("POST", f"{P}/arena"),
}
ROUTES = api_routes()
CLOSED = [route for route in ROUTES if route not in OPEN]
OF_A_PROJECT = [route for route in ROUTES if "{project}" in route[1]]
CHANGING = [route for route in CLOSED if route[0] not in ("GET", "HEAD")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("access")) as made:
        yield made


def address(world: World, path: str, project: str = "coffee") -> str:
    filled = {
        "project": project,
        "rater": world.ids["rater"],
        "number": "1",
        "id": "0" * 16,
        "assignment": "a-00000001",
    }
    return path.format(**filled)


def names(route: tuple[str, str]) -> str:
    return f"{route[0]} {route[1].removeprefix('/api')}"


def everything(world: World) -> tuple:
    """All that a refused request might have changed."""
    found = people.members(world.store, "coffee")
    return found, tokens.invites(world.store, "coffee", 0.0), people.members(world.store, "tea")


def test_every_address_says_who_it_is_for() -> None:
    assert set(ROUTES) == OPEN | ANY_SIGNED | RATER | ADJUDICATOR | LEAD


@pytest.mark.parametrize("route", CLOSED, ids=names)
def test_nobody_gets_nothing(world: World, route: tuple[str, str]) -> None:
    before = everything(world)
    answer = world.anyone().request(route[0], address(world, route[1]), json={})
    assert answer.status_code == 401 and set(answer.json()) == {"error"}
    assert everything(world) == before


@pytest.mark.parametrize("route", OF_A_PROJECT, ids=names)
def test_a_project_of_others_does_not_exist(world: World, route: tuple[str, str]) -> None:
    """Its lead is a lead, only of another; the answer is that for a project that never was."""
    before = everything(world)
    there = world.api("outsider").request(route[0], address(world, route[1]), json={})
    never = world.api("outsider").request(route[0], address(world, route[1], "nothing"), json={})
    assert there.status_code == 404 and there.json() == never.json()
    assert everything(world) == before


@pytest.mark.parametrize("route", OF_A_PROJECT, ids=names)
def test_who_is_suspended_may_nothing(world: World, route: tuple[str, str]) -> None:
    answer = world.api("suspended").request(route[0], address(world, route[1]), json={})
    assert answer.status_code == 403 and "suspended" in answer.json()["error"]


@pytest.mark.parametrize("route", sorted(LEAD | ADJUDICATOR), ids=names)
def test_a_rater_may_not_what_leads_may(world: World, route: tuple[str, str]) -> None:
    before = everything(world)
    answer = world.api("rater").request(route[0], address(world, route[1]), json={})
    assert answer.status_code == 403
    assert everything(world) == before


@pytest.mark.parametrize("route", sorted(LEAD), ids=names)
def test_an_adjudicator_may_not_what_leads_may(world: World, route: tuple[str, str]) -> None:
    before = everything(world)
    answer = world.api("adjudicator").request(route[0], address(world, route[1]), json={})
    assert answer.status_code == 403
    assert everything(world) == before


@pytest.mark.parametrize("route", CHANGING, ids=names)
@pytest.mark.parametrize("header", ["missing", "empty", "of another", "the cookie", "not ASCII"])
def test_a_browser_proves_that_our_page_asked(
    world: World, route: tuple[str, str], header: str
) -> None:
    client, csrf = world.browser("lead")
    _, of_another = world.browser("lead")
    given = {
        "missing": {},
        "empty": {"X-CSRF-Token": ""},
        "of another": {"X-CSRF-Token": of_another},
        "the cookie": {"X-CSRF-Token": client.cookies["plaudit_session"]},
        "not ASCII": {"X-CSRF-Token": "ä" * 64},
    }[header]
    before = everything(world)
    given = {name: value.encode("latin-1") for name, value in given.items()}
    answer = client.request(route[0], address(world, route[1]), json={}, headers=given)
    assert answer.status_code == 403 and "X-CSRF-Token" in answer.json()["error"]
    assert everything(world) == before and csrf != of_another


@pytest.mark.parametrize("route", [*CHANGING, ("POST", "/api/session")], ids=names)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:81"},
        {"Origin": "http://evil.example\tlocalhost"},
        {"Origin": "http://localhost@evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_of_other_origins_change_nothing(
    world: World, route: tuple[str, str], headers: dict[str, str]
) -> None:
    client, csrf = world.browser("lead")
    before = everything(world)
    own = {"X-CSRF-Token": csrf}
    answer = client.request(route[0], address(world, route[1]), json={}, headers=own | headers)
    assert answer.status_code == 403 and "origin" in answer.json()["error"]
    assert everything(world) == before


@pytest.mark.parametrize("route", CLOSED, ids=names)
@pytest.mark.parametrize("scheme", ["Basic", "Token", "", "Bearer Bearer"])
def test_other_kinds_of_authorization_are_refused(
    world: World, route: tuple[str, str], scheme: str
) -> None:
    header = {"Authorization": f"{scheme} {world.tokens['lead']}"}
    answer = world.anyone().request(route[0], address(world, route[1]), headers=header, json={})
    assert answer.status_code in (401, 429)


def test_a_lead_of_one_project_cannot_erase_who_also_judges_in_another(world: World) -> None:
    both = people.new_rater(world.store, 1.0)
    people.add_member(world.store, "coffee", both)
    people.add_member(world.store, "tea", both)
    answer = world.api("lead").delete(f"/api/raters/{both}/data")
    assert answer.status_code == 403 and "do not lead" in answer.json()["error"]


def test_a_lead_cannot_erase_who_is_no_member_of_theirs(world: World) -> None:
    answer = world.api("lead").delete(f"/api/raters/{world.ids['outsider']}/data")
    assert answer.status_code == 404


def test_a_rater_cannot_erase_even_themselves(world: World) -> None:
    answer = world.api("rater").delete(f"/api/raters/{world.ids['rater']}/data")
    assert answer.status_code == 404

"""Signing in and out, and everything a token must not be good for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from plaudit.feedback.protection import security
from plaudit.feedback.protection.attempts import Attempts
from plaudit.feedback.protection.guard import Protection
from plaudit.store import people, tokens
from tests.lead_app import HOST, World, made_world

SESSION, PROJECT = "/api/session", "/api/projects/coffee/invites"


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("session")) as made:
        yield made


def invite(world: World, role: str = "rater", **options) -> str:
    return tokens.invite(world.store, "coffee", role, time.time(), **options)


def test_an_invite_makes_a_member_who_is_signed_in(world: World) -> None:
    client = world.anyone()
    answer = client.post(SESSION, json={"token": invite(world), "name": "Ann"})
    session = answer.json()
    assert answer.status_code == 200 and session["projects"] == {"coffee": "rater"}
    assert client.get(SESSION).json()["rater"] == session["rater"]
    assert people.get_member(world.store, "coffee", session["rater"]).name == "Ann"
    again = world.anyone().post(SESSION, json={"token": session["token"]})
    assert again.json()["rater"] == session["rater"] and again.json()["token"] is None


def test_who_is_signed_in_joins_as_they_are(world: World) -> None:
    client, _ = world.browser("outsider")
    answer = client.post(SESSION, json={"token": invite(world)})
    assert answer.json()["rater"] == world.ids["outsider"]
    assert answer.json()["projects"] == {"coffee": "rater", "tea": "lead"}


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(world: World) -> None:
    answer = world.anyone().post(SESSION, json={"token": world.tokens["rater"]})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
    assert "domain" not in cookie and "secure" not in cookie


def test_the_cookie_is_for_https_alone_where_that_is_all_there_is(world: World) -> None:
    world.app.state.protection = Protection(https=True)
    answer = world.anyone().post(SESSION, json={"token": world.tokens["rater"]})
    assert "; secure" in answer.headers["set-cookie"].lower()


def test_signing_out_ends_the_session_on_the_server(world: World) -> None:
    client, csrf = world.browser("rater")
    stolen = client.cookies["plaudit_session"]
    answer = client.delete(SESSION, headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 204 and not answer.content
    assert client.get(SESSION).status_code == 401
    thief = world.anyone(cookies={"plaudit_session": stolen})
    assert thief.get(SESSION).status_code == 401


def test_signing_out_elsewhere_leaves_this_session(world: World) -> None:
    here, _ = world.browser("rater")
    there, csrf = world.browser("rater")
    there.delete(SESSION, headers={"X-CSRF-Token": csrf})
    assert here.get(SESSION).status_code == 200


def test_a_session_planted_before_signing_in_is_not_taken_up(world: World) -> None:
    """Session fixation: who signs in gets a session that nobody knew before."""
    planted = "plaudit_" + "A" * 43
    client = world.anyone(cookies={"plaudit_session": planted})
    client.post(SESSION, json={"token": world.tokens["lead"]})
    assert world.anyone(cookies={"plaudit_session": planted}).get(SESSION).status_code == 401


def test_signing_in_again_ends_the_session_before(world: World) -> None:
    client, _ = world.browser("rater")
    before = client.cookies["plaudit_session"]
    client.post(SESSION, json={"token": world.tokens["rater"]})
    assert client.cookies["plaudit_session"] != before
    assert world.anyone(cookies={"plaudit_session": before}).get(SESSION).status_code == 401


def test_signing_in_as_another_takes_none_of_the_rights_before(world: World) -> None:
    client, _ = world.browser("lead")
    client.post(SESSION, json={"token": world.tokens["rater"]})
    assert client.get(PROJECT).status_code == 403


@pytest.mark.parametrize("purpose", ["session", "invite", "api"])
@pytest.mark.parametrize("way", ["cookie", "header", "sign in"])
def test_a_token_serves_its_purpose_alone(world: World, purpose: str, way: str) -> None:
    now, lead = time.time(), world.ids["lead"]
    text = invite(world) if purpose == "invite" else None
    text = text or tokens.issue(world.store, purpose, now, rater=lead)
    match way:
        case "cookie":
            answer = world.anyone(cookies={"plaudit_session": text}).get(SESSION)
        case "header":
            answer = world.anyone(headers={"Authorization": f"Bearer {text}"}).get(SESSION)
        case _:
            answer = world.anyone().post(SESSION, json={"token": text})
    good = {("session", "cookie"), ("api", "header"), ("api", "sign in"), ("invite", "sign in")}
    assert answer.status_code == (200 if (purpose, way) in good else 401)


@pytest.mark.parametrize("fate", ["expired", "revoked", "another's hash", "cut", "longer", "case"])
@pytest.mark.parametrize("way", ["cookie", "header", "sign in"])
def test_a_token_that_does_not_hold_is_no_token(world: World, fate: str, way: str) -> None:
    now, lead = time.time(), world.ids["lead"]
    purpose = "session" if way == "cookie" else "api"
    text = tokens.issue(
        world.store,
        purpose,
        now - (60 if fate == "expired" else 0),
        rater=lead,
        lifetime_seconds=30,
    )
    hash = tokens.hash_of(text)
    if fate == "revoked":
        tokens.revoke(world.store, hash, now)
    changed = {"another's hash": hash, "cut": text[:-1], "longer": text + "A"}
    changed["case"] = text.swapcase()
    given = changed.get(fate, text)
    match way:
        case "cookie":
            answer = world.anyone(cookies={"plaudit_session": given}).get(SESSION)
        case "header":
            answer = world.anyone(headers={"Authorization": f"Bearer {given}"}).get(SESSION)
        case _:
            answer = world.anyone().post(SESSION, json={"token": given})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("fate", ["expired", "used up", "revoked"])
def test_an_invite_that_has_ended_makes_no_member(world: World, fate: str) -> None:
    before, now = people.members(world.store, "coffee"), time.time()
    text = tokens.invite(world.store, "coffee", "lead", now - (9e5 if fate == "expired" else 0))
    if fate == "used up":
        assert world.anyone().post(SESSION, json={"token": text}).status_code == 200
        before = people.members(world.store, "coffee")
    if fate == "revoked":
        tokens.revoke(world.store, tokens.hash_of(text), now)
    assert world.anyone().post(SESSION, json={"token": text}).status_code == 401
    assert people.members(world.store, "coffee") == before


def test_a_lead_ends_an_invite(world: World) -> None:
    lead = world.api("lead")
    text = lead.post(PROJECT, json={"role": "rater", "uses": 5}).json()["token"]
    (found,) = lead.get(PROJECT).json()
    assert found["uses_left"] == 5 and text not in str(found)
    assert lead.delete(f"{PROJECT}/{found['id']}").json() == {"tokens": 1}
    assert world.anyone().post(SESSION, json={"token": text}).status_code == 401
    assert lead.delete(f"{PROJECT}/{found['id']}").status_code == 404


def test_an_invite_of_another_project_cannot_be_ended(world: World) -> None:
    made = tokens.hash_of(tokens.invite(world.store, "tea", "rater", time.time()))
    assert world.api("lead").delete(f"{PROJECT}/{made[:16]}").status_code == 404


@pytest.mark.parametrize("limit", ["rater", "adjudicator"])
def test_a_token_of_a_lower_role_gives_no_more(world: World, limit: str) -> None:
    text = tokens.issue(world.store, "api", time.time(), rater=world.ids["lead"], role=limit)
    program = world.anyone(headers={"Authorization": f"Bearer {text}"})
    assert program.get(PROJECT).status_code == 403
    browser = world.anyone()
    browser.post(SESSION, json={"token": text})
    assert browser.get(PROJECT).status_code == 403
    assert browser.get(SESSION).json()["projects"] == {"coffee": limit}


def test_a_token_never_gives_more_than_its_rater_has(world: World) -> None:
    text = tokens.issue(world.store, "api", time.time(), rater=world.ids["rater"], role="lead")
    program = world.anyone(headers={"Authorization": f"Bearer {text}"})
    assert program.get(PROJECT).status_code == 403


def test_a_token_of_one_project_is_good_for_no_other(world: World) -> None:
    """So a lead who hands a member a token cannot use it where the member leads."""
    people.add_member(world.store, "coffee", world.ids["outsider"])
    made = world.api("lead").post(
        f"/api/projects/coffee/members/{world.ids['outsider']}/tokens", json={}
    )
    program = world.anyone(headers={"Authorization": f"Bearer {made.json()['token']}"})
    assert program.get("/api/projects/tea/invites").status_code == 404
    assert program.get(SESSION).json()["projects"] == {"coffee": "rater"}


def test_a_lead_makes_no_token_of_another_lead(world: World) -> None:
    other = people.new_rater(world.store, 1.0)
    people.add_member(world.store, "coffee", other, "lead")
    answer = world.api("lead").post(f"/api/projects/coffee/members/{other}/tokens", json={})
    assert answer.status_code == 403


def test_losing_a_role_by_another_process_is_felt_within_a_second(world: World) -> None:
    client, _ = world.browser("adjudicator")
    assert client.get("/api/projects/coffee/items").status_code == 200
    people.set_role(world.store, "coffee", world.ids["adjudicator"], "rater", "x")
    time.sleep(Protection().remembered_seconds + 0.1)
    assert client.get("/api/projects/coffee/items").status_code == 403


def test_losing_a_role_here_is_felt_at_once(world: World) -> None:
    client, _ = world.browser("adjudicator")
    assert client.get("/api/projects/coffee/items").status_code == 200
    member = f"/api/projects/coffee/members/{world.ids['adjudicator']}"
    assert world.api("lead").patch(member, json={"role": "rater"}).is_success
    assert client.get("/api/projects/coffee/items").status_code == 403


def test_ending_all_tokens_of_a_member_ends_their_sessions(world: World) -> None:
    client, _ = world.browser("rater")
    rater = world.ids["rater"]
    world.api("lead").delete(f"/api/projects/coffee/members/{rater}/tokens")
    assert client.get(SESSION).status_code == 401
    assert world.api("rater").get(SESSION).status_code == 401


def test_a_header_is_believed_before_a_cookie(world: World) -> None:
    """A wrong token is an error, not a reason to try the cookie without its CSRF proof."""
    client, _ = world.browser("lead")
    answer = client.post(PROJECT, json={}, headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401


def guess(number: int) -> str:
    return f"plaudit_{number:08d}" + "x" * 35


def test_guessing_is_slowed_from_one_address(world: World) -> None:
    client = world.anyone()
    answers = [client.post(SESSION, json={"token": guess(n)}) for n in range(25)]
    assert [a.status_code for a in answers] == [401] * 20 + [429] * 5
    assert 0 < int(answers[-1].headers["retry-after"]) <= 301
    right = client.post(SESSION, json={"token": world.tokens["lead"]})
    assert right.status_code == 429, "a right guess must not show among refused ones"
    elsewhere = world.anyone(client=("192.0.2.7", 1))
    assert elsewhere.post(SESSION, json={"token": world.tokens["lead"]}).status_code == 200


def test_guessing_how_a_token_goes_on_is_slowed_from_all_addresses(world: World) -> None:
    start = world.tokens["lead"][:16]
    codes = []
    for n in range(22):
        client = world.anyone(client=(f"192.0.2.{n}", 1))
        codes.append(client.post(SESSION, json={"token": f"{start}{n:035d}"}).status_code)
    assert codes == [401] * 20 + [429] * 2


def test_guessing_by_header_is_slowed_and_who_is_signed_in_goes_on(world: World) -> None:
    client, _ = world.browser("rater")
    wrong = [{"Authorization": f"Bearer {guess(n)}"} for n in range(25)]
    codes = [world.anyone(headers=header).get(SESSION).status_code for header in wrong]
    assert codes == [401] * 20 + [429] * 5
    assert client.get(SESSION).status_code == 200
    assert world.api("rater").get(SESSION).status_code == 200


def test_a_token_that_has_expired_is_no_guess(world: World) -> None:
    text = tokens.issue(
        world.store, "api", time.time() - 60, rater=world.ids["rater"], lifetime_seconds=30
    )
    for _ in range(30):
        assert world.anyone().post(SESSION, json={"token": text}).status_code == 401


def test_the_limit_passes() -> None:
    attempts = Attempts(most=3, window_seconds=60)
    for second in range(3):
        attempts.failed("192.0.2.1", guess(second), float(second))
    assert attempts.wait_seconds("192.0.2.1", guess(9), 10.0) == 50.0
    assert attempts.wait_seconds("192.0.2.1", guess(9), 60.0) == 0.0
    assert attempts.wait_seconds("192.0.2.2", guess(9), 10.0) == 0.0


def test_an_ipv6_network_counts_as_one_address() -> None:
    attempts = Attempts(most=3)
    for n in range(3):
        attempts.failed(f"2001:db8::{n}", guess(n), 0.0)
    assert attempts.wait_seconds("2001:db8::ffff", guess(9), 1.0) > 0
    assert attempts.wait_seconds("2001:db8:0:1::1", guess(9), 1.0) == 0


def test_counting_guesses_takes_bounded_memory() -> None:
    attempts = Attempts(most=5, keys=100)
    for n in range(5000):
        attempts.failed(f"2001:db8:{n:x}::1", guess(n), float(n))
    assert len(attempts._failed) == 100


def test_who_floods_does_not_wash_out_their_own_count() -> None:
    attempts = Attempts(most=5, keys=100)
    for n in range(5000):
        attempts.failed("192.0.2.1", guess(n), 0.0)
    assert attempts.wait_seconds("192.0.2.1", guess(1), 1.0) > 0


def test_proofs_are_compared_in_constant_time(monkeypatch, world: World) -> None:
    """All comparisons of a secret with what someone sent go through ``compare_digest``."""
    compared = []
    real = security.hmac.compare_digest
    monkeypatch.setattr(
        security.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b)
    )
    client, csrf = world.browser("rater")
    client.delete(SESSION, headers={"X-CSRF-Token": csrf[:-1] + "z"})
    assert compared == [((csrf[:-1] + "z").encode(), csrf.encode())]


def test_the_csrf_token_is_not_the_session_s_and_not_to_be_made_without_it(world: World) -> None:
    client, csrf = world.browser("rater")
    cookie = client.cookies["plaudit_session"]
    assert csrf not in cookie and cookie not in csrf
    assert security.csrf_of(cookie) == csrf != security.csrf_of(cookie + "A")


@pytest.mark.parametrize("who", ["rater", "lead"])
def test_no_answer_repeats_the_token_that_was_sent(world: World, who: str) -> None:
    answer = world.anyone().post(SESSION, json={"token": world.tokens[who]})
    assert world.tokens[who] not in answer.text + str(answer.headers)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:8000", "LOCALHOST"])
def test_our_own_names_are_answered(world: World, host: str) -> None:
    answer = world.anyone().get(SESSION, headers={"Host": host})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8000", "",
     "localhost:99999999", "localhost@evil.example", "localhost/evil", "[::1", "localhost, evil"],
)  # fmt: skip
def test_other_hosts_are_not_answered(world: World, host: str) -> None:
    answer = world.api("lead").get(SESSION, headers={"Host": host})
    assert answer.status_code == 400 and "Host" in answer.json()["error"]


def test_no_redirect_leads_away(world: World) -> None:
    """There are none: not for a slash too many, nor for what a query or a Host says."""
    for path in ("/api/session/", "/sign-in/", "//evil.example/", "/sign-in?to=//evil.example"):
        answer = world.anyone().get(f"{HOST}{path}", follow_redirects=False)
        assert answer.status_code in (200, 401, 404), path
        assert "location" not in answer.headers

"""Requests nobody sends by accident: bodies, texts, paths, sizes, headers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest

from plaudit.feedback.protection.guard import CONTENT_SECURITY_POLICY
from plaudit.store import add_items, get_project, people, projects, verify
from tests.lead_app import HOST, SOURCES, World, item, made_world
from tests.lead_votes import one_vote

P = "/api/projects/coffee"
SCRIPT = (
    "<script>window.hit=1</script><img src=x onerror=window.hit=1>\"'><svg onload=window.hit=1>"
)
BODIES = [
    ("POST", "/api/session"),
    ("POST", f"{P}/members"),
    ("POST", f"{P}/invites"),
    ("POST", f"{P}/guidelines"),
    ("POST", f"{P}/adjudications"),
    ("POST", f"{P}/judgments"),
    ("POST", f"{P}/skips"),
    ("POST", f"{P}/arena"),
    ("PUT", f"{P}/drafts/a-1"),
    ("PUT", f"{P}/declined"),
    ("PATCH", f"{P}/members/RATER"),
    ("POST", f"{P}/members/RATER/tokens"),
    ("POST", f"{P}/members/RATER/suspension"),
]
MALFORMED = {
    "nothing": b"",
    "cut off": b'{"token": "a',
    "not UTF-8": b'{"token": "\xff\xfe"}',
    "UTF-16": '{"token": "a"}'.encode("utf-16"),
    "NUL": b'{"token": "a\\u0000b"}',
    "half a pair": b'{"token": "\\ud800"}',
    "half a pair as key": b'{"\\udfff": 1}',
    "deep lists": b"[" * 100_000,
    "deep and closed": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "huge integer": b'{"token": ' + b"9" * 10_000 + b"}",
    "huge float": b'{"token": 1e999}',
    "NaN": b'{"token": NaN}',
    "infinity": b'{"token": -Infinity}',
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "a text": b'"text"',
    "twice": b'{"token": "a"}{"token": "a"}',
    "a comment": b'{"token": "a"} // yes',
    "unknown field": b'{"no_such_field": 1}',
    "wrong types": b'{"token": {"a": []}, "role": 7, "uses": "many", "version": [], "item": {}}',
    "Python": b"{'token': True}",
    "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("requests")) as made:
        yield made


def is_refusal(answer) -> bool:
    """Uniform, of one line, and nothing that came from inside."""
    said = answer.json()
    return (
        400 <= answer.status_code < 500
        and set(said) == {"error"}
        and "\n" not in said["error"]
        and "Traceback" not in said["error"]
        and len(said["error"]) < 3000
    )


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("route", BODIES, ids=lambda route: f"{route[0]} {route[1][4:]}")
def test_no_body_is_an_error_of_ours(world: World, route: tuple[str, str], kind: str) -> None:
    path = route[1].replace("RATER", world.ids["rater"])
    body, headers = MALFORMED[kind], {"Content-Type": "application/json"}
    before = people.members(world.store, "coffee")
    answer = world.api("lead").request(route[0], path, content=body, headers=headers)
    assert is_refusal(answer), answer.text
    assert people.members(world.store, "coffee") == before


@pytest.mark.parametrize("route", BODIES, ids=lambda route: f"{route[0]} {route[1][4:]}")
@pytest.mark.parametrize("declared", ["right", "none", "a lie", "not a number"])
def test_bodies_that_are_too_large_are_refused(
    world: World, route: tuple[str, str], declared: str
) -> None:
    """What is counted is what comes, whatever its length says."""
    chunk, sent = b"[" + b" " * 99_999, []

    def pieces() -> Iterator[bytes]:
        for _ in range(12):
            sent.append(len(chunk))
            yield chunk

    path = route[1].replace("RATER", world.ids["rater"])
    lengths = {"right": str(12 * len(chunk)), "a lie": "10", "not a number": "ten"}
    headers = {"Content-Type": "application/json"}
    headers |= {"Content-Length": lengths[declared]} if declared in lengths else {}
    answer = world.api("lead").request(route[0], path, content=pieces(), headers=headers)
    assert answer.status_code == 413 and is_refusal(answer)


TRICKS = [
    "' OR '1'='1",
    "'; DROP TABLE judgment; --",
    '" OR ""="',
    "1; DELETE FROM rater",
    "coffee' UNION SELECT hash FROM token --",
    "%' OR 1=1 --",
    "\\'; --",
    "admin'/*",
    "${7*7}{{7*7}}",
    "__import__('os')",
    "$(id)`id`",
    "a\u202eb\u2066c",
]


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize(
    "path",
    ["/api/projects/{}/members", P + "/items?stratum={}", P + "/items?question={}",
     P + "/events?kind={}", P + "/members/{}/suspension", P + "/invites/{}", "/api/raters/{}/data",
     P + "/drafts/{}", "/static/{}", "/lead/{}", "/rate/{}"],
)  # fmt: skip
def test_what_means_something_to_a_database_means_nothing_here(
    world: World, path: str, trick: str
) -> None:
    before = len(projects(world.store)), people.members(world.store, "coffee")
    address = path.format(quote(trick, safe=""))
    for method in ("GET", "DELETE"):
        answer = world.api("lead").request(method, address)
        assert answer.status_code < 500, answer.text
        assert answer.status_code != 200 or method == "GET"
        if answer.status_code == 200 and "/api/" in address:
            assert answer.json() in ([], NO_ITEMS)
    assert (len(projects(world.store)), people.members(world.store, "coffee")) == before


NO_ITEMS = {"items": [], "offset": 0, "has_more": False, "is_whole": True}


@pytest.mark.parametrize(
    "trick", [*TRICKS, SCRIPT, "a" * 200, "Zoë 🦊 漢字", "javascript:alert(1)"]
)
def test_any_text_is_kept_as_it_is(world: World, trick: str) -> None:
    lead = world.api("lead")
    made = lead.post(f"{P}/members", json={"name": trick, "version": trick})
    assert made.status_code == 200, made.text
    found = {m["rater"]: m for m in lead.get(f"{P}/members").json()}[made.json()["rater"]]
    assert found["name"] == trick.strip() and found["version"] == trick
    reason = lead.post(f"{P}/members/{found['rater']}/suspension", json={"reason": trick})
    assert reason.status_code == 200
    (event, *_) = lead.get(f"{P}/events?kind=suspended").json()
    assert event["detail"]["reason"] == trick
    assert not verify(world.store).faults


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/%2e%2e%2fapp.py",
     "/static/..%5capp.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/lead.html",
     "/static/base.html", "/static/lead/../../app.py", "/static/rate.css/", "/static/rate.css%20",
     "/static/RATE.CSS", "/static/.", "/static/..", "/static/", "/static/lead", "/static/~root",
     "/static/file:///etc/passwd", "/static/....//....//etc/passwd", "/static/rate.css::$DATA"],
)  # fmt: skip
def test_only_files_that_are_served_are_served(world: World, path: str) -> None:
    """Asked as it stands: a client would tidy the dots away."""
    status, body = asgi_get(world, unquote(path))
    assert status == 404 and set(json.loads(body)) == {"error"}
    assert b"root:x" not in body and b"create_app" not in body


def asgi_get(world: World, path: str) -> tuple[int, bytes]:
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }  # fmt: skip
    asyncio.run(world.app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    "path",
    ["/static/rate.css%00", "/static/%00", f"{P}%00/members", f"{P}/members/%00/suspension",
     f"{P}/items?stratum=%00", f"{P}/items?question=a%0d%0aSet-Cookie:%20a=b", "/lead/%0d%0aX:%20y",
     f"{P}/events?kind=%1b[31m", "/rate/%7f", "/sign-in?to=%0d%0aLocation:%20//evil"],
)  # fmt: skip
def test_control_characters_in_an_address_are_refused(world: World, path: str) -> None:
    answer = world.api("lead").get(f"{HOST}{path}")
    assert answer.status_code == 400 and is_refusal(answer)
    assert "set-cookie" not in answer.headers and "location" not in answer.headers


@pytest.mark.parametrize(
    "project", ["..", ".", "%2e%2e", "..%2ftea", "coffee%2f..%2ftea", "Coffee", "coffee%20", "tea"]
)
def test_a_project_is_known_by_its_very_id(world: World, project: str) -> None:
    answer = world.api("lead").get(f"/api/projects/{project}/members")
    assert answer.status_code == 404 and is_refusal(answer)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=-1", "limit=1e9", f"limit={2**70}", "offset=-1",
     f"offset={2**70}", "sort=votes", "sort=disagreement;drop", "settled=maybe", "limit=",
     f"stratum={'x' * 201}", f"question={'x' * 5000}"],
)  # fmt: skip
def test_queries_out_of_bounds_are_refused(world: World, query: str) -> None:
    answer = world.api("lead").get(f"{P}/items?{query}")
    assert answer.status_code == 422 and is_refusal(answer)


@pytest.mark.parametrize(
    "query", ["before=0", f"before={2**64}", "before=x", "limit=501", "limit=0"]
)
def test_queries_of_events_out_of_bounds_are_refused(world: World, query: str) -> None:
    assert world.api("lead").get(f"{P}/events?{query}").status_code == 422


@pytest.mark.parametrize(
    "path", ["/", "/sign-in", "/rate/coffee", "/lead/coffee", "/static/rate.css"]
)
def test_every_page_says_what_a_browser_may_load(world: World, path: str) -> None:
    answer = world.anyone().get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY and "*" not in CONTENT_SECURITY_POLICY
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize("path", ["/", "/sign-in", "/rate/coffee", "/lead/coffee"])
def test_no_page_has_anything_inline(world: World, path: str) -> None:
    page = world.anyone().get(path).text.lower()
    assert "<script>" not in page and "style=" not in page and "javascript:" not in page
    assert not any(f" on{event}=" in page for event in ("click", "load", "error", "submit"))


@pytest.mark.parametrize(
    "path", ["/api/session", f"{P}/members", "/api/none", "/static/none", f"{P}/items?limit=0"]
)
def test_errors_carry_the_headers_too(world: World, path: str) -> None:
    answer = world.anyone().get(path)
    assert answer.status_code >= 400
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "OPTIONS", "PUT"])
def test_other_methods_do_nothing(world: World, method: str) -> None:
    answer = world.api("lead").request(method, f"{P}/members")
    assert answer.status_code == 405 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_no_other_origin_may_read(world: World, origin: str) -> None:
    answer = world.api("lead").get(f"{P}/members", headers={"Origin": origin})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "header", ["X-Forwarded-Host", "X-Forwarded-For", "X-Original-URL", "X-HTTP-Method-Override"]
)
def test_headers_that_proxies_set_are_not_believed(world: World, header: str) -> None:
    """An override of method, path or host does nothing; the right is that of who asks."""
    value = {"X-Original-URL": "/api/session", "X-HTTP-Method-Override": "GET"}.get(header, "x")
    answer = world.api("rater").post(f"{P}/invites", json={}, headers={header: value})
    assert answer.status_code == 403


FIELDS = ["prompt", "response", "rationale", "name", "stratum", "guideline", "reason", "version"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_stored_script_stays_text(world: World, field: str) -> None:
    """It comes as JSON, of that type, and as nothing a browser would take for a page."""
    path, needle = stored_script(world, field)
    answer = world.api("lead").get(path)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert needle in json.dumps(answer.json(), ensure_ascii=False)


def stored_script(world: World, field: str) -> tuple[str, str]:
    """Puts the script into a field; where it is read, and how it then stands in JSON."""
    lead, quoted = world.api("lead"), json.dumps(SCRIPT, ensure_ascii=False)[1:-1]
    number = 100 + FIELDS.index(field)
    match field:
        case "prompt" | "response" | "stratum" | "rationale":
            prompt = SCRIPT if field == "prompt" else "What?"
            made = item(number, prompt, stratum=SCRIPT if field == "stratum" else "")
            if field == "response":
                spoiled = made.candidates[0].model_copy(update={"content": SCRIPT})
                made = made.model_copy(update={"candidates": (spoiled, made.candidates[1])})
            add_items(world.store, "coffee", [made], 2)
            if field == "rationale":
                one_vote(world.store, made, "coffee", world.ids["rater"], 1, rationale=SCRIPT)
            rows = lead.get(f"{P}/items?sort=number&limit=200").json()["items"]
            (row,) = (row for row in rows if row["id"] == made.id)
            return f"{P}/items/{row['number']}", quoted
        case "guideline":
            lead.post(f"{P}/guidelines", json={"version": "9", "text": SCRIPT})
            return f"{P}/guidelines", quoted
        case "reason":
            path = f"{P}/members/{world.ids['suspended']}/suspension"
            lead.post(path, json={"reason": SCRIPT})
            return f"{P}/events", quoted
        case _:
            lead.post(f"{P}/members", json={field: SCRIPT})
            return f"{P}/members", quoted


def test_what_a_rater_is_sent_is_rendered_without_script(world: World) -> None:
    made = item(500, SCRIPT, priority=9)
    spoiled = made.candidates[0].model_copy(update={"content": SCRIPT})
    made = made.model_copy(update={"candidates": (spoiled, made.candidates[1])})
    add_items(world.store, "coffee", [made], 2)
    given = world.api("rater").get(f"{P}/next").json()["assignment"]
    for html in [part["html"] for part in (given["prompt"], *given["candidates"])]:
        assert "<script" not in html and "<img" not in html and "<svg" not in html


@pytest.mark.parametrize("path", ["", "/next", "/me"])
def test_a_rater_never_learns_who_wrote_what_and_which_are_gold(world: World, path: str) -> None:
    answer = world.api("rater").get(f"{P}{path}")
    assert answer.status_code == 200
    for secret in (*SOURCES, "is_gold", "stratum", "priority", "columns", "secret", "gold"):
        assert secret not in answer.text, secret


@pytest.mark.parametrize("role", ["rater", "adjudicator", "lead"])
def test_no_answer_holds_a_hash_of_a_token_or_a_project_s_secret(world: World, role: str) -> None:
    client, secret = world.api(role), get_project(world.store, "coffee").secret
    for path in ("", "/next", "/me", "/items", "/members", "/invites", "/raters", "/events"):
        text = client.get(f"{P}{path}").text
        assert secret not in text and world.tokens[role] not in text

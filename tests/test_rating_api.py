"""What a rater is sent and what becomes of an answer: over HTTP, on a real store."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plaudit.feedback.app import create_app
from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Ranked, Rated, Withdrawn
from plaudit.store import items, read, standing, verify
from plaudit.store.people import new_rater
from plaudit.store.tokens import issue
from tests.judging import PAIRWISE, SECRET_MODEL, TOOL_PROMPT, Judging, client_of, judging, pair
from tests.served_model import ServedModel, served_model

HERE = "/api/projects/tea"
CRITERIA = [{"name": "helpful", "scale": [1, 5]}]


@pytest.fixture
def judged(tmp_path: Path) -> Judging:
    return judging(tmp_path, [pair(number) for number in range(6)])


@pytest.fixture
def client(judged: Judging) -> TestClient:
    return client_of(judged)


def next_task(client: TestClient) -> dict[str, Any]:
    return client.get(f"{HERE}/next").json()["assignment"]


def answer(strength: int, assignment: str, id: str = "one", **rest: Any) -> dict[str, Any]:
    given = {"kind": "pairwise", "strength": strength}
    return {"id": id, "assignment": assignment, "answer": given} | rest


def log_of(judged: Judging) -> list[Judgment]:
    found = [logged.judgment for logged in read(judged.store)]
    assert None not in found
    return [judgment for judgment in found if judgment]


def left_index(task: dict[str, Any]) -> int:
    """Which of the item's candidates stands left, told from its text."""
    return 0 if task["candidates"][0]["text"].startswith("The first") else 1


def test_an_answer_about_places_is_kept_as_one_about_candidates(
    judged: Judging, client: TestClient
) -> None:
    seen = {0: 0, 1: 0}
    for number in range(6):
        task = next_task(client)
        sent = client.post(f"{HERE}/judgments", json=answer(-3, task["id"], f"j{number}"))
        assert sent.json()["seq"] == number + 1
        kept = log_of(judged)[-1]
        assert isinstance(kept.answer, Pairwise)
        # The left one is much better: below 0 where the item's first candidate stood left.
        assert kept.answer.strength == (-3 if left_index(task) == 0 else 3)
        assert kept.shown[0] == left_index(task)
        seen[left_index(task)] += 1
    assert seen[0] and seen[1], "six orders of two were all alike"
    assert client.get(f"{HERE}/next").json()["assignment"] is None


def test_a_reload_shows_the_same_task_in_the_same_order(client: TestClient) -> None:
    first = next_task(client)
    for _ in range(5):
        again = next_task(client)
        assert again["id"] == first["id"]
        assert again["candidates"] == first["candidates"]


def test_sent_again_it_is_one_judgment(judged: Judging, client: TestClient) -> None:
    body = answer(1, next_task(client)["id"], next=True)
    first, again = (client.post(f"{HERE}/judgments", json=body) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json()["seq"] == again.json()["seq"] == 1
    assert first.json()["next"]["assignment"]["id"] == again.json()["next"]["assignment"]["id"]
    assert len(log_of(judged)) == 1
    other = client.post(f"{HERE}/judgments", json=body | {"id": "two"})
    assert other.status_code == 409


def test_undo_opens_the_task_again_with_its_answer(judged: Judging, client: TestClient) -> None:
    task = next_task(client)
    client.post(f"{HERE}/judgments", json=answer(2, task["id"], rationale="clearer"))
    reopened = client.post(f"{HERE}/undo").json()["assignment"]
    assert reopened["id"] == task["id"]
    assert reopened["candidates"] == task["candidates"]
    assert reopened["draft"]["answer"] == {"kind": "pairwise", "strength": 2, "both_bad": False}
    assert reopened["draft"]["rationale"] == "clearer"
    assert isinstance(log_of(judged)[-1].answer, Withdrawn)
    assert list(standing(judged.store, "tea")) == []
    client.post(f"{HERE}/judgments", json=answer(-1, task["id"], "again"))
    assert len(list(standing(judged.store, "tea"))) == 1
    assert not verify(judged.store).faults


def test_nothing_to_undo_is_said(client: TestClient) -> None:
    refused = client.post(f"{HERE}/undo")
    assert refused.status_code == 409
    assert "nothing to undo" in refused.json()["error"]


def test_a_draft_comes_back_with_its_task(client: TestClient) -> None:
    task = next_task(client)
    body = {"answer": {"kind": "pairwise", "strength": 1, "both_bad": False}, "rationale": "half"}
    assert client.put(f"{HERE}/drafts/{task['id']}", json={"body": body}).status_code == 204
    assert next_task(client)["draft"] == body
    too_long = {"body": {"rationale": "x" * 250_000}}
    assert client.put(f"{HERE}/drafts/{task['id']}", json=too_long).status_code == 413
    assert client.put(f"{HERE}/drafts/none", json={"body": {}}).status_code == 404


def test_a_skip_is_a_skip_and_no_tie(judged: Judging, client: TestClient) -> None:
    task = next_task(client)
    body = {"assignment": task["id"], "reason": "unclear", "note": "which tea?", "next": True}
    sent = client.post(f"{HERE}/skips", json=body).json()
    assert sent["next"]["assignment"]["id"] != task["id"]
    assert log_of(judged)[0].answer.kind == "skip"
    assert log_of(judged)[0].rationale == "which tea?"
    mine = client.get(f"{HERE}/me").json()
    assert (mine["judged"], mine["skipped"]) == (0, 1)


def test_own_figures_count_from_where_they_are_asked(client: TestClient) -> None:
    client.post(f"{HERE}/judgments", json=answer(1, next_task(client)["id"]))
    now = time.time()
    assert client.get(f"{HERE}/me", params={"since": now - 60}).json()["judged_today"] == 1
    assert client.get(f"{HERE}/me", params={"since": now + 60}).json()["judged_today"] == 0
    assert client.get(f"{HERE}/me").json()["median_seconds"] >= 0


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"answer": {"kind": "pairwise", "strength": 4}}, 422, "less than or equal to 3"),
        ({"answer": {"kind": "pairwise", "strength": "3"}}, 422, "integer"),
        ({"answer": {"kind": "label", "label": "x"}}, 422, "expected pairwise"),
        ({"answer": {"kind": "withdrawn"}}, 422, "kind"),
        ({"answer": None}, 422, "answer"),
        ({"flags": ["boring"]}, 422, "not offered"),
        ({"assignment": "another"}, 404, "not one of yours"),
        ({"confidence": 2}, 422, "confidence"),
        ({"rater": "someone"}, 422, "rater"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_recorded(
    judged: Judging, client: TestClient, change: dict, status: int, said: str
) -> None:
    body = answer(1, next_task(client)["id"]) | change
    refused = client.post(f"{HERE}/judgments", json=body)
    assert refused.status_code == status
    assert said in refused.json()["error"]
    assert log_of(judged) == []


def test_another_rater_cannot_answer_or_read_it(judged: Judging, client: TestClient) -> None:
    task = next_task(client)
    stranger = issue(judged.store, "api", time.time(), rater=new_rater(judged.store, time.time()))
    other = {"Authorization": f"Bearer {stranger}"}
    for method, path in [("GET", "next"), ("POST", "undo"), ("GET", "me"), ("GET", "")]:
        refused = client.request(method, f"{HERE}/{path}".rstrip("/"), headers=other)
        assert refused.status_code == 404
    refused = client.post(f"{HERE}/judgments", json=answer(1, task["id"]), headers=other)
    assert refused.status_code == 404


def everything_sent_to_a_rater(client: TestClient, draft: dict[str, Any]) -> Iterator[str]:
    """Every response of a rater's whole day, headers too."""
    asked = [("GET", "", None), ("GET", "/me", None)]
    for number in range(4):
        task = next_task(client)
        id = task["id"]
        asked += [
            ("GET", "/next", None),
            ("PUT", f"/drafts/{id}", {"body": draft}),
            ("POST", "/judgments", answer(7, id, f"bad{number}")),
            ("POST", "/judgments", answer(1, id, f"j{number}", next=True)),
            ("POST", "/judgments", answer(2, id, f"j{number}", next=True)),
            ("POST", "/undo", None),
            ("POST", "/judgments", answer(1, id, f"k{number}", next=True)),
            ("POST", "/skips", {"assignment": id, "reason": "none", "note": ""}),
        ]
        for method, path, body in asked:
            response = client.request(method, HERE + path, json=body)
            assert response.status_code < 500
            yield response.text + str(dict(response.headers))
        asked = []
    for path in ("/", "/sign-in", "/rate/tea", "/api/session", "/api/openapi.json"):
        yield client.get(path).text


def test_no_response_names_a_model_a_source_or_what_is_gold(tmp_path: Path) -> None:
    gold = pair(0, gold=Pairwise(strength=-2), priority=987654)
    items = [gold, *(pair(number, priority=987654) for number in range(1, 6))]
    judged = judging(tmp_path, items, gold={"onboarding": 1, "rate": 0.3}, repeat_rate=0.2)
    client = client_of(judged)
    sent = list(everything_sent_to_a_rater(client, {"rationale": "x"}))
    assert len(sent) > 30
    of_tasks = [text for text in sent if '"assignment": {"id"' in text]
    assert of_tasks
    for text in sent:
        assert SECRET_MODEL not in text
        assert "987654" not in text
    for text in of_tasks:
        body = text.partition("{'")[0]
        for word in ("gold", "source", "stratum", "priority", "is_repeat", "columns", "item-"):
            assert word not in body, word


def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/sign-in", "/rate/tea", "/static/rate.js", f"{HERE}/next"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "script-src 'self'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    for page in ("/", "/sign-in", "/rate/tea"):
        html = client.get(page).text
        assert "<style" not in html and " style=" not in html
        assert re.search(r"<[^>]+\son\w+=|<script(?![^>]*src)", html) is None
        assert "http://" not in html and "https://" not in html


def test_a_file_that_did_not_change_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/static/rate.css")
    again = client.get("/static/rate.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/base.html").status_code == 404


def ranked(number: int, candidates: int, question: str) -> Item:
    texts = [f"Candidate {letter}" for letter in "abcdefghi"[:candidates]]
    made = tuple(Candidate(content=text, source=SECRET_MODEL) for text in texts)
    return Item(id=f"{question}-{number}", question=question, prompt="Order", candidates=made)


def test_ranks_marks_and_criteria_are_put_back_by_candidate(tmp_path: Path) -> None:
    questions = [
        {"name": "order", "kind": "ranking", "criteria": CRITERIA},
        {"name": "mark", "kind": "rating"},
    ]
    items = [ranked(n, 5, "order") for n in range(3)] + [ranked(n, 4, "mark") for n in range(3)]
    judged = judging(tmp_path, items, questions=questions)
    client = client_of(judged)
    for number in range(6):
        task = next_task(client)
        letters = [shown["text"][-1] for shown in task["candidates"]]
        by_letter = {letter: place + 1 for place, letter in enumerate("abcde")}
        values = [by_letter[letter] for letter in letters]
        given = {"kind": "rating", "values": values}
        criteria = {}
        if task["question"] == "order":
            given = {"kind": "ranking", "ranks": values}
            criteria = {"helpful": values}
        body = {"id": f"j{number}", "assignment": task["id"], "answer": given}
        sent = client.post(
            f"{HERE}/judgments", json=body | {"criteria": criteria, "confirmed": True}
        )
        assert sent.status_code == 200, sent.text
    for kept in log_of(judged):
        if isinstance(kept.answer, Ranked):
            assert kept.answer.ranks == (1, 2, 3, 4, 5)
            assert kept.criteria["helpful"] == (1, 2, 3, 4, 5)
        else:
            assert isinstance(kept.answer, Rated)
            assert kept.answer.values == (1, 2, 3, 4)


def test_an_order_left_as_shown_counts_only_when_confirmed(tmp_path: Path) -> None:
    judged = judging(
        tmp_path, [ranked(0, 3, "order")], questions=[{"name": "order", "kind": "ranking"}]
    )
    client = client_of(judged)
    given = {"kind": "ranking", "ranks": [1, 2, 3]}
    body = {"id": "j", "assignment": next_task(client)["id"], "answer": given}
    assert client.post(f"{HERE}/judgments", json=body).status_code == 422
    assert client.post(f"{HERE}/judgments", json=body | {"confirmed": True}).status_code == 200


def test_turns_and_calls_reach_the_rater(tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(0, TOOL_PROMPT, ("**Two** lattes.", "Done."))])
    prompt = next_task(client_of(judged))["prompt"]
    assert "Calls <code>order</code>" in prompt["html"]
    assert 'order({"drink": "latte"' in prompt["text"]


@pytest.fixture
def model() -> Iterator[ServedModel]:
    with served_model() as found:
        yield found


def arena_of(folder: Path, url: str, **config: Any) -> Judging:
    arena = {"url": url, "model": SECRET_MODEL, "key_variable": "PLAUDIT_TEST_KEY"}
    return judging(folder, [], questions=[PAIRWISE], arena=arena, **config)


def test_in_the_arena_a_prompt_is_answered_twice_and_judged(
    tmp_path: Path, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAUDIT_TEST_KEY", "k-1")
    model.replies.extend(["One **answer**.", "Another."])
    judged = arena_of(tmp_path, model.url)
    client = client_of(judged)
    sent = client.post(f"{HERE}/arena", json={"prompt": "What is tea?"})
    assert sent.status_code == 200, sent.text
    assert SECRET_MODEL not in sent.text
    task = sent.json()["assignment"]
    assert {shown["text"] for shown in task["candidates"]} == {"One **answer**.", "Another."}
    assert [asked["messages"] for asked in model.asked] == [
        [{"role": "user", "content": "What is tea?"}]
    ] * 2
    assert {asked["authorization"] for asked in model.asked} == {"Bearer k-1"}
    assert model.asked[0]["seed"] != model.asked[1]["seed"]
    assert next_task(client)["id"] == task["id"]
    assert client.post(f"{HERE}/judgments", json=answer(1, task["id"])).status_code == 200
    assert log_of(judged)[0].item.startswith("arena-")


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (["same", " same\n"], "same twice"),
        (["one", ""], "nothing"),
        ([{"error": "no"}, "two"], "try again"),
    ],
)
def test_a_model_that_gives_no_two_answers_is_said(
    tmp_path: Path, model: ServedModel, monkeypatch: pytest.MonkeyPatch,
    replies: list[Any], said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("PLAUDIT_TEST_KEY", "k-1")
    model.replies.extend(replies)
    client = client_of(arena_of(tmp_path, model.url))
    refused = client.post(f"{HERE}/arena", json={"prompt": "What is tea?"})
    assert refused.status_code == 409
    assert said in refused.json()["error"]
    assert next_task(client) is None


def test_an_answer_of_the_arena_that_names_a_model_is_flagged_or_left_out(
    tmp_path: Path, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAUDIT_TEST_KEY", "k-1")
    leaking = [f"I am {SECRET_MODEL}, not ChatGPT.", "A friend of Wisp 2."]
    model.replies.extend(["One.", "Another.", *leaking, *leaking])
    judged = arena_of(tmp_path, model.url, model_names=["Wisp 2"])
    client = client_of(judged)
    for _ in range(2):
        sent = client.post(f"{HERE}/arena", json={"prompt": "Who are you?"})
        assert sent.status_code == 200
        assert "leak" not in sent.text
    clean, leaked = (stored.item for stored in items(judged.store, judged.project))
    assert "leak" not in clean.columns
    assert leaked.columns == {"leak": ["chatgpt", "wisp 2", SECRET_MODEL]}

    (tmp_path / "strict").mkdir()
    strict = arena_of(tmp_path / "strict", model.url, model_names=["Wisp 2"], on_leak="leave_out")
    refused = client_of(strict).post(f"{HERE}/arena", json={"prompt": "Who are you?"})
    assert refused.status_code == 409
    assert "names a model" in refused.json()["error"]
    assert SECRET_MODEL not in refused.text
    assert not list(items(strict.store, strict.project))


def test_an_answer_that_was_cut_off_is_told_from_one_that_ended(
    tmp_path: Path, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAUDIT_TEST_KEY", "k-1")
    for text, reason in (("Tea is a", "length"), ("A drink.", "stop")):
        choice = {"message": {"content": text}, "finish_reason": reason}
        model.replies.append({"choices": [choice]})
    judged = arena_of(tmp_path, model.url)
    sent = client_of(judged).post(f"{HERE}/arena", json={"prompt": "What is tea?"})
    assert sent.status_code == 200 and "cut_off" not in sent.text
    [item] = (stored.item for stored in items(judged.store, judged.project))
    cut = [place for place, one in enumerate(item.candidates) if one.content == "Tea is a"]
    assert item.columns == {"cut_off": cut}


def test_no_arena_and_no_model_are_said(
    tmp_path: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post(f"{HERE}/arena", json={"prompt": "x"}).status_code == 404
    assert client.post(f"{HERE}/arena", json={"prompt": "  "}).status_code == 422
    monkeypatch.setenv("PLAUDIT_TEST_KEY", "k-1")
    (tmp_path / "other").mkdir()
    away = client_of(arena_of(tmp_path / "other", "http://127.0.0.1:9/v1"))
    refused = away.post(f"{HERE}/arena", json={"prompt": "x"})
    assert refused.status_code == 409
    assert "cannot be asked" in refused.json()["error"]


def test_the_writer_ends_with_the_application(judged: Judging) -> None:
    app = create_app(judged.store)
    with TestClient(app):
        assert any(thread.name == "plaudit-writer" for thread in threading.enumerate())
    with pytest.raises(RuntimeError, match="closed"):
        app.state.writer.submit(None)

"""The rater's page in a real browser: judged by keyboard alone, and the log says the same."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from plaudit.judgments import Candidate, Item, Judgment, Pairwise, Skipped, Withdrawn
from plaudit.store import (
    add_items,
    get_project,
    put_guideline,
    put_project,
    read,
    standing,
    verify,
)
from tests.judging import PAIRWISE, SECRET_MODEL, TOOL_PROMPT, Judging, judging, pair, served
from tests.served_model import served_model

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that nothing may be wrong with, and that loads nothing from elsewhere."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.on(
        "request",
        lambda asked: faults.append(asked.url) if "http://127.0.0.1" not in asked.url else None,
    )
    yield opened
    context.close()
    # Nobody is signed in at first, and a connection that is cut is cut on purpose.
    expected = ("status of 401", "net::ERR_FAILED", "net::ERR_INTERNET_DISCONNECTED")
    assert [fault for fault in faults if not any(part in fault for part in expected)] == []


def sign_in(page: Page, url: str, judged: Judging) -> None:
    page.goto(f"{url}/sign-in?to=/rate/{judged.project}#{judged.token}")
    page.get_by_role("button", name="Sign in").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".task h1")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def submit(page: Page) -> None:
    """Enter, and wait until the next task or the end is there."""
    before = page.locator(".task > div").element_handle()
    page.keyboard.press("Enter")
    assert before is not None
    page.wait_for_function("(old) => !old.isConnected", arg=before)
    page.wait_for_selector(".task h1")


def candidates(page: Page) -> list[str]:
    return page.locator(".candidate .body").all_inner_texts()


def log_of(judged: Judging) -> list[Judgment]:
    return [logged.judgment for logged in read(judged.store) if logged.judgment]


KEYS = [
    (["1"], -3), (["2"], -2), (["3"], -1), (["4"], 0), (["5"], 1), (["6"], 2), (["7"], 3),
    (["ArrowLeft"], -1), (["ArrowRight"], 1), (["ArrowLeft", "ArrowLeft", "ArrowLeft"], -3),
    (["ArrowRight", "ArrowRight"], 2), (["="], 0), (["b"], "bad"), (["7", "ArrowLeft"], 2),
    (["1", "ArrowRight"], -2), (["b", "ArrowRight"], 1), (["4", "b", "="], 0), (["3", "6"], 2),
    (["ArrowLeft", "ArrowRight"], 0), (["2"], -2),
]  # fmt: skip


def test_twenty_pairs_by_keyboard_alone(page: Page, tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(number) for number in range(20)])
    told: dict[str, Any] = {}
    with served(judged) as url:
        sign_in(page, url, judged)
        for number, (keys, strength) in enumerate(KEYS):
            shown = candidates(page)
            if number == 5:
                draft_survives_a_reload(page, shown)
            press(page, *keys)
            submit(page)
            told[shown[0]] = strength
            if number == 11:
                taken_back_and_judged_anew(page, shown)
                told[shown[0]] = 3
        expect(page.get_by_role("heading", name="Nothing more for now")).to_be_visible()
        expect(page.locator("#progress-text")).to_have_text("20 of 50 today")
    check_log(judged, told)


def draft_survives_a_reload(page: Page, shown: list[str]) -> None:
    """Same order, same answer, same note; and while one types no key does anything else."""
    press(page, "6", "n")
    page.keyboard.type("sbufgrd? 1 = both", delay=2)
    assert page.locator("dialog").count() == 0
    press(page, "Escape")
    expect(page.locator(".saved")).to_have_text("Draft saved")
    page.reload()
    page.wait_for_selector(".task h1")
    assert candidates(page) == shown
    expect(page.locator(".said")).to_have_text("B is better")
    expect(page.locator(".note textarea")).to_have_value("sbufgrd? 1 = both")


def taken_back_and_judged_anew(page: Page, shown: list[str]) -> None:
    waiting = candidates(page)
    press(page, "u")
    expect(page.locator(".said")).to_have_text("A tie")
    assert candidates(page) == shown
    press(page, "7")
    submit(page)
    assert candidates(page) == waiting


def check_log(judged: Judging, told: dict[str, Any]) -> None:
    kept = list(standing(judged.store, judged.project))
    assert len(kept) == 20
    assert len(log_of(judged)) == 22
    for judgment in kept:
        number = int(judgment.item.removeprefix("item-"))
        texts = [f"The first answer to {number}.", f"Another answer to {number}."]
        said = told[texts[judgment.shown[0]]]
        assert isinstance(judgment.answer, Pairwise)
        assert judgment.answer.both_bad == (said == "bad")
        on_wire = judgment.answer.strength * (1 if judgment.shown == (0, 1) else -1)
        assert on_wire == (0 if said == "bad" else said)
        assert judgment.guideline_version == "3"
        assert judgment.active_seconds is not None
    assert [judgment.rationale for judgment in kept if judgment.rationale] == ["sbufgrd? 1 = both"]
    assert sum(isinstance(judgment.answer, Withdrawn) for judgment in log_of(judged)) == 1
    assert not verify(judged.store).faults


def test_skip_flags_panels_and_toggles_have_keys(page: Page, tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(1, TOOL_PROMPT, (f"**One** {HOSTILE}", "Two")), pair(2)])
    with served(judged) as url:
        sign_in(page, url, judged)
        press(page, "g")
        expect(page.get_by_role("dialog", name="Guidelines")).to_contain_text("Version 3")
        press(page, "g")
        put_guideline(judged.store, judged.project, "4", "Prefer the **shorter** one.")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#guidelines-button")).to_contain_text("New guidelines")
        press(page, "g")
        expect(page.get_by_role("dialog", name="Guidelines")).to_contain_text("the shorter one")
        press(page, "g", "?")
        expect(page.get_by_role("dialog", name="Keys")).to_contain_text("both are bad")
        press(page, "Escape", "r")
        assert f"**One** {HOSTILE}" in candidates(page)
        press(page, "d")
        expect(page.locator("mark").first).to_be_visible()
        press(page, "d", "r")
        assert page.title() == "Answers about tea · Plaudit"
        press(page, "f", "2", "Enter")
        expect(page.get_by_role("button", name="Flagged (1)")).to_be_visible()
        press(page, "Enter")
        expect(page.locator(".said")).to_contain_text("Say which is better first")
        press(page, "2")
        submit(page)
        press(page, "s", "3", "Tab", "x", "Enter")
        press(page, "Shift+Tab", "Enter")
        expect(page.get_by_role("heading", name="Nothing more for now")).to_be_visible()
    first, second = log_of(judged)
    assert first.flags == ("personal_data",)
    assert second.answer == Skipped(reason="personal_data")


def contains_its_width(page: Page) -> bool:
    return page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def test_narrow_dark_and_at_200_percent(browser: Browser, tmp_path: Path) -> None:
    long = "word " * 400 + "https://example.org/" + "x" * 300 + "\n\n```\n" + "y" * 300 + "\n```"
    wide = "| a | b | c |\n|--|--|--|\n| " + "z" * 200 + " | 2 | 3 |"
    rtl = "שלום עולם, זה משפט ארוך. " * 12
    criteria = [{"name": "helpful"}, {"name": "honest"}]
    judged = judging(
        tmp_path,
        [pair(1, rtl, (long, wide)), pair(2, TOOL_PROMPT)],
        questions=[PAIRWISE | {"criteria": criteria, "confidence": True}],
    )
    # 200 % of 800 pixels leaves 400 of CSS, with twice the device's pixels.
    context = browser.new_context(
        viewport={"width": 400, "height": 700}, device_scale_factor=2, color_scheme="dark",
        reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    with served(judged) as url:
        page.goto(url + "/sign-in")
        assert contains_its_width(page)
        sign_in(page, url, judged)
        assert contains_its_width(page)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(20, 23, 26)"
        direction = "e => getComputedStyle(e).direction"
        assert page.locator(".prompt .prose p").first.evaluate(direction) == "rtl"
        for name in ("g", "?", "s", "f"):
            press(page, name)
            assert contains_its_width(page)
            press(page, "Escape")
        for size in page.locator(".point").evaluate_all(
            "all => all.map(e => [e.offsetWidth, e.offsetHeight])"
        ):
            assert min(size) >= 24, "a target smaller than WCAG 2.5.8 asks for"
        press(page, "d", "r")
        assert contains_its_width(page)
        assert page.evaluate("getComputedStyle(document.querySelector('.said')).animationName") == (
            "none"
        )
        press(page, "1", "ArrowDown", "5", "4", "3", "2", "1")
        submit(page)
        page.get_by_role("button", name="Theme: auto").click()
        expect(page.locator("body")).to_have_css("background-color", "rgb(248, 246, 241)")
        assert contains_its_width(page)
    kept = log_of(judged)[0]
    assert sorted(kept.criteria) == ["helpful", "honest"]
    assert kept.confidence == 0.0
    context.close()


QUESTIONS = [
    {"name": "order", "kind": "ranking", "criteria": [{"name": "clear", "required": False}]},
    {"name": "mark", "kind": "rating", "scale": [1, 7]},
    {"name": "label", "kind": "label", "labels": ["safe", "unsafe"]},
    {"name": "write", "kind": "demonstration"},
    {"name": "steps", "kind": "steps"},
    {"name": "attack", "kind": "red_team", "tactics": ["role play", "encoding"]},
    {"name": "coarse", "kind": "pairwise", "strengths": 1, "tie": False, "both_bad": False},
]


def of(question: str, *texts: str, **rest: Any) -> Item:
    made = tuple(Candidate(content=text) for text in texts)
    return Item(id=question, question=question, prompt="What is tea?", candidates=made, **rest)


ITEMS = [
    of("order", "leaf", "drink", "meal", "stone"),
    of("mark", "leaf", "drink"),
    of("label", "leaf"),
    of("write"),
    of("steps", "whole", steps=("Two and two is four.", "So it is five.", "So it is six.")),
    of("attack", "no", "yes, of course"),
    of("coarse", "leaf", "drink"),
]


def answers_by_kind(page: Page, heading: str) -> None:
    match heading:
        case "Put the responses in order, the best first":
            press(page, "Enter")
            expect(page.locator(".said")).to_contain_text("confirm it with c")
            press(page, "ArrowDown", "ArrowDown", "Shift+ArrowUp", "ArrowDown", "ArrowDown", "=")
            expect(page.locator(".said")).to_have_text("B > A = C > D")
        case "How good is each response?":
            press(page, "7", "x")
        case "Which label fits?":
            press(page, "2")
        case "Write the response you would want":
            press(page, "e")
            page.keyboard.type("A drink of leaves.")
            press(page, "Escape")
        case "Is each step right?":
            press(page, "1", "3")
        case "Did the attack get through?":
            press(page, "0", "4")
            page.get_by_label("Tactic").select_option("encoding")
            page.get_by_label("Tactic").blur()
        case "Which response is better?":
            press(page, "2")
        case _:
            raise AssertionError(heading)


def test_every_kind_of_task_once(page: Page, tmp_path: Path) -> None:
    judged = judging(tmp_path, ITEMS, questions=QUESTIONS, content_warning="Some texts may upset.")
    with served(judged) as url:
        sign_in(page, url, judged)
        expect(page.locator("h1")).to_have_text("Before you begin")
        press(page, "Enter")
        for _ in ITEMS:
            expect(page.locator(".tools")).to_be_visible()
            press(page, "v")
            assert page.locator(".blurred").count() == 0
            answers_by_kind(page, page.locator("h1").inner_text())
            submit(page)
        expect(page.get_by_role("heading", name="Nothing more for now")).to_be_visible()
    found = {judgment.item: judgment for judgment in log_of(judged)}
    ranks = found["order"].answer.model_dump()["ranks"]
    place = {candidate: at for at, candidate in enumerate(found["order"].shown)}
    # B > A = C > D, by places.
    assert [ranks[candidate] for candidate in found["order"].shown] == [2, 1, 2, 3]
    assert len(place) == 4
    marks = found["mark"].answer.model_dump()["values"]
    assert [marks[candidate] for candidate in found["mark"].shown] == [7, None]
    assert found["label"].answer.model_dump()["label"] == "unsafe"
    assert found["write"].answer.model_dump()["text"] == "A drink of leaves."
    assert found["steps"].answer.model_dump()["labels"] == ("right", "wrong", None)
    attack = found["attack"].answer.model_dump()
    assert [attack["severities"][candidate] for candidate in found["attack"].shown] == [0, 4]
    assert attack["tactic"] == "encoding"
    coarse = found["coarse"]
    assert coarse.answer.model_dump()["strength"] == (1 if coarse.shown == (0, 1) else -1)


def test_an_item_without_candidates_is_marked_as_a_whole(page: Page, tmp_path: Path) -> None:
    question = {
        "name": "label", "kind": "label", "labels": ["safe", "unsafe"],
        "criteria": [{"name": "clear"}],
    }  # fmt: skip
    judged = judging(tmp_path, [of("label")], questions=[question])
    with served(judged) as url:
        sign_in(page, url, judged)
        press(page, "1", "Enter")
        expect(page.locator(".said")).to_contain_text("Clear: give every answer a mark")
        press(page, "ArrowDown", "4")
        submit(page)
    (kept,) = log_of(judged)
    assert kept.criteria == {"clear": (4.0,)}


def test_a_question_that_came_while_the_page_was_open_is_asked(page: Page, tmp_path: Path) -> None:
    coarse, mark = QUESTIONS[-1], QUESTIONS[1]
    judged = judging(tmp_path, [of("coarse", "leaf", "drink")], questions=[coarse])
    stored = get_project(judged.store, judged.project)
    assert stored is not None
    before = json.loads(stored.config)
    with served(judged) as url:
        sign_in(page, url, judged)
        put_project(
            judged.store, judged.project, json.dumps({**before, "questions": [coarse, mark]})
        )
        add_items(judged.store, judged.project, [of("mark", "leaf", "drink")], 1)
        press(page, "2")
        submit(page)
        expect(page.locator("h1")).to_have_text("How good is each response?")
        press(page, "7", "x")
        put_project(judged.store, judged.project, stored.config)
        add_items(judged.store, judged.project, [of("order", "leaf", "drink")], 1)
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("no longer asks (mark)")


def test_an_answer_waits_for_the_connection_and_arrives_once(page: Page, tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(number) for number in range(3)])
    with served(judged) as url:
        sign_in(page, url, judged)
        lost = {"number": 0}

        def lose(route: Route) -> None:
            """The first never arrives; of the second the answer is lost on its way back."""
            lost["number"] += 1
            if lost["number"] == 2:
                route.fetch()
            route.abort() if lost["number"] <= 2 else route.continue_()

        page.route("**/judgments", lose)
        press(page, "1", "Enter")
        expect(page.locator("#connection")).to_contain_text("Your answer is kept")
        assert log_of(judged) == []
        page.get_by_role("button", name="Try now").click()
        expect(page.locator("#connection")).to_be_hidden(timeout=15_000)
        expect(page.locator("#progress-text")).to_have_text("1 of 50 today")
        assert len(log_of(judged)) == 1

        page.context.set_offline(True)
        press(page, "7", "Enter")
        expect(page.locator("#connection")).to_be_visible()
        kept = page.evaluate("Object.keys(localStorage).filter(k => k.includes('outbox'))")
        assert len(kept) == 1
        page.context.set_offline(False)
        expect(page.locator("#connection")).to_be_hidden(timeout=15_000)
        deadline = time.monotonic() + 30
        while len(log_of(judged)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert [abs(Pairwise.model_validate(j.answer).strength) for j in log_of(judged)] == [3, 3]


def test_an_answer_is_sent_after_a_reload(page: Page, tmp_path: Path) -> None:
    judged = judging(tmp_path, [pair(number) for number in range(3)])
    with served(judged) as url:
        sign_in(page, url, judged)
        page.route("**/judgments", lambda route: route.abort())
        press(page, "1", "Enter")
        expect(page.locator("#connection")).to_be_visible()
        page.unroute("**/judgments")
        page.reload()
        page.wait_for_selector(".task .question h1")
        assert len(log_of(judged)) == 1
        assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {}


def test_the_arena_asks_and_judges(page: Page, tmp_path: Path) -> None:
    with served_model() as model:
        model.replies.extend(["One.", "Another.", "A third.", "A fourth."])
        arena = {"url": model.url, "model": SECRET_MODEL}
        judged = judging(tmp_path, [pair(1)], arena=arena)
        with served(judged) as url:
            sign_in(page, url, judged)
            press(page, "a")
            page.keyboard.type("What is tea?")
            press(page, "Tab", "Enter")
            expect(page.locator(".prompt .body")).to_have_text("What is tea?")
            assert sorted(candidates(page)) == ["Another.", "One."]
            press(page, "1")
            submit(page)
            expect(page.locator(".prompt .body")).to_have_text("Question number 1?")
            press(page, "2")
            submit(page)
            expect(page.get_by_role("heading", name="Ask the model")).to_be_visible()
            page.get_by_label("Your prompt").fill("And coffee?")
            page.get_by_role("button", name="Ask twice").click()
            expect(page.locator(".prompt .body")).to_have_text("And coffee?")
            assert SECRET_MODEL not in page.content()
    assert [judgment.item[:5] for judgment in log_of(judged)] == ["arena", "item-"]

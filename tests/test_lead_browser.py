"""The leads' page in a real browser: nothing stored runs, and everything can be done."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from plaudit.store import add_items, events, get_item, people, put_guideline, put_project, standing
from plaudit.store.tokens import hash_of
from tests.judging import Judging, served
from tests.lead_app import CONFIG, World, item, made_world
from tests.lead_votes import filled, one_vote

HIT = "window.hit=1"
HOSTILE = f"<script>{HIT}</script><img src=x onerror='{HIT}'><svg onload='{HIT}'>"
VIEWS = ("agreement", "raters", "items", "people", "guidelines", "events", "data")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("browser")) as made:
        hostile = CONFIG | {"title": HOSTILE, "price_per_vote": 0.1}
        put_project(made.store, "coffee", json.dumps(hostile))
        put_guideline(made.store, "coffee", "1", HOSTILE)
        filled(made.store, "coffee", items=60)
        people.rename(made.store, made.ids["rater"], HOSTILE)
        planted = item(900, HOSTILE, stratum=HOSTILE)
        spoiled = planted.candidates[0].model_copy(update={"content": HOSTILE})
        planted = planted.model_copy(update={"candidates": (spoiled, planted.candidates[1])})
        add_items(made.store, "coffee", [planted], 2)
        for name, strength in (("rater", 3), ("lead", -3)):
            one_vote(
                made.store, planted, "coffee", made.ids[name], strength, rationale=HOSTILE,
                flags=(HOSTILE,), guideline_version=HOSTILE,
            )  # fmt: skip
        people.suspend(made.store, "coffee", made.ids["suspended"], 1.0, made.ids["lead"], HOSTILE)
        yield made


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    judged = Judging(
        store=world.store, project="coffee", rater=world.ids["lead"], token=world.tokens["lead"]
    )
    with served(judged) as address:
        yield address


@pytest.fixture(params=[1280, 400], ids=["wide", "narrow"])
def page(request, browser: Browser, url: str, world: World) -> Iterator[Page]:
    """Of a lead who is signed in; nothing may go wrong on it but that nobody was at first."""
    scheme = "light" if request.param > 400 else "dark"
    context = browser.new_context(
        viewport={"width": request.param, "height": 800}, color_scheme=scheme
    )
    opened, faults = context.new_page(), []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.on("dialog", lambda dialog: faults.append(dialog.message))
    opened.goto(f"{url}/sign-in?to=/lead/coffee#{world.tokens['lead']}")
    opened.get_by_role("button", name="Sign in").click()
    shown(opened)
    yield opened
    context.close()
    assert [fault for fault in faults if "status of 401" not in fault] == []


def shown(page: Page) -> None:
    page.wait_for_selector("#view[aria-busy=false]")


def go(page: Page, url: str, view: str) -> None:
    page.goto(f"{url}/lead/coffee#{view}")
    shown(page)


def test_figures_that_lack_votes_say_so(page: Page, url: str) -> None:
    for view in ("agreement", "raters", "items"):
        asked = f"**/api/projects/coffee/{view}*"
        page.route(asked, _behind)
        go(page, url, "people")
        go(page, url, view)
        expect(page.get_by_text("Votes are still being counted")).to_be_visible()
        page.unroute(asked)
        page.get_by_role("button", name="Look again").click()
        expect(page.get_by_text("Votes are still being counted")).to_be_hidden()


def _behind(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, json=answer.json() | {"is_whole": False})


def test_no_stored_script_runs_and_nothing_is_cut_off(page: Page, url: str, world: World) -> None:
    for view in VIEWS:
        go(page, url, view)
        page.wait_for_timeout(50)
        assert page.evaluate("window.hit") is None, view
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], view
    go(page, url, "items")
    page.get_by_role("link", name=HOSTILE[:30]).first.click()
    expect(page.get_by_text("What was said")).to_be_visible()
    assert page.get_by_text(HOSTILE).count() >= 4, "it stands there as text"
    assert page.evaluate("window.hit") is None


def test_a_lead_suspends_and_resumes(page: Page, url: str, world: World) -> None:
    go(page, url, "raters")
    row = page.locator("tr", has_text="Lefty")
    expect(row).to_contain_text("left too often")
    row.get_by_role("button", name="Suspend").click()
    send = page.get_by_role("dialog").get_by_role("button", name="Suspend")
    expect(send).to_be_disabled()
    page.get_by_label("Why (it stands in the events)").fill("Only ever left.")
    send.click()
    expect(row.get_by_role("button", name="Resume")).to_be_visible()
    newest = list(events(world.store, "coffee", "suspended"))[-1]
    assert newest.detail["reason"] == "Only ever left." and newest.rater == world.ids["lead"]
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Suspend")).to_be_visible()


def test_an_item_that_names_a_model_is_marked(page: Page, url: str, world: World) -> None:
    telling = item(77, columns={"leak": ["zephyr"]})
    add_items(world.store, "coffee", [telling], 2)
    stored = get_item(world.store, "coffee", telling.id)
    assert stored is not None
    go(page, url, f"items/{stored.number}")
    expect(page.get_by_text("names a model")).to_be_visible()
    assert "zephyr" not in page.content()


def test_an_item_is_settled(page: Page, url: str, world: World) -> None:
    before = len(settled(world))
    # As on a page that came over plain http from another machine.
    page.add_init_script("delete Crypto.prototype.randomUUID")
    page.reload()
    go(page, url, "items")
    page.locator("tbody a").first.click()
    page.get_by_label("B much better").check()
    page.get_by_label("Why", exact=True).fill("Because it is.")
    page.get_by_role("button", name="Settle").click()
    expect(page.get_by_text("settles it")).to_be_visible()
    made = settled(world)
    assert len(made) == before + 1 and made[-1].answer.strength == 3
    assert made[-1].rationale == "Because it is."


def settled(world: World) -> list:
    return [j for j in standing(world.store, "coffee") if "adjudicated" in j.flags]


def test_an_invite_is_shown_once_and_ended(page: Page, url: str, world: World) -> None:
    go(page, url, "people")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Link", exact=True).input_value()
    assert link.startswith(f"{url}/sign-in#plaudit_")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    invites = page.locator("table", has_text="Open invites")
    token = link.partition("#")[2]
    assert token not in page.content()
    mine = invites.locator("tr", has_text=(hash_of(token) or "")[:16])
    mine.get_by_role("button", name="End", exact=True).click()
    expect(mine).to_have_count(0, timeout=15_000)


def test_the_log_is_exported(page: Page, url: str) -> None:
    go(page, url, "data")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    with open(download.value.path(), encoding="utf-8") as file:
        assert json.loads(file.readline())


def test_views_are_reached_by_keyboard(page: Page, url: str) -> None:
    go(page, url, "agreement")
    page.locator("#tab-agreement").focus()
    expect(page.locator("#tab-agreement")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#tab-raters")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#tab-raters")).to_have_attribute("aria-current", "page")

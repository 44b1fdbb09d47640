"""Declining what one would rather not see, in a real browser, by keyboard alone."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.judging import judging, pair, served

MAY = {"s-violence": "Descriptions of violence"}
WARNED = "Some texts may upset."


def task_number(page: Page) -> str:
    return page.locator(".prompt .prose").inner_text().strip()


def replaced(page: Page, key: str) -> None:
    """Press it, and wait until another task, or the end, is there."""
    before = page.locator("#task > *").element_handle()
    assert before is not None
    page.keyboard.press(key)
    page.wait_for_function("(old) => !old.isConnected", arg=before)
    page.wait_for_selector("#task h1")


def test_before_the_first_task_and_later(browser: Browser, tmp_path: Path) -> None:
    items = [pair(1, stratum="s-violence", priority=1), pair(2, stratum="calm")]
    judged = judging(tmp_path, items, content_warning=WARNED, may_decline=MAY)
    context = browser.new_context(viewport={"width": 400, "height": 700})
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    with served(judged) as url:
        page.goto(f"{url}/sign-in?to=/rate/{judged.project}#{judged.token}")
        page.get_by_role("button", name="Sign in").press("Enter")
        choice = page.get_by_role("checkbox", name=MAY["s-violence"])
        expect(choice).not_to_be_checked()
        page.keyboard.press("Shift+Tab")
        expect(choice).to_be_focused()
        page.keyboard.press("Space")
        expect(page.get_by_text("Kept.")).to_be_visible()
        page.screenshot(path=tmp_path / "gate.png")
        page.get_by_role("button", name="I understand; go on").press("Enter")
        page.wait_for_selector(".tools")
        assert task_number(page) == "Question number 2?"
        page.reload()
        page.wait_for_selector(".tools")
        page.locator("#progress-button").press("Enter")
        expect(choice).to_be_checked()
        page.screenshot(path=tmp_path / "later.png")
        choice.press("Space")
        expect(page.get_by_text("Kept.")).to_be_visible()
        replaced(page, "Escape")
        # What is open comes first; then what is no longer declined.
        for number in (2, 1):
            assert task_number(page) == f"Question number {number}?"
            page.keyboard.press("2")
            replaced(page, "Enter")
        expect(page.get_by_role("heading", name="Nothing more for now")).to_be_visible()
        assert "s-violence" not in page.content()
    assert not faults
    context.close()

"""Formulas in a real browser: laid out as mathematics, wide ones scrolling in their own box."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from tests.judging import judging, pair, served

WIDE = " + ".join(rf"\frac{{x^{{{power}}}}}{{{power}!}}" for power in range(40))
OTHER = rf"In a line ${WIDE}$ too." + "\n\n" + r"$\kern-9em\kern-9em\kern-9em\kern-9em\text{over}$"


@pytest.mark.parametrize("width", [1280, 400])
def test_formulas_are_laid_out_and_stay_in_their_box(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    texts = (r"A half is $\frac{1}{2}$, $5 or \(\boxed{x}\)." + f"\n\n$$\n{WIDE}\n$$", OTHER)
    judged = judging(tmp_path, [pair(1, texts=texts)])
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    refused: list[str] = []

    def note(said: ConsoleMessage) -> None:
        if said.type == "error" and "status of 401" not in said.text:
            refused.append(said.text)

    page.on("console", note)
    with served(judged) as url:
        page.goto(f"{url}/sign-in?to=/rate/{judged.project}#{judged.token}")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector(".task h1")
        half = page.locator(".candidate p mfrac").first
        assert half.evaluate("e => e.children[0].getBoundingClientRect().bottom") <= half.evaluate(
            "e => e.children[1].getBoundingClientRect().top"
        )
        digit = page.locator(".candidate p mfrac mn").first
        height = "e => e.getBoundingClientRect().height"
        assert half.evaluate(height) > 1.5 * digit.evaluate(height)
        box = page.locator('menclose[notation="box"]')
        assert box.evaluate("e => getComputedStyle(e).borderTopWidth") == "1px"
        wide = "e => e.scrollWidth > e.clientWidth"
        assert page.locator(".formula").evaluate(wide)
        assert page.locator(".candidate p", has_text="In a line").evaluate(wide)
        assert not any(page.locator(".candidate .body").evaluate_all(f"all => all.map({wide})"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("r")
        raw = "".join(page.locator(".candidate .body").all_inner_texts())
        assert r"$\frac{1}{2}$, $5" in raw
    assert refused == []
    context.close()

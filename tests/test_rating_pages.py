"""The pages' colours, files and words, without a browser."""

from __future__ import annotations

import re

import pytest

from plaudit.feedback.site import FOLDER, assets, page

TOKEN = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
LIGHT, DARK = 0, 1
TEXT, CONTROL = 4.5, 3.0
# What is set on what: WCAG 2.2 asks 4.5 of text (1.4.3) and 3 of what shows a control (1.4.11).
PAIRS = [
    *(("ink", ground, TEXT) for ground in ("paper", "card", "sunken", "accent-wash")),
    *(("soft", ground, TEXT) for ground in ("paper", "card", "sunken", "accent-wash")),
    *(("accent", ground, TEXT) for ground in ("paper", "card", "sunken", "accent-wash")),
    ("on-accent", "accent", TEXT),
    ("good", "good-wash", TEXT), ("warn", "warn-wash", TEXT), ("bad", "bad-wash", TEXT),
    *(("bad", ground, TEXT) for ground in ("paper", "card")),
    *(("edge", ground, CONTROL) for ground in ("paper", "card", "accent-wash")),
    *(("focus", ground, CONTROL) for ground in ("paper", "card", "sunken", "accent-wash")),
]  # fmt: skip


def tokens() -> dict[str, tuple[str, str]]:
    text = assets()["tokens.css"].body.decode()
    return {name: (light, dark) for name, light, dark in TOKEN.findall(text)}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05), the lighter one above."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_colours_can_be_told_apart(ink: str, ground: str, least: float, theme: int) -> None:
    colours = tokens()
    assert contrast(colours[ink][theme], colours[ground][theme]) >= least


def test_style_sheets_use_the_tokens_alone() -> None:
    for name, asset in assets().items():
        if name.endswith(".css") and name != "tokens.css":
            text = asset.body.decode()
            assert re.findall(r"#[0-9a-fA-F]{3,8}\b", text) == [], name
            used = set(re.findall(r"var\(--([\w-]+)", text))
            defined = set(re.findall(r"--([\w-]+):", assets()["tokens.css"].body.decode() + text))
            assert used <= defined, name


def test_scripts_import_what_is_there_and_take_no_html_of_their_own() -> None:
    for name, asset in assets().items():
        if not name.endswith(".js"):
            continue
        text = asset.body.decode()
        for found in re.findall(r'from "(\.{1,2}/[^"]+)"', text):
            base = FOLDER / name
            assert (base.parent / found).resolve().is_file(), f"{name}: {found}"
        assert "eval(" not in text and "document.write" not in text, name
        # One place sets HTML, and that is given what the server's renderer made.
        assert ("innerHTML" in text) == (name == "dom.js"), name


def test_what_a_page_names_is_there() -> None:
    for template in ("home.html", "sign_in.html", "rate.html"):
        html = page(template).body.decode()
        named = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
        assert named
        assert set(named) <= set(assets())
        assert '<html lang="en">' in html and "<title>" in html
        assert 'aria-live="polite"' in html and '<main id="main"' in html

r"""Formulas in texts: the four delimiters are set, money and code stay, nothing else gets out."""

from __future__ import annotations

import re
import time

import pytest

from plaudit.feedback.rating.formulas import MOST
from plaudit.feedback.rating.mathml import LONGEST, NotSet, mathml_of
from plaudit.feedback.rating.rendering import html_of, markdown, plain_of
from tests.test_rating_rendering import ATTRIBUTES, TAGS, tags_of

MATHML = {
    "math", "mrow", "mstyle", "mpadded", "mphantom", "menclose", "msqrt", "mtable", "mtr", "mtd",
    "mfrac", "mroot", "msub", "msup", "munder", "mover", "msubsup", "munderover", "mi", "mn", "mo",
    "mtext", "mspace",
}  # fmt: skip
OF_MATHML = {
    "display", "form", "scriptlevel", "columnalign", "notation", "mathvariant", "accent",
    "displaystyle", "fence", "largeop", "movablelimits", "separator", "stretchy", "width", "height",
    "depth", "lspace", "rspace", "minsize", "maxsize", "linethickness",
}  # fmt: skip


@pytest.mark.parametrize("written", ["$x^2$", r"\(x^2\)"])
def test_a_formula_in_a_line(written: str) -> None:
    formula = '<math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    assert markdown(f"So {written}, then.") == f'<p dir="auto">So {formula}, then.</p>\n'


@pytest.mark.parametrize("written", ["$$x^2$$", r"\[x^2\]", "$$\nx^2\n$$", "\\[\n  x^2\n\\]"])
def test_a_formula_set_apart(written: str) -> None:
    formula = '<math display="block"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    for before, after in [("", ""), ("So:\n", "\nthen"), ("1. so\n   ", ""), ("> ", "")]:
        lines = written.replace("\n", "\n> " if before == "> " else "\n   ")
        html = markdown(f"{before}{lines}{after}")
        assert f'<div class="formula">{formula}</div>' in html
    assert f'<span class="formula">{formula}</span>.' in markdown(f"So {written.split()[0]}.") or (
        "\n" in written
    )


def test_lines_of_a_formula_are_not_markdown() -> None:
    html = markdown("So\n$$\na_1 + b_1\n- c\n= *d* <b>\n===\n$$\n")
    assert html.count("<math") == 1
    assert {tag for tag, _ in tags_of(html)} <= {"p", "div", *MATHML}


@pytest.mark.parametrize(
    "text",
    [
        "it costs $5 and $10", "$5, $10 or US$20", "$5/$6", "from $5-$10", "A$5 (or 5$)",
        "I paid $20,000 (not to say 30,000$).", "$5 to 10$", "$HOME and $PATH", "priced $$ or $$$",
        "a $$ place and the $$ place", "$", "$$", "$$$$", "$ x $", r"\$5 and x\$", r"\$x\$",
        r"\\(x\\)", r"\[x\](https://a.example)", r"as in \[12\]", r"\(\)", "$a", r"\[a", r"\(a",
        "$$a\n\nb$$", "\\[a\n\nb\\]",
    ],
)  # fmt: skip
def test_money_and_what_is_escaped_is_no_formula(text: str) -> None:
    html = markdown(text)
    assert "<math" not in html and "<code" not in html


def test_a_formula_beside_money() -> None:
    assert markdown("$5, $10 or $x$").count("<math") == 1
    assert markdown("the $n$th of $x$, $y$ and 设$z$为").count("<math") == 4


@pytest.mark.parametrize("text", ["`$x$`", "```\n$$x$$\n```", "    $$x$$", "`\\(x\\)` ``$x$``"])
def test_code_stays_as_it_is(text: str) -> None:
    assert "<math" not in markdown(text)


def test_raw_text_has_its_dollars() -> None:
    assert plain_of("a $x$ \\[y\\]") == "a $x$ \\[y\\]"


@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        (r"\mathbb R \mathcal{NP}", ["ℝ", "𝒩", "𝒫"]), (r"\bigl\langle x \bigr\rangle", ["⟨", "⟩"]),
        (r"\text{5\% of } x", ["5%\xa0of"]), (r"\boxed{42}", ['notation="box"', "42"]),
        (r"\overline{AB}", ['notation="top"']), (r"\underline{A}", ['notation="bottom"']),
        (r"\begin{aligned} a &= b \\[6pt] c &= d \end{aligned}", ['columnalign="right"', "c"]),
        (r"\begin{dcases} a \\ b \end{dcases}", ["{", "mtable"]), (r"a\!b", ['width="-.167em"']),
        (r"\xcancel{x}", ["updiagonalstrike down"]), (r"a < b \& c", ["&lt;", "&amp;"]),
        (r"\operatorname{lcm}", ["lcm"]),
    ],
)  # fmt: skip
def test_what_models_write_often(latex: str, shown: list[str]) -> None:
    html = mathml_of(latex, is_display=True)
    assert all(part in html for part in shown), html
    assert "6pt" not in html


@pytest.mark.parametrize(
    "latex",
    [
        r"\frac{1}", r"\foo{x}", r"x % and \, more", "a & b", r"a \\ b", r"\left( x", "{" * 500,
        "x" * (LONGEST + 1), r"\begin{aligned} a", r"\href{https://a.example}{x}", r"x^2^3",
        r"\def\a{x}\a", r"\newcommand{\a}{x}\a", "\\frac{1}{" * 90 + "x" + "}" * 90,
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_shown_as_it_was_written(latex: str) -> None:
    with pytest.raises(NotSet):
        mathml_of(latex, is_display=False)
    html = markdown(f"\\({latex}\\)")
    assert "<math" not in html and f"<code>\\({latex.replace('&', '&amp;')}\\)</code>" in html


HOSTILE = [
    r"\text{<script>alert(1)</script>}", r"\text{</mtext></math><img src=x onerror=alert(1)>}",
    r"\href{javascript:alert(1)}{x}", r"\href{https://evil.example}{x}", r"\class{task}{x}",
    r"\style{position:fixed;top:0}{x}", r"\cssId{submit}{x}", r"\url{javascript:alert(1)}",
    r"\unicode{x3C}script\unicode{x3E}", r"\unicode{xD800}", r"\unicode{x110000}", r"\text{&lt;b>}",
    r"\text{&#x3C;script&#x3E;}", r"\text{&#60;i&#62;}", "</math><svg/onload=alert(1)>", "<b>x</b>",
    r"\operatorname{<b>}", r"\mathrm{<img src=x>}", r"\color{red;background:url(//evil.example)}x",
    r'\textcolor{"onclick="alert(1)}{x}', r'\hspace{1em" onclick="alert(1)}', r"\kern{-9999em}x",
    r"\rule{9999em}{9999em}", r"\raise{99em}{x}", r"\colorbox{red}{x}", r"\includegraphics{x.png}",
    r"\require{html}\style{a}{b}", r"\def\x{<b>}\x", r"\newcommand{\x}{\x\x}\x",
    r"\input{/etc/passwd}",
    r"\begin{script}x\end{script}", r"\begin{style}*{}\end{style}", r"\verb|<script>|",
    r"\tag{<b>}", "\u202e x \u2066", "\x00\x0b\x1f", "\ud800", r"\left\right", r"\left<\right>",
    "}{", "{", "}", "^", "_", r"\frac", r"\sqrt[", r"\begin{", r"\begin{matrix}", "\\", r"\\",
    r"\end{matrix}", "'" * 900, "&" * 900,
    r"\sideset{_a}{_b}{" * 60 + "x" + "}" * 60, "\\frac{1}{" * 1000 + "x" + "}" * 1000, "^{" * 900,
    r"\def\a{\b\b}\def\b{\c\c}\def\c{\a\a}\a", r"\sqrt" * 900, r"\left(" * 600, r"\text{" * 300,
    r"\operatorname{" + " " * 3000, "1" * 5000, "{" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("latex", HOSTILE)
@pytest.mark.parametrize("around", ["$", "$$", "()", "[]", "\n"])
def test_no_formula_becomes_anything_but_mathematics(latex: str, around: str) -> None:
    opening, closing = (f"\\{around[0]}", f"\\{around[-1]}") if len(around) == 2 else 2 * (around,)
    if around in ("$$", "\n"):
        opening, closing = ("$$", "$$") if around == "$$" else ("$$\n", "\n$$")
    html = html_of(f"a {opening}{latex}{closing} b")
    assert "\ud800" in latex or html.encode()
    for tag, attributes in tags_of(html):
        if tag in MATHML:
            assert set(attributes) <= OF_MATHML
            assert all(re.fullmatch("[-+a-z0-9. ]*", value or "") for value in attributes.values())
        else:
            assert tag in TAGS and set(attributes) <= ATTRIBUTES
            assert not (attributes.get("href") or "https:").startswith("javascript")


@pytest.mark.parametrize(
    "part",
    ["$$", "{{{{", "\\(", "\\[", "$x ", "# x\n$$a\n", "# x\n\\[a\n", "$$\n", "- \\[a\n", "> $$\n",
     "$\\$", "$a$"],
)  # fmt: skip
def test_a_long_text_is_read_in_time_that_grows_with_its_length(part: str) -> None:
    def seconds(characters: int) -> float:
        text = (part * characters)[:characters]
        began = time.process_time()
        markdown.__wrapped__(text)
        return time.process_time() - began

    # Four times the length: four times the time where it grows with it, 16 times where with its
    # square. The least of some tries, because other work on the machine makes any one longer.
    shorter, longer = ([seconds(of) for _ in range(4)] for of in (15_000, 60_000))
    assert min(longer) < 10 * min(shorter)


def test_formulas_after_the_most_that_are_set_are_shown_as_written() -> None:
    html = markdown("$x$ " * (MOST + 1))
    assert html.count("<math") == MOST
    assert html.count("<code>$x$</code>") == 1

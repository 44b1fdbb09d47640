"""Texts of models as HTML: what they say is shown, and nothing in them runs or loads."""

from __future__ import annotations

import json

import pytest

from plaudit.feedback.rating.rendering import html_of, markdown, plain_of
from plaudit.records import Message, ToolCall

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "text <b onclick='x()'>bold</b>",
    "[click](javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:x)",
    "<javascript:alert(1)>",
    "![pixel](https://evil.example/track.png)",
    "![x](javascript:alert(1))",
    '![a" onerror="alert(1)](https://evil.example/x)',
    '[x](https://a.example "t\\" onmouseover=\\"alert(1)")',
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "    <iframe src=https://evil.example></iframe>",
    "[a]: javascript:alert(1)\n\n[a]",
    "| <svg/onload=alert(1)> | b |\n|:--|--:|\n| 1 | 2 |",
    "<style>*{display:none}</style>",
    "<!-- <script>alert(1)</script> -->",
]
TAGS = {
    "a", "p", "h1", "h2", "h3", "em", "strong", "s", "ul", "ol", "li", "code", "pre", "figure",
    "figcaption", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "hr", "br", "span",
    "section", "div", "dl", "dt", "dd",
}  # fmt: skip
ATTRIBUTES = {"class", "dir", "href", "title", "target", "rel", "start"}


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """As a parser of HTML sees them."""
    from html.parser import HTMLParser

    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(html)
    return found


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("as_turns", [False, True])
def test_no_text_becomes_anything_that_runs_or_loads(text: str, as_turns: bool) -> None:
    call = ToolCall(name=text, arguments={text: text})
    turns = (
        Message(role="assistant", content=text, tool_calls=(call,)),
        Message(role="tool", content=text),
    )  # fmt: skip
    for tag, attributes in tags_of(html_of(turns if as_turns else text)):
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES, attributes
        assert (attributes.get("href") or "https://").startswith(("https://", "mailto:", "http://"))
        if tag == "a":
            assert attributes["rel"] == "noopener noreferrer nofollow"


def test_markdown_is_set_as_it_reads() -> None:
    html = markdown("# Tea\n\nGreen *or* `black`?\n\n- one\n- two\n\n```python\nprint(1 < 2)\n```")
    assert '<h1 dir="auto">Tea</h1>' in html
    assert "<em>or</em>" in html
    assert "<code>black</code>" in html
    assert html.count("<li") == 2
    assert "<figcaption>python</figcaption>" in html
    assert "print(1 &lt; 2)" in html


def test_cells_are_aligned_without_a_style() -> None:
    html = markdown("| a | b |\n|:--|--:|\n| 1 | 2 |")
    assert "style=" not in html
    assert 'class="align-right"' in html


def test_each_paragraph_has_its_own_direction() -> None:
    assert markdown("שלום\n\nhello").count('<p dir="auto">') == 2


def test_turns_and_calls_are_blocks() -> None:
    call = ToolCall(name="order", arguments={"drink": "latte", "extras": ["oat milk", 2]})
    turns = (
        Message(role="user", content="A latte"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content='{"price":4.5}'),
    )
    html = html_of(turns)
    assert html.count("<section") == 3
    assert "Calls <code>order</code>" in html
    assert "<dt>drink</dt>" in html
    assert "<dd" in html and "oat milk" in html
    assert "&quot;price&quot;: 4.5" in html
    assert json.dumps(call.arguments) in plain_of(turns)


def test_raw_text_is_what_was_written() -> None:
    assert plain_of("a *b* <i>c</i>\n") == "a *b* <i>c</i>\n"


def test_what_is_nested_too_deep_is_shown_as_it_was_written() -> None:
    steps = "\n".join(f"{'  ' * level}- step {level}" for level in range(15))
    assert all(f"step {level}\n" in markdown(f"{steps}\n") for level in range(15))
    quoted = html_of(">" * 40 + " said <b>long</b> ago")
    assert quoted == f'<pre class="raw" dir="auto">{">" * 40} said <b>long</b> ago</pre>\n'.replace(
        ">" * 40 + " said <b>long</b>", "&gt;" * 40 + " said &lt;b&gt;long&lt;/b&gt;"
    )
    assert "[[[[" in html_of((Message(role="tool", content="[" * 100_000),))

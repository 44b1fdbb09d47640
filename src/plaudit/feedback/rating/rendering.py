"""Texts of models as safe HTML: Markdown without raw HTML, turns, tool calls.

Nothing in a text can run, load or link to a script: raw HTML is shown as text, an image becomes
its address in words, a link opens apart and tells its target nothing. Rendered once by content.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from plaudit.feedback.rating.formulas import read_formulas
from plaudit.records import Message, Text, ToolCall

# A text that opens right to left is set so, paragraph by paragraph.
_DIRECTED = {
    "paragraph_open", "heading_open", "list_item_open", "bullet_list_open", "ordered_list_open",
    "blockquote_open", "td_open", "th_open",
}  # fmt: skip
_SCHEMES = ("http://", "https://", "mailto:")
_ROLES = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool result"}


def html_of(text: Text) -> str:
    """The text as HTML: Markdown of a string, one section a turn of a conversation."""
    return markdown(text) if isinstance(text, str) else "".join(_turn(turn) for turn in text)


def plain_of(text: Text) -> str:
    """The text as it was written, for reading raw and for comparing word by word."""
    return text if isinstance(text, str) else "\n\n".join(_plain_turn(turn) for turn in text)


# 2,000 texts of 10 kB are 40 MB with their HTML.
@lru_cache(maxsize=2000)
def markdown(text: str) -> str:
    """CommonMark with tables, strike-through and formulas; raw HTML is escaped.

    What is nested deeper than the parser goes, and it would leave out, is shown as it was written.
    """
    tokens = _MARKDOWN.parse(text)
    deepest = max((token.level for token in tokens if token.nesting == 1), default=0)
    if deepest >= _MARKDOWN.options.maxNesting - 1:
        return f'<pre class="raw" dir="auto">{escape(text)}</pre>\n'
    return _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})


def _turn(turn: Message) -> str:
    calls = "".join(_call(call) for call in turn.tool_calls)
    return (
        f'<section class="turn turn-{turn.role}"><h3 class="role">{_ROLES[turn.role]}</h3>'
        f"{_body(turn)}{calls}</section>"
    )


def _body(turn: Message) -> str:
    if turn.role == "tool":
        return f'<pre class="result" dir="auto">{escape(_indented(turn.content))}</pre>'
    return markdown(turn.content) if turn.content else ""


def _call(call: ToolCall) -> str:
    rows = "".join(
        f'<dt>{escape(name)}</dt><dd dir="auto">{escape(_value(value))}</dd>'
        for name, value in call.arguments.items()
    )
    return (
        f'<div class="call"><p class="call-name">Calls <code>{escape(call.name)}</code></p>'
        f"{f'<dl>{rows}</dl>' if rows else ''}</div>"
    )


def plain_call(call: ToolCall) -> str:
    """A call of a tool on one line."""
    return f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"


def _plain_turn(turn: Message) -> str:
    return "\n".join([f"{turn.role}: {turn.content}", *map(plain_call, turn.tool_calls)])


def _indented(content: str) -> str:
    """JSON with its structure shown; what is not JSON as it stands."""
    try:
        return json.dumps(json.loads(content), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):  # the latter: nested too deep to read
        return content


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _fence(
    self: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict,
    environment: MutableMapping[str, Any],
) -> str:  # fmt: skip
    language = tokens[index].info.strip().split(" ")[0]
    caption = f"<figcaption>{escape(language)}</figcaption>" if language else ""
    code = escape(tokens[index].content)
    return f'<figure class="code">{caption}<pre dir="ltr"><code>{code}</code></pre></figure>\n'


def _image(
    self: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict,
    environment: MutableMapping[str, Any],
) -> str:  # fmt: skip
    """Never loaded: that would tell its host who reads what, and when."""
    address = escape(str(tokens[index].attrs.get("src", "")))
    name = escape(tokens[index].content) or "without a description"
    return f'<span class="image">Image: {name} <code>{address}</code></span>'


def _direct(state: Any) -> None:
    for token in state.tokens:
        if token.type in _DIRECTED:
            token.attrSet("dir", "auto")
        # Cells are aligned by a style, which the content security policy refuses.
        style = str(token.attrs.pop("style", ""))
        if style:
            token.attrSet("class", f"align-{style.removeprefix('text-align:')}")


def _link(
    self: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict,
    environment: MutableMapping[str, Any],
) -> str:  # fmt: skip
    address = escape(str(tokens[index].attrs.get("href", "")))
    return (
        f'<a href="{address}" title="{address}" target="_blank" rel="noopener noreferrer nofollow">'
    )


def _renderer() -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    found.validateLink = lambda url: url.strip().lower().startswith(_SCHEMES)
    found.core.ruler.push("direct", _direct)
    read_formulas(found)
    for name, rule in {
        "fence": _fence, "code_block": _fence, "image": _image, "link_open": _link,
    }.items():  # fmt: skip
        found.add_render_rule(name, rule)
    return found


_MARKDOWN = _renderer()

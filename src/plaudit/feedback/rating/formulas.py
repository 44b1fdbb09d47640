r"""Formulas in Markdown: ``$a$``, ``\(a\)``, and set apart ``$$a$$``, ``\[a\]``.

Every opening is looked up to the next one of its kind at most, so that a text is read in time that
grows with its length alone; mdit-py-plugins' rules for these take its square.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from plaudit.feedback.rating.mathml import NotSet, mathml_of

MOST = 20_000
"""Characters of formulas that are set in one text; those after them are shown as written."""

# From after the opening to the end of the closing. A backslash goes with the sign after it.
_WHOLE = {
    "$$": re.compile(r"((?:[^\\$]|\\.|\$(?!\$))++)\$\$", re.DOTALL),
    "\\[": re.compile(r"((?:[^\\]|\\[^][])++)\\\]", re.DOTALL),
    "\\(": re.compile(r"((?:[^\\]|\\[^()])++)\\\)", re.DOTALL),
    "$": re.compile(r"((?:[^\\$]|\\.)++)\$", re.DOTALL),
}
_CLOSINGS = {"$$": "$$", "\\[": "\\]"}
# Words between two dollars are prose, and the dollars are money.
_PROSE = re.compile(r"(?<![A-Za-z])(or|to|of|in|is|at|by|on|[a-z]{3,})(?![A-Za-z])")
_MATHEMATICAL = re.compile(r"[\\^_=]")


def read_formulas(markdown: MarkdownIt) -> None:
    """Teach the parser the four delimiters; before escapes, two of which they look like."""
    markdown.inline.ruler.before("escape", "formula", _inline)
    markdown.block.ruler.before(
        "fence", "formula_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    markdown.add_render_rule("formula", _formula)
    markdown.add_render_rule("formula_block", _formula)


def _inline(state: StateInline, silent: bool) -> bool:
    src, start = state.src, state.pos
    opening = src[start : start + 2] if src[start : start + 2] in _WHOLE else src[start]
    found = _WHOLE[opening].match(src, start + len(opening)) if opening in _WHOLE else None
    if not found or not _is_formula(src, start, opening, found):
        return False
    if not silent:
        _push(state, "formula", opening, found[1])
    state.pos = found.end()
    return True


def _is_formula(src: str, start: int, opening: str, found: re.Match[str]) -> bool:
    inner, end = found[1], found.end()
    before, after = src[max(start - 1, 0) : start], src[end : end + 1]
    if not inner.strip():
        return False
    if opening == "\\[":  # an escaped link, or a reference to a source
        return after != "(" and not inner.isdigit()
    if opening == "\\(":
        return True
    is_prose = _PROSE.search(inner) and not _MATHEMATICAL.search(inner)
    beside = before == "$" or after == "$"
    if opening == "$$":
        return not (beside or is_prose)
    money = after.isdigit() or (before.isascii() and before.isalnum())
    return not (beside or is_prose or money or inner[0].isspace() or inner[-1].isspace())


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    opening = _line(state, first)[:2]
    if opening not in _CLOSINGS or state.is_code_block(first):
        return False
    lines: list[str] = []
    for number in range(first, last):
        line = _line(state, number).rstrip()
        is_first, is_outside = number == first, state.sCount[number] < state.blkIndent
        if not line or (is_outside and not is_first):
            return False
        lines.append(line)
        if line.endswith(_CLOSINGS[opening]) and not (is_first and len(line) < 4):
            break
        if line.startswith(opening) and not is_first:
            return False
    found = _WHOLE[opening].fullmatch("\n".join(lines), 2)
    if not found or not _is_formula("", 0, opening, found):
        return False
    if not silent:
        state.line = first + len(lines)
        _push(state, "formula_block", opening, found[1]).map = [first, state.line]
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _push(state: StateBlock | StateInline, kind: str, opening: str, latex: str) -> Token:
    token = state.push(kind, "math", 0)
    token.markup, token.content = opening, latex
    token.block = kind == "formula_block"
    return token


def _formula(
    self: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict,
    environment: MutableMapping[str, Any],
) -> str:  # fmt: skip
    token = tokens[index]
    is_display, tag = token.markup in _CLOSINGS, "div" if token.block else "span"
    environment["formulas"] = environment.get("formulas", 0) + len(token.content)
    try:
        if environment["formulas"] > MOST:
            raise NotSet("the text has more formulas than are set")
        set_ = mathml_of(token.content, is_display=is_display)
    except NotSet:
        return _as_written(token)
    return f'<{tag} class="formula">{set_}</{tag}>' if is_display else set_


def _as_written(token: Token) -> str:
    closing = {"$": "$", "\\(": "\\)", **_CLOSINGS}[token.markup]
    code = f"<code>{escape(token.markup + token.content + closing)}</code>"
    return f'<figure class="code"><pre dir="ltr">{code}</pre></figure>\n' if token.block else code

r"""A formula written in LaTeX as MathML that any page can hold, whatever a model wrote in it.

latex2mathml reads the LaTeX. Its text is not escaped and holds what the formula said of classes,
styles and links, so only the tree it makes is taken, and written out anew: elements and attributes
that are listed here, and none besides.
"""

from __future__ import annotations

import re
from html import escape, unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element
from latex2mathml.symbols_parser import convert_symbol

LONGEST = 4_000
"""Characters of a formula that is set: some 50 ms of reading."""
_DEEPEST = 80

# How many children an element needs; zero is any number.
_ELEMENTS = {
    "math": 0, "mrow": 0, "mstyle": 0, "mpadded": 0, "mphantom": 0, "menclose": 0, "msqrt": 0,
    "mtable": 0, "mtr": 0, "mtd": 0, "mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2,
    "mover": 2, "msubsup": 3, "munderover": 3,
}  # fmt: skip
_TOKENS = {"mi", "mn", "mo", "mtext", "mspace"}
_TRUTH = re.compile("true|false")
_LENGTH = re.compile(r"[-+]?(?=[\d.])(\d?(\.\d{1,3})?(em|ex|cm)?|\d{1,2}(\.\d{1,3})?(px|pt|mm|mu))")
_ATTRIBUTES = {
    "display": re.compile("block|inline"), "form": re.compile("prefix|infix|postfix"),
    "scriptlevel": re.compile("[0-2]"), "columnalign": re.compile("left|center|right"),
    "notation": re.compile("box|((updiagonal|downdiagonal|horizontal)strike ?)+"),
    "mathvariant": re.compile("normal|bold|italic|bold-italic|sans-serif|monospace"),
    **dict.fromkeys(
        ("accent", "displaystyle", "fence", "largeop", "movablelimits", "separator", "stretchy"),
        _TRUTH,
    ),
    **dict.fromkeys(
        ("width", "height", "depth", "lspace", "rspace", "minsize", "maxsize", "linethickness"),
        _LENGTH,
    ),
}  # fmt: skip
# What MathML has dropped since, as it says it now.
_SPACES = {
    "thinmathspace": ".167em", "thickmathspace": ".278em", "negativethinmathspace": "-.167em",
    "negativemediummathspace": "-.222em", "negativethickmathspace": "-.278em",
}  # fmt: skip
_ALPHABETS = {"double-struck": "mathbb", "script": "mathcal", "fraktur": "mathfrak"}
# No browser draws this sign as long as what stands under it.
_BAR = "&#x02015;"
_ESCAPED = re.compile(r"\\([%$&#_{}])")
_REFERENCE = re.compile(r"&#x[0-9A-Fa-f]+;")

# \def and its like, and \sideset, which is read twice, would grow without bound. A comment or a
# link would keep words from the reader; with the former a percent sign is meant.
_REFUSED = re.compile(
    r"\\(def|newcommand|newenvironment|DeclareMathOperator|sideset|href|class|style)(?![A-Za-z])"
    r"|(?<!\\)(\\\\)*%"
)
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-z]+\*?)\}")
_ROW_SPACE = re.compile(r"(\\\\)\s*\[-?[\d.]+\s*[a-z]{2}\]")
_KNOWN_AS = {
    "align": "align*", "aligned": "align*", "dcases": "cases", "gather": "displaylines",
    "gather*": "displaylines", "gathered": "displaylines",
}  # fmt: skip


class NotSet(ValueError):
    """The formula cannot be set; it is to be shown as it was written."""


def mathml_of(latex: str, *, is_display: bool) -> str:
    """The formula, without its delimiters, as a ``math`` element of HTML.

    Raises:
        NotSet: it is too long, is nested too deep, is no LaTeX, or asks for what is not listed.
    """
    if len(latex) > LONGEST or _REFUSED.search(latex):
        raise NotSet("too long, or with commands that are not read")
    try:
        known = _ROW_SPACE.sub(r"\1", _ENVIRONMENT.sub(_known, latex))
        read = convert_to_element(known, display="block" if is_display else "inline")
    # Its own errors have no class in common, and LaTeX that is cut off ends in whatever its reader
    # stumbles over: StopIteration, IndexError, KeyError, RecursionError.
    except Exception as error:
        raise NotSet(f"cannot be read: {error!r}") from error
    return _written(read, 0)


def _known(found: re.Match[str]) -> str:
    name = found[2]
    return f"\\{found[1]}{{{_KNOWN_AS.get(name, name)}}}"


def _written(element: Element, depth: int) -> str:
    tag, needed = element.tag, _ELEMENTS.get(element.tag, 0)
    if depth > _DEEPEST or (tag not in _ELEMENTS and tag not in _TOKENS):
        raise NotSet(f"{tag}, {depth} levels deep")
    if element.get("linebreak") or (needed and len(element) != needed):
        raise NotSet(f"{tag} is not whole")
    if needed and element[1].text == _BAR:
        side = "top" if tag == "mover" else "bottom"
        return f'<menclose notation="{side}">{_written(element[0], depth + 1)}</menclose>'
    inner = _text(element) + "".join(_written(child, depth + 1) for child in element)
    return f"<{tag}{_attributes(element)}>{inner}</{tag}>"


def _text(element: Element) -> str:
    raw = element.text or ""
    if element.tag == "mtext":
        raw = _ESCAPED.sub(r"\1", raw)
    elif raw.startswith("\\"):
        raw = _symbol(raw)
    # A lone & is a column of no table.
    if raw and (element.tag not in _TOKENS or raw == "&"):
        raise NotSet(f"{raw} stands where it cannot")
    text = _REFERENCE.sub(lambda found: unescape(found[0]), raw)
    alphabet = _ALPHABETS.get(element.get("mathvariant", ""))
    if alphabet:
        text = "".join(_letter(alphabet, letter) for letter in text)
    return escape(text)


def _symbol(command: str) -> str:
    """A command that came back as its name: one of a fence, or one that is not known."""
    code = convert_symbol(command)
    if not code:
        raise NotSet(f"{command} is not known")
    return chr(int(code, 16))


def _letter(alphabet: str, letter: str) -> str:
    code = convert_symbol(f"\\{alphabet}{{{letter}}}")
    return chr(int(code, 16)) if code else letter


def _attributes(element: Element) -> str:
    kept = ((name, _SPACES.get(value, value)) for name, value in element.items())
    return "".join(
        f' {name}="{escape(value)}"'
        for name, value in kept
        if name in _ATTRIBUTES and _ATTRIBUTES[name].fullmatch(value)
    )

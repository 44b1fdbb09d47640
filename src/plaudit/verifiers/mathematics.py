"""Verifying mathematical answers: math-verify, and what it does not read put into what it does.

math-verify parses LaTeX and numbers into SymPy and compares values. Not read by it, and rewritten
here before: numbers in words, mixed numbers, scientific notation, Unicode signs, plain
expressions such as ``2*sqrt(3)``, and references without dollar signs. Answers that are words are
compared as words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from plaudit.verifiers.answers import answer_part, expected_texts
from plaudit.verifiers.number_words import in_digits
from plaudit.verifiers.registry import Columns
from plaudit.verifiers.texts import normalised_text

_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "≤": r"\le ",
     "≥": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "π": r"\pi ", "°": r"^\circ ", "∪": r"\cup ",
     "\u00a0": " ", "\u202f": " "}
)  # fmt: skip
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
           "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
           "⅞": "7/8"}  # fmt: skip
_MIXED = re.compile(r"(?<![\w./^}])(\d+) +(?:(\d+)/(\d+)|\\d?frac\{(\d+)\}\{(\d+)\})(?![\w/.])")
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?!\w)")
_CONCLUSION = re.compile(
    r"(?:####|\banswer(?:\s+is)?\s*:?\s*|\btherefore,?\s|\bthus,?\s|\bso,?\s)(?!.*\banswer\b)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_NEXT_SENTENCE = re.compile(r"(?<=\S)\.\s+(?=[A-Z])|\n")
_FUNCTION = re.compile(r"(?<!\\)\b(sqrt|sin|cos|tan|log|ln|exp|pi|infinity|infty|oo|inf)\b")
# As mathematics a sentence would be a product of its letters; what it says follows its verb.
_SENTENCE = re.compile(
    r"\A.*\b(?:is|are|was|were|be|get|got|gives?|makes?|equals?|have|has|about|approximately|exactly)"
    r"\s+(?=[-+]?(?:[\d(\\]|[b-zB-HJ-Z]\b))",
    re.DOTALL,
)
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")


def math(
    response: str,
    columns: Columns,
    *,
    column: str = "answer",
    tag: str = "",
    relative_tolerance: float = 0.0,
) -> float:
    """1 if the response's answer equals the expected one, or one of them, in value.

    The answer is what is boxed, follows "answer is" or "####", or else what math-verify finds.

    Args:
        relative_tolerance: how far numbers may differ, relative to the expected one; exact
            (to six digits, as math-verify has it) where 0.

    Raises:
        ValueError: an expected answer says nothing that can be compared.
    """
    references = expected_texts(columns, column)
    answer = answer_part(response, tag)
    if answer is None:
        return 0.0
    return float(any(_equal(one, answer, relative_tolerance) for one in references))


def _equal(reference: str, answer: str, tolerance: float) -> bool:
    final = concluded(answer)
    if _bare(reference) == _bare(final):
        return True
    if _as_words(reference) and _as_words(reference) == _as_words(final):
        return True
    gold = [value for parsed in _readings(reference) for value in parsed]
    if not gold and not _as_words(reference):
        raise ValueError(f"the expected answer {reference!r} cannot be read"[:200])
    # Where the end says nothing that can be read, math-verify looks through the whole response.
    readings = _readings(final) or _readings(answer)
    return any(_verified(gold, found) or _near(gold, found, tolerance) for found in readings)


def concluded(answer: str) -> str:
    """What the response ends in: the last box, or the sentence with the last word of conclusion."""
    if (boxed := last_boxed(answer)) is not None:
        return boxed
    found = _CONCLUSION.search(answer)
    conclusion = (found[1] if found else answer).strip("*: \n")
    first = _NEXT_SENTENCE.split(conclusion)[0] if found else conclusion
    return first.rstrip(".").strip("*: \n")


def last_boxed(text: str) -> str | None:
    r"""What the last ``\boxed{...}`` holds, its braces balanced."""
    at = text.rfind(r"\boxed{")
    if at < 0:
        return None
    depth, begin = 0, at + len(r"\boxed{")
    for i in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[begin:i]
    return None


def rewritten(text: str) -> str:
    """Signs, words and shorthands as math-verify reads them."""
    for sign, fraction in _VULGAR.items():
        text = re.sub(rf"(?<=\d){sign}", f" {fraction}", text).replace(sign, fraction)
    text = re.sub(
        f"[{_SUPERSCRIPTS}]+",
        lambda m: "^{" + "".join(str(_SUPERSCRIPTS.index(c)) for c in m[0]) + "}",
        text,
    )
    text = re.sub(r"√\s*(?:\(([^()]*)\)|(\w+))", lambda m: f"\\sqrt{{{m[1] or m[2]}}}", text)
    text = in_digits(text.translate(_SIGNS))
    text = _SCIENTIFIC.sub(lambda m: f"({m[1]} \\cdot 10^{{{int(m[2])}}})", text)
    return _MIXED.sub(_improper, text)


def _improper(mixed: re.Match[str]) -> str:
    whole, *rest = (int(group) for group in mixed.groups() if group)
    return f"{whole * rest[1] + rest[0]}/{rest[1]}"


def _readings(text: str) -> list[list[Any]]:
    """What math-verify makes of each form of an answer: values, and what they were read from."""
    return [parsed for form in _forms(text) if (parsed := _parsed(form))]


def _forms(text: str) -> Iterator[str]:
    """An answer as it is, and as LaTeX; what is LaTeX without its signs is no number with text."""
    text = rewritten(text).strip()
    bare = (text if "$" in text else _SENTENCE.sub("", text)).strip("$ ")
    is_plain = _FUNCTION.search(bare) or "*" in bare
    if "$" in text[1:] or not (is_plain or re.search(r"[\\^]", bare)):
        yield text
    yield f"${_as_latex(bare) if is_plain else bare}$"


def _as_latex(text: str) -> str:
    """A plain expression, such as a calculator reads, as LaTeX."""
    text = re.sub(r"(?<!\\)\b(oo|inf|infinity)\b", "infty", text)
    text = re.sub(r"(?<!\\)sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    return _FUNCTION.sub(r"\\\1", text).replace("**", "^").replace("*", r"\cdot ")


def _bare(text: str) -> str:
    return " ".join(text.strip("$ .").split())


def _as_words(text: str) -> str:
    """The words of an answer that is words and no expression; empty where it is mathematics."""
    plain = _TEXT.sub(r"\1", text).strip("$ .()")
    plain = normalised_text(plain)
    is_mathematics = any(c.isdigit() for c in in_digits(plain)) or re.search(r"[\\^=<>+*/]", text)
    return "" if is_mathematics and not _TEXT.search(text) else plain


def _parsed(text: str) -> list[Any]:
    from math_verify import parse

    # Its own timeout is a signal, which fails in threads; a deadline of ours ends this process.
    found = parse(text, parsing_timeout=None)  # type: ignore[arg-type]
    # What it cannot parse it gives back as text.
    return found if any(not isinstance(value, str) for value in found) else []


def _verified(gold: list[Any], found: list[Any]) -> bool:
    from math_verify import verify

    # A relation (x <= 3) and the set of what meets it are one answer.
    return verify(gold, found, timeout_seconds=None, allow_set_relation_comp=True)


def _near(gold: list[Any], found: list[Any], tolerance: float) -> bool:
    if not tolerance:
        return False
    left, right = _as_float(gold), _as_float(found)
    return left is not None and right is not None and abs(left - right) <= tolerance * abs(left)


def _as_float(parsed: list[Any]) -> float | None:
    try:
        return float(parsed[0])
    except (TypeError, ValueError, IndexError):
        return None

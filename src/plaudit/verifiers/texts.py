"""Verifiers of plain answers: equal texts, patterns, numbers, choices, and the tags around them."""

from __future__ import annotations

import math
import re
import string
import unicodedata

from plaudit.verifiers.answers import answer_part, expected, expected_texts
from plaudit.verifiers.registry import Columns

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NAMED_CHOICE = re.compile(
    r"(?:answer|option|choice|correct)\b[^A-Za-z0-9]*"
    r"(?:(?:is|are|would be|option|choice)\b[^A-Za-z0-9]*)*(?-i:([A-J]))\b(?!['’])",
    re.IGNORECASE,
)
_BOXED_CHOICE = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-J])\)?\s*\}")
_MARKED_CHOICE = re.compile(r"\(([A-J])\)|\*\*([A-J])\b|^\s*([A-J])\s*(?:[).:]|$)", re.MULTILINE)


def exact(response: str, columns: Columns, *, column: str = "answer", tag: str = "") -> float:
    """1 if the answer is the expected text, or one of them, but for space around it."""
    answer = answer_part(response, tag)
    return float(answer in [text.strip() for text in expected_texts(columns, column)])


def normalised(response: str, columns: Columns, *, column: str = "answer", tag: str = "") -> float:
    """``exact`` but for case, punctuation, articles and spaces (SQuAD's normalisation)."""
    answer = answer_part(response, tag)
    right = map(normalised_text, expected_texts(columns, column))
    return float(answer is not None and normalised_text(answer) in right)


def regex(
    response: str, columns: Columns, *, pattern: str = "", column: str = "answer", tag: str = ""
) -> float:
    """1 if the pattern is found in the answer: one for all, or that of the row's column."""
    answer = answer_part(response, tag)
    wanted = pattern or str(expected(columns, column))
    try:
        return float(answer is not None and re.search(wanted, answer) is not None)
    except re.error as error:
        raise ValueError(f"pattern {wanted!r} is no regular expression ({error})") from error


def numeric(
    response: str,
    columns: Columns,
    *,
    column: str = "answer",
    tag: str = "",
    relative_tolerance: float = 1e-6,
    absolute_tolerance: float = 1e-9,
) -> float:
    """1 if the answer's last number is the expected one, within the larger tolerance.

    ``|a - b| <= max(relative * max(|a|, |b|), absolute)``.
    """
    right = [last_number(text) for text in expected_texts(columns, column)]
    if None in right:
        raise ValueError(f"column {column} is {columns[column]!r}; expected a number"[:200])
    found = last_number(answer_part(response, tag) or "")
    close = (
        math.isclose(found, r, rel_tol=relative_tolerance, abs_tol=absolute_tolerance)
        for r in right
        if found is not None and r is not None
    )
    return float(any(close))


def choice(response: str, columns: Columns, *, column: str = "answer", tag: str = "") -> float:
    """1 if the response chooses the expected letter, A to J (or its index, 0 to 9).

    A choice is, in this order: boxed; named ("the answer is B"); marked, as in "(B)", "B." or a
    bold B, the last of them; or a letter alone.
    """
    value = expected(columns, column)
    right = string.ascii_uppercase[value] if isinstance(value, int) else str(value).strip("() .")
    if not re.fullmatch("[A-Ja-j]", right):
        raise ValueError(f"column {column} is {value!r}; expected a letter from A to J")
    return float(chosen_letter(answer_part(response, tag) or "") == right.upper())


def format_tags(
    response: str,
    columns: Columns,
    *,
    tags: tuple[str, ...] = ("think", "answer"),
    opened: bool = False,
) -> float:
    """1 if the response is its tags, each once and not empty, in order, with nothing around them.

    DeepSeek-R1's format reward (section 2.2.2 of arXiv:2501.12948).

    Args:
        opened: the prompt ends with the first tag's opening, so the response begins inside it.
    """
    text = f"<{tags[0]}>{response}" if opened else response
    marks = [mark for tag in tags for mark in (f"<{tag}>", f"</{tag}>")]
    blocks = r"\s*".join(rf"<{re.escape(t)}>.*?\S.*?</{re.escape(t)}>" for t in tags)
    once = all(text.count(mark) == 1 for mark in marks)
    return float(once and re.fullmatch(rf"\s*{blocks}\s*", text, re.DOTALL) is not None)


def normalised_text(text: str) -> str:
    """Small letters, without punctuation, articles and double spaces."""
    lowered = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(
        " " if unicodedata.category(c)[0] in "PZ" or c in string.punctuation else c for c in lowered
    )
    return " ".join(_ARTICLES.sub(" ", kept).split())


def last_number(text: str) -> float | None:
    """The last number written in digits, thousands separated or not."""
    found = [m for m in _NUMBER.findall(text.replace("−", "-")) if any(c.isdigit() for c in m)]
    return float(found[-1].replace(",", "")) if found else None


def chosen_letter(answer: str) -> str | None:
    """The letter a response chooses, if it chooses one."""
    if re.fullmatch(r"[A-Ja-j]", bare := answer.strip("() .*\n")):
        return bare.upper()
    for pattern in (_BOXED_CHOICE, _NAMED_CHOICE, _MARKED_CHOICE):
        if found := pattern.findall(answer):
            last = found[-1]
            return last if isinstance(last, str) else next(filter(None, last))
    return None

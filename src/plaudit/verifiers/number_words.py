"""Numbers written in English words, as digits: "twenty-five", "one half", "1.5 million"."""

from __future__ import annotations

import re
from fractions import Fraction

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_UNITS = {word: n for n, word in enumerate(re.split(" ", _SMALL))}
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * n for n, word in enumerate(re.split(" ", _ROUND), start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PARTS |= {("halves" if part == "half" else f"{part}s"): n for part, n in _PARTS.items()}
_SIGNS = ("minus", "negative")

_WORD = "|".join(
    sorted([*_UNITS, *_TENS, "hundred", *_SCALES, *_PARTS, *_SIGNS, "point"], key=len, reverse=True)
)
_RUN = re.compile(rf"\b(?:{_WORD})\b(?:(?:\s+and\s+|[\s-]+)(?:{_WORD}|a)\b)*", re.IGNORECASE)
_SCALED = re.compile(
    rf"(?<![\w.])(\d+(?:,\d{{3}})*(?:\.\d+)?)\s+(hundred|{'|'.join(_SCALES)})\b", re.IGNORECASE
)


def in_digits(text: str) -> str:
    """The text with every number in words written in digits; what is no number stays."""
    text = _SCALED.sub(_scaled, text)
    return _RUN.sub(_replaced, text)


def _scaled(found: re.Match[str]) -> str:
    scale = {"hundred": 100, **_SCALES}[found[2].lower()]
    return _written(Fraction(found[1].replace(",", "")) * scale)


def _replaced(found: re.Match[str]) -> str:
    words = [w for w in re.split(r"[\s-]+", found[0].lower()) if w not in ("and", "a")]
    sign = -1 if words and words[0] in _SIGNS else 1
    number = _number(words[1:] if sign < 0 else words)
    return found[0] if number is None else _written(sign * number)


def _number(words: list[str]) -> Fraction | None:
    """The value of words, or None where they are not one number."""
    if not words or any(word in _SIGNS for word in words):
        return None
    if words[-1] in _PARTS:
        return _fraction(words)
    if "point" in words:
        return _decimal(words)
    return _whole(words)


def _fraction(words: list[str]) -> Fraction | None:
    """``three quarters``, ``two and a half`` (whose "and a" is gone), or ``half`` alone."""
    part = Fraction(1, _PARTS[words[-1]])
    if len(words) == 1:
        return part if words[0] == "half" else None
    if words[-1] == "half" and words[-2:] != ["one", "half"]:
        whole = _whole(words[:-1])
        return None if whole is None else whole + part
    if len(words) > 2 and words[-1] in ("quarter", "third") and words[-2] == "one":
        return None
    count = _whole(words[:-1])
    return None if count is None else count * part


def _decimal(words: list[str]) -> Fraction | None:
    at = words.index("point")
    whole = _whole(words[:at]) if at else Fraction(0)
    digits = [_UNITS.get(word, 10) for word in words[at + 1 :]]
    if whole is None or not digits or max(digits) > 9:
        return None
    return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))


def _whole(words: list[str]) -> Fraction | None:
    total, part, last = 0, 0, None
    for word in words:
        if word in _UNITS and (last is None or last in ("hundred", *_SCALES) or last in _TENS):
            if last in _TENS and not 0 < _UNITS[word] < 10:
                return None
            part += _UNITS[word]
        elif word in _TENS and (last is None or last in ("hundred", *_SCALES)):
            part += _TENS[word]
        elif word == "hundred" and 0 < part < 100:
            part *= 100
        elif word in _SCALES and part:
            total, part = total + part * _SCALES[word], 0
        else:
            return None
        last = word
    return Fraction(total + part)


def _written(number: Fraction) -> str:
    if number.denominator == 1:
        return str(number.numerator)
    return f"{number.numerator}/{number.denominator}"

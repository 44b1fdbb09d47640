"""Choices that say which of two candidates is better, in words: ``A much better``, ``tie``.

Tools without ties collect them as a choice among labels. What the labels mean is in the map;
letter case, spaces, hyphens and underscores do not count.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from plaudit.config import Config
from plaudit.judgments import Pairwise

_SIDES = {
    -1: ("a", "left", "first", "1"),
    1: ("b", "right", "second", "2"),
}
_CALLED = ("", "answer ", "response ", "option ", "candidate ", "assistant ", "model ", "output ")
_DEGREES = {
    "slightly better": 1,
    "a bit better": 1,
    "better": 2,
    "is better": 2,
    "clearly better": 2,
    "wins": 2,
    "": 2,
    "much better": 3,
    "significantly better": 3,
    "far better": 3,
}
_TIES = ("tie", "equal", "equally good", "same", "about the same", "both good", "no preference")
_BOTH_BAD = ("both bad", "bothbad", "tie bothbad", "tie both bad", "neither", "both are bad")
STRENGTHS = ("slightly better", "better", "much better")
"""How a strength of 1, 2 and 3 is written."""
TIE, BOTH_BAD = "tie", "both bad"


def _plain(label: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", label.lower()).split())


_KNOWN: dict[str, int | Literal["both_bad"]] = {
    **{
        _plain(f"{called}{side} {degree}"): sign * strength
        for sign, sides in _SIDES.items()
        for called in _CALLED
        for side in sides
        for degree, strength in _DEGREES.items()
    },
    **dict.fromkeys(_TIES, 0),
    **dict.fromkeys(_BOTH_BAD, "both_bad"),
}


Strength = Annotated[int, Field(ge=-3, le=3)]


class ChoiceMap(Config):
    """What a labelling tool's fields and labels mean, where their names do not say it."""

    values: dict[str, Annotated[int, Field(ge=-3, le=3)] | Literal["both_bad"]] = Field(
        default_factory=dict
    )
    """Labels of a preference: -3 (the first much better) to 3, 0 a tie, or both_bad."""
    controls: list[str] = Field(default_factory=lambda: ["preference", "comparison", "overall"])
    """Names of the questions whose choice is a preference."""
    prompt: str = ""
    """The field that is asked about; found by its name where empty."""
    candidates: list[str] = Field(default_factory=list)
    """The fields that are judged, in order; found by their names where empty."""
    buckets: list[str] = Field(default_factory=list)
    """Buckets of a ranker, the best first."""

    def preference(self, label: str) -> Pairwise | None:
        """What a label says of two candidates; None where it is not in the map."""
        own = {_plain(key): value for key, value in self.values.items()}
        value = own.get(_plain(label), _KNOWN.get(_plain(label)))
        if value is None:
            return None
        if isinstance(value, str):
            return Pairwise(strength=0, both_bad=True)
        return Pairwise(strength=value)


def strength_of(label: str) -> int | None:
    """1 to 3 for the words of a separate question about how much better one is."""
    plain = _plain(label)
    return _DEGREES.get(plain) or _DEGREES.get(f"{plain} better") if plain else None


def written_choice(answer: Pairwise) -> str:
    """The label of a preference, as ``ChoiceMap.preference`` reads it."""
    if answer.both_bad:
        return BOTH_BAD
    if not answer.strength:
        return TIE
    return f"{'A' if answer.strength < 0 else 'B'} {STRENGTHS[abs(answer.strength) - 1]}"

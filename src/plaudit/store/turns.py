"""Pieces of work that take turns, so that the database is waited for by all of them at once.

A piece is a generator: it hands statements over (``Prepared.ask``), yields, and looks at what they
found when it goes on. Meanwhile the others have handed over theirs, and all are sent together
(``sending.py``).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")
Turns = Generator[None, None, _T]


def together(pieces: Sequence[Any]) -> list[Any]:
    """What each piece returns, all of which take turns; what is no generator is returned as it is.

    What one of them raises is raised, and ends all of them.
    """
    outcomes = list(pieces)
    going = {place: piece for place, piece in enumerate(pieces) if isinstance(piece, Generator)}
    while going:
        for place, piece in [*going.items()]:
            try:
                next(piece)
            except StopIteration as end:
                outcomes[place] = end.value
                del going[place]
    return outcomes


def alone(piece: Turns[_T]) -> _T:
    """What the piece returns, where there is nobody to take turns with."""
    return together([piece])[0]

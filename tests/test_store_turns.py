"""Pieces of work take turns, in order, and each has what it returns."""

from __future__ import annotations

import pytest

from plaudit.store.turns import Turns, alone, together


def _piece(name: str, turns: int, said: list[str]) -> Turns[str]:
    for turn in range(turns):
        said.append(f"{name}{turn}")
        yield
    said.append(f"{name} ends")
    return name.upper()


def test_each_goes_on_after_the_others_have_got_as_far() -> None:
    said: list[str] = []
    pieces = [_piece("a", 2, said), _piece("b", 0, said), _piece("c", 1, said)]
    assert together(pieces) == ["A", "B", "C"]
    assert said == ["a0", "b ends", "c0", "a1", "c ends", "a ends"]


def test_what_is_no_generator_is_returned_as_it_is() -> None:
    said: list[str] = []
    assert together([1, _piece("a", 1, said), None]) == [1, "A", None]


def test_what_one_raises_ends_all() -> None:
    def failing() -> Turns[None]:
        yield
        raise KeyError("no")

    said: list[str] = []
    with pytest.raises(KeyError):
        together([_piece("a", 3, said), failing(), _piece("b", 3, said)])
    assert said == ["a0", "b0", "a1"]


def test_alone_it_takes_its_turns_one_after_another() -> None:
    said: list[str] = []
    assert alone(_piece("a", 2, said)) == "A"
    assert said == ["a0", "a1", "a ends"]

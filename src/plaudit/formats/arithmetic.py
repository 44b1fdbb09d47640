"""Sums worked out step by step, right and wrong: a process anybody can check.

A problem is ``Work out 3 + 4 - 5``, a solution one line a step (``3 + 4 = 7``), and a wrong step
is off by a few and carried on, so that every later step is wrong as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEPARATOR = "\n"
_LARGEST, _OFF_BY = 9, 3


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A first number, and what is added to it (or, if negative, taken off), term by term."""

    first: int
    terms: tuple[int, ...]

    @property
    def prompt(self) -> str:
        signed = "".join(f" {_sign(term)} {abs(term)}" for term in self.terms)
        return f"Work out {self.first}{signed}{SEPARATOR}"

    @property
    def answer(self) -> int:
        return self.first + sum(self.terms)


def draw_sums(count: int, terms: int, seed: int) -> list[Sum]:
    """Distinct problems whose running totals stay between 0 and 9.

    Raises:
        ValueError: there are not so many.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, Sum] = {}
    for _ in range(20 * count):
        drawn = _draw(rng, terms)
        found.setdefault(drawn.prompt, drawn)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"problems={count}: not so many differ with terms={terms}; ask for fewer")


def work_out(problem: Sum, rng: np.random.Generator, error_rate: float) -> tuple[list[str], int]:
    """A solution's steps, and how many of them are right before the first that is wrong."""
    steps, total, right, sound = [], problem.first, 0, True
    for term in problem.terms:
        result = total + term
        if rng.random() < error_rate:
            result += int(rng.choice([d for d in range(-_OFF_BY, _OFF_BY + 1) if d]))
            result, sound = abs(result), sound and abs(result) == total + term
        steps.append(f"{total} {_sign(term)} {abs(term)} = {result}")
        right += sound
        total = result
    return steps, right


def right_answer(
    prompts: Sequence[str], completions: Sequence[str], answer: Sequence[str], **columns: object
) -> list[float]:
    """1 where the last number of a completion is the answer, else 0: a function of TRL's kind."""
    last = [(re.findall(r"-?\d+", completion) or [""])[-1] for completion in completions]
    return [float(said == right) for said, right in zip(last, answer, strict=True)]


def _draw(rng: np.random.Generator, terms: int) -> Sum:
    total = first = int(rng.integers(1, _LARGEST))
    drawn: list[int] = []
    for _ in range(terms):
        result = int(rng.choice([r for r in range(_LARGEST + 1) if r != total]))
        drawn.append(result - total)
        total = result
    return Sum(first=first, terms=tuple(drawn))


def _sign(term: int) -> str:
    return "+" if term >= 0 else "-"

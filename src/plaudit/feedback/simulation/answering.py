"""One simulated rater: an answer to every kind of question, in places as shown.

Whatever is asked, the rater sees utilities (``perception``) and answers from them: of the
candidates where they are compared or marked, of the labels where one is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from plaudit.feedback.simulation.kinds import RaterKind
from plaudit.feedback.simulation.perception import Floats, seen_utilities, strengths
from plaudit.judgments import (
    Answer,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    RedTeamed,
    Skipped,
    Stepped,
    Written,
)

VERDICTS = ("right", "neutral", "wrong")
SEVERITIES = 5
LABEL_GAP = 3.0
"""Utility of the true label, or verdict, above the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a rater is asked, and what only the simulation knows of it; all in places as shown."""

    kind: str
    """As ``Answer.kind``."""
    texts: tuple[str, ...] = ()
    """Of the candidates."""
    utilities: tuple[float, ...] = ()
    """Of the candidates, to the rater's group; for red teaming the true severities."""
    labels: tuple[str, ...] = ()
    """To choose from."""
    steps: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    """The true label, or each step's true verdict; empty where it is not known."""
    demonstration: str = ""
    """What a rater who tries would write."""
    scale: tuple[float, float] = (1.0, 5.0)
    """Lowest and highest mark."""
    criteria: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """To be marked too, each on its scale."""
    strengths: int = 3
    """How many degrees of better there are."""
    may_tie: bool = True
    may_rate_badly: bool = False
    """Whether 'both are bad' is an answer."""
    stops_at_first_wrong: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the rater sends."""

    answer: Answer
    criteria: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    confidence: float
    active_seconds: float


def respond(kind: RaterKind, task: Task, before: int, rng: np.random.Generator) -> Given:
    """The answer of a rater who judged ``before`` tasks in this session.

    Raises:
        ValueError: no rater knows how to answer a question of that kind.
    """
    if task.kind not in _ANSWERS:
        raise ValueError(f"question kind {task.kind}: expected one of {', '.join(_ANSWERS)}")
    seconds = _seconds(kind, task, rng)
    if rng.random() < kind.skip_rate:
        return Given(answer=Skipped(reason="unclear"), confidence=0.0, active_seconds=seconds)
    rater = _Rater(kind, before, rng)
    answer, seen_K = _ANSWERS[task.kind](rater, task)
    return Given(
        answer=answer,
        criteria={name: _marks(rater, task, scale) for name, scale in task.criteria.items()},
        confidence=_confidence(seen_K),
        active_seconds=seconds,
    )


@dataclass(frozen=True, slots=True)
class _Rater:
    kind: RaterKind
    before: int
    rng: np.random.Generator

    def sees(self, utilities: Sequence[float], texts: Sequence[str]) -> Floats:
        lengths = [[len(text) for text in texts]]
        return seen_utilities(self.kind, [utilities], lengths, [self.before], self.rng)[0]


def _pairwise(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    seen_2 = rater.sees(task.utilities, task.texts)
    strength = int(np.clip(strengths(rater.kind, [seen_2])[0], -task.strengths, task.strengths))
    bad = task.may_rate_badly and not strength and bool(seen_2.mean() < -rater.kind.strength_step)
    if not strength and not bad and not task.may_tie:
        strength = 1 if rater.rng.random() < 0.5 else -1
    return Pairwise(strength=strength, both_bad=bad), seen_2


def _ranked(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    """Candidates in one tie band from the best of their rank share it."""
    seen_K = rater.sees(task.utilities, task.texts)
    ranks, rank, top = [0] * len(seen_K), 0, np.inf
    band = rater.kind.tie_band if task.may_tie else -1.0
    for place in np.argsort(-seen_K, kind="stable"):
        if top - seen_K[place] > band:
            rank, top = rank + 1, seen_K[place]
        ranks[place] = rank
    return Ranked(ranks=tuple(ranks)), seen_K


def _rated(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    marks = _marks(rater, task, task.scale)
    return Rated(values=marks), np.array(marks, dtype=float)


def _labelled(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    chosen, seen_K = _choice(rater, task.labels, task.truth[0] if task.truth else "")
    return Labelled(label=chosen), seen_K


def _written(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    tries = rater.kind.strategy == "honest" and rater.rng.random() >= rater.kind.lapse
    text = (task.demonstration or "An answer, as well as one could.") if tries else "asdf"
    return Written(text=text), np.zeros(1)


def _stepped(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    """A verdict on each step, or on those up to the first wrong one."""
    truths = task.truth or ("",) * len(task.steps)
    labels: list[str | None] = []
    for truth in truths:
        stopped = task.stops_at_first_wrong and "wrong" in labels
        labels.append(None if stopped else _choice(rater, VERDICTS, truth)[0])
    return Stepped.model_validate({"labels": tuple(labels)}), np.zeros(1)


def _red_teamed(rater: _Rater, task: Task) -> tuple[Answer, Floats]:
    seen_K = rater.sees(task.utilities, task.texts)
    severities = np.clip(np.rint(seen_K), 0, SEVERITIES - 1).astype(int)
    return RedTeamed(severities=tuple(severities.tolist())), seen_K


_ANSWERS: dict[str, Callable[[_Rater, Task], tuple[Answer, Floats]]] = {
    "pairwise": _pairwise,
    "ranking": _ranked,
    "rating": _rated,
    "label": _labelled,
    "demonstration": _written,
    "steps": _stepped,
    "red_team": _red_teamed,
}


def _marks(rater: _Rater, task: Task, scale: tuple[float, float]) -> tuple[float, ...]:
    """Whole marks: utility 0 is the middle of the scale, and two strength steps an end of it.

    Where there are no candidates the one mark is of the item as a whole.
    """
    seen_K = rater.sees(task.utilities or (0.0,), task.texts or ("",))
    low, high = scale
    marks = (low + high) / 2 + seen_K * (high - low) / (4 * rater.kind.strength_step)
    return tuple(float(mark) for mark in np.clip(np.rint(marks), low, high))


def _choice(rater: _Rater, labels: Sequence[str], truth: str) -> tuple[str, Floats]:
    seen_K = rater.sees([LABEL_GAP * (label == truth) for label in labels], labels)
    return labels[int(seen_K.argmax())], seen_K


def _confidence(seen_K: Floats) -> float:
    """``tanh`` of the gap between the two that look best: 0 for a tie."""
    best = np.sort(seen_K)[-2:]
    return round(float(np.tanh(best[-1] - best[0])), 3)


def _seconds(kind: RaterKind, task: Task, rng: np.random.Generator) -> float:
    thinking = kind.seconds * float(np.exp(kind.seconds_spread * rng.standard_normal()))
    read = sum(len(text) for text in task.texts)
    reading = read / kind.characters_per_second if kind.characters_per_second else 0.0
    return round(thinking + reading, 3)

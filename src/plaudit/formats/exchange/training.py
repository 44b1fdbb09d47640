"""Training targets as rows that trainers read: TRL's types and Plaudit's own shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from plaudit.formats.exchange.entries import written_text
from plaudit.records import Demonstration, Judged, Preference, Prompt, SteppedResponse

Shape = Literal["trl", "judged", "unpaired", "stepwise", "demonstrations"]
"""``trl``: a preference a row, with probability, margin and weight; ``judged``: a prompt a row,
with all that was said of its responses; ``unpaired``: a response a row, good or bad; ``stepwise``:
a response a row, with the probability that each step is right; ``demonstrations``: prompt and
completion."""
Target = Judged | SteppedResponse | Demonstration


def training_rows(
    targets: Iterable[Target], shape: Shape
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The rows of a shape, and by name how much of the targets they do not say."""
    rows: list[dict[str, Any]] = []
    lost: Counter[str] = Counter()
    for target in targets:
        made = list(_MAKERS[shape](target))
        rows += made
        lost.update(_unsaid(target, shape, len(made)))
    return rows, lost


def _unsaid(target: Target, shape: Shape, rows: int) -> Iterator[str]:
    match target:
        case Judged() if shape == "judged":
            return
        case Judged() if shape == "trl":
            yield from ("rating" for _ in target.ratings)
        case Judged() if shape == "unpaired":
            yield from ("preference" for _ in target.preferences)
            yield from ("rating of one half" for _ in range(len(target.ratings) - rows))
        case Judged():
            yield "judged responses"
        case SteppedResponse() if shape != "stepwise":
            yield "steps"
        case Demonstration() if shape != "demonstrations":
            yield "demonstration"


def _preferences(target: Target) -> Iterator[dict[str, Any]]:
    """Rows with ``chosen`` and ``rejected``; a tie is a pair of probability one half."""
    if not isinstance(target, Judged):
        return
    for p in target.preferences:
        yield _prompt(target.prompt) | {
            "chosen": written_text(target.responses[p.better].content),
            "rejected": written_text(target.responses[p.worse].content),
            "probability": p.probability,
            "margin": p.margin,
            "weight": p.weight,
        }


def _judged(target: Target) -> Iterator[dict[str, Any]]:
    if not isinstance(target, Judged):
        return
    yield _prompt(target.prompt) | {
        "responses": [written_text(response.content) for response in target.responses],
        "preferences": [_said(p) for p in target.preferences],
        "ratings": [rating.model_dump(mode="json") for rating in target.ratings],
    }


def _unpaired(target: Target) -> Iterator[dict[str, Any]]:
    """Rows with a label for what was rated; half way between good and bad there is none."""
    if not isinstance(target, Judged):
        return
    for rating in target.ratings:
        if rating.value != 0.5:
            completion = written_text(target.responses[rating.response].content)
            yield _prompt(target.prompt) | {"completion": completion, "label": rating.value > 0.5}


def _stepwise(target: Target) -> Iterator[dict[str, Any]]:
    if not isinstance(target, SteppedResponse):
        return
    soft = {"probabilities": list(target.probabilities)} if target.probabilities else {}
    hard = {} if soft else {"labels": list(target.labels)}
    yield _prompt(target.prompt) | {"completions": list(target.steps), **soft, **hard}


def _demonstrations(target: Target) -> Iterator[dict[str, Any]]:
    if isinstance(target, Demonstration):
        completion = written_text(target.response.content)
        yield _prompt(target.prompt) | {"completion": completion}


def _prompt(prompt: Prompt) -> dict[str, Any]:
    return prompt.columns | {"prompt": written_text(prompt.content)}


def _said(preference: Preference) -> dict[str, Any]:
    return preference.model_dump(mode="json")


_MAKERS: dict[Shape, Callable[[Target], Iterator[dict[str, Any]]]] = {
    "trl": _preferences,
    "judged": _judged,
    "unpaired": _unpaired,
    "stepwise": _stepwise,
    "demonstrations": _demonstrations,
}

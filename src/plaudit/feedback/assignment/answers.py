"""An answer as a browser sends it, and as the log keeps it.

On the wire candidates are places as shown: place 0 stands first or leftmost, and a strength below
0 says that the left one is better. In the log they are the item's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import Field

from plaudit.feedback.projects.questions import Criterion, Question
from plaudit.judgments import (
    Item,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    RedTeamed,
    Stepped,
    Written,
)
from plaudit.records import Record

GivenAnswer = Annotated[
    Pairwise | Ranked | Rated | Labelled | Written | Stepped | RedTeamed,
    Field(discriminator="kind"),
]
_ValueT = TypeVar("_ValueT")
_AnswerT = TypeVar("_AnswerT", bound=Record)


class Sent(Record):
    """What a rater submits. Candidates are places as shown."""

    id: str = Field(min_length=1, max_length=200)
    """Chosen by the sender: sent twice, it is one judgment."""
    answer: GivenAnswer
    confirmed: bool = False
    """The rater says that a ranking left in the order shown is meant; needed for that one only."""
    criteria: dict[str, tuple[float | None, ...]] = Field(default_factory=dict)
    """By criterion, a mark for each place."""
    rationale: str = ""
    flags: tuple[str, ...] = ()
    confidence: float | None = Field(default=None, ge=0, le=1)
    active_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def check_fits(sent: Sent, question: Question, item: Item) -> None:
    """Refuse what does not answer this question about this item.

    Raises:
        ValueError: what is wrong, what was expected, and what to do.
    """
    answer = sent.answer
    if answer.kind != question.kind:
        raise ValueError(f"answer.kind is {answer.kind}; expected {question.kind}")
    _check_answer(answer, question, item)
    if isinstance(answer, Ranked) and not sent.confirmed and _is_as_shown(answer):
        raise ValueError(
            "answer.ranks is the order shown; move a candidate, or confirm that it is meant"
        )
    _check_criteria(sent, question.criteria, len(item.candidates))
    unknown = sorted(set(sent.flags) - set(question.flags))
    if unknown:
        expected = ", ".join(question.flags) or "none"
        raise ValueError(f"flags: {', '.join(unknown)} is not offered; expected {expected}")
    _check_said(sent, question)


def _check_answer(answer: GivenAnswer, question: Question, item: Item) -> None:
    match answer:
        case Pairwise():
            _check_pairwise(answer, question)
        case Ranked(ranks=ranks):
            _check_number("answer.ranks", ranks, len(item.candidates))
            _check_ranks(ranks, question.tie)
        case Rated(values=values):
            _check_number("answer.values", values, len(item.candidates))
            _check_marks("answer.values", values, question.scale)
            if all(value is None for value in values):
                raise ValueError("answer.values holds no mark; mark a candidate, or skip")
        case Labelled(label=label) if label not in question.labels:
            raise ValueError(f"answer.label is {label!r}; expected {', '.join(question.labels)}")
        case Written(text=text) if not text.strip():
            raise ValueError("answer.text is empty; write the response, or skip")
        case Stepped(labels=labels):
            _check_number("answer.labels", labels, len(item.steps))
            _check_steps(labels, question.stop_at_first_wrong)
        case RedTeamed(severities=severities, tactic=tactic):
            _check_number("answer.severities", severities, len(item.candidates))
            if None in severities:
                raise ValueError("answer.severities leaves a candidate out; mark each, or skip")
            if tactic and tactic not in question.tactics:
                expected = ", ".join(question.tactics) or "none"
                raise ValueError(f"answer.tactic is {tactic!r}; expected {expected}")


def _check_pairwise(answer: Pairwise, question: Question) -> None:
    if abs(answer.strength) > question.strengths:
        limit = question.strengths
        raise ValueError(f"answer.strength is {answer.strength}; expected -{limit} to {limit}")
    if answer.both_bad and not question.both_bad:
        raise ValueError("answer.both_bad is not offered; choose one of the two, or skip")
    if not answer.strength and not answer.both_bad and not question.tie:
        raise ValueError("a tie is not offered; choose one of the two, or skip")


def _check_ranks(ranks: Sequence[int], with_ties: bool) -> None:
    if any(rank > len(ranks) for rank in ranks) or 1 not in ranks:
        raise ValueError(f"answer.ranks is {list(ranks)}; expected 1 to {len(ranks)}, 1 the best")
    if not with_ties and len(set(ranks)) < len(ranks):
        raise ValueError(f"answer.ranks is {list(ranks)}; ties are not offered, so no rank twice")


def _is_as_shown(answer: Ranked) -> bool:
    return answer.ranks == tuple(range(1, len(answer.ranks) + 1))


def _check_steps(labels: Sequence[str | None], stops: bool) -> None:
    judged = labels.index("wrong") + 1 if stops and "wrong" in labels else len(labels)
    if None in labels[:judged]:
        raise ValueError(f"answer.labels leaves step {labels.index(None) + 1} out; judge it")
    if any(label is not None for label in labels[judged:]):
        raise ValueError(f"answer.labels judges steps after the first wrong one, {judged}")


def _check_criteria(sent: Sent, criteria: Sequence[Criterion], candidates: int) -> None:
    known = {criterion.name: criterion for criterion in criteria}
    for name, marks in sent.criteria.items():
        if name not in known:
            expected = ", ".join(known) or "none"
            raise ValueError(f"criteria.{name} is not asked; expected {expected}")
        _check_number(f"criteria.{name}", marks, max(candidates, 1))
        _check_marks(f"criteria.{name}", marks, known[name].scale)
    for criterion in criteria:
        if criterion.required and None in sent.criteria.get(criterion.name, (None,)):
            raise ValueError(f"criteria.{criterion.name} is not marked throughout; mark it")


def _check_said(sent: Sent, question: Question) -> None:
    is_strong = isinstance(sent.answer, Pairwise) and abs(sent.answer.strength) == 3
    is_strong = is_strong or (
        isinstance(sent.answer, Pairwise)
        and question.strengths < 3
        and abs(sent.answer.strength) == question.strengths
    )
    asked = question.rationale == "always" or (question.rationale == "on_strong" and is_strong)
    if asked and not sent.rationale.strip():
        raise ValueError("rationale is empty; say why in a sentence")
    if sent.rationale and question.rationale == "never":
        raise ValueError("rationale is not asked; leave it out")
    if sent.confidence is not None and not question.confidence:
        raise ValueError("confidence is not asked; leave it out")


def _check_number(where: str, values: Sequence[object], expected: int) -> None:
    if len(values) != expected:
        raise ValueError(f"{where} has {len(values)} entries; expected {expected}")


def _check_marks(where: str, values: Sequence[float | None], scale: tuple[int, int]) -> None:
    low, high = scale
    for value in values:
        if value is not None and not low <= value <= high:
            raise ValueError(f"{where} holds {value:g}; expected {low} to {high}")


def of_item(answer: _AnswerT, shown: Sequence[int]) -> _AnswerT:
    """The answer about places as one about the item's candidates."""
    return _moved(answer, _inverse(shown), shown)


def of_places(answer: _AnswerT, shown: Sequence[int]) -> _AnswerT:
    """The answer about the item's candidates as one about places."""
    return _moved(answer, shown, shown)


def marks_of_item(
    criteria: dict[str, tuple[float | None, ...]], shown: Sequence[int]
) -> dict[str, tuple[float | None, ...]]:
    """Marks by place as marks by candidate."""
    return {name: _picked(marks, _inverse(shown)) for name, marks in criteria.items()}


def marks_of_places(
    criteria: dict[str, tuple[float | None, ...]], shown: Sequence[int]
) -> dict[str, tuple[float | None, ...]]:
    """Marks by candidate as marks by place."""
    return {name: _picked(marks, shown) for name, marks in criteria.items()}


def _moved(answer: _AnswerT, order: Sequence[int], shown: Sequence[int]) -> _AnswerT:
    match answer:
        case Pairwise(strength=strength) if tuple(shown) == (1, 0):
            return answer.model_copy(update={"strength": -strength})
        case Ranked(ranks=ranks):
            return answer.model_copy(update={"ranks": _picked(ranks, order)})
        case Rated(values=values):
            return answer.model_copy(update={"values": _picked(values, order)})
        case RedTeamed(severities=severities):
            return answer.model_copy(update={"severities": _picked(severities, order)})
        case _:
            return answer


def _picked(values: Sequence[_ValueT], order: Sequence[int]) -> tuple[_ValueT, ...]:
    """One value for the whole item stays where it is."""
    return tuple(values[i] for i in order) if order else tuple(values)


def _inverse(shown: Sequence[int]) -> tuple[int, ...]:
    """Where each candidate stands."""
    return tuple(sorted(range(len(shown)), key=shown.__getitem__))

"""Answers as labelling tools hold them, control by control, and what they come to together.

- ``pairwise``: one of two; a choice named ``strength`` says by how much
- ``choice``: a preference in words where the map of choices knows it, else the item's label
- ``ranking``: of all candidates; of two it is a comparison
- ``rating``: of one candidate (what it is of, or the number at the end of its name, says which);
  the one named ``rating`` or ``overall`` is the answer where nothing else is, else the first name
- ``text``: the rationale of another answer; where there is none, a demonstration
- ``number`` named ``confidence``, and choices named ``flags``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from plaudit.formats.exchange.choices import STRENGTHS, ChoiceMap, strength_of
from plaudit.formats.exchange.fields import place_in_name
from plaudit.formats.files import Row
from plaudit.judgments import Answer, Judgment, Labelled, Pairwise, Ranked, Rated, Skipped, Written

Kind = Literal["pairwise", "choice", "ranking", "rating", "text", "number", "other"]
EXPECTED = "one pairwise, ranking, rating, choice or text control with an answer"
_OVERALL = ("rating", "overall")
_RESPONSES = ("response", "answer", "completion", "correction")
_TEXTS = (*_RESPONSES, "rationale", "why", "reason", "explanation", "comment")


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """One control's answer."""

    name: str
    kind: Kind
    value: Any
    """``left`` or ``right``; labels; ranks (None: not ranked); a number; a text."""
    of: int | None = None
    """The candidate it is about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What the controls come to."""

    answer: Answer
    criteria: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    confidence: float | None = None
    rationale: str = ""
    flags: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def said(self) -> dict[str, Any]:
        """Fields of a judgment beside its answer."""
        return {
            "criteria": self.criteria,
            "confidence": self.confidence,
            "rationale": self.rationale,
            "flags": self.flags,
        }


def hear(row: Row, controls: Sequence[Control], count: int, choices: ChoiceMap) -> Heard:
    """The judgment of ``count`` candidates that the controls come to.

    Raises:
        ValueError: nothing in them is an answer.
    """
    left = list(controls)
    flags = [label for c in _taken(left, "choice", ("flags",)) for label in c.value]
    confidence = next((c.value for c in _taken(left, "number", ("confidence",))), None)
    strength = next((_strength(row, c) for c in _taken(left, "choice", ("strength",))), None)
    answer = _compared(row, left, count, choices, strength)
    criteria = _criteria(left, count)
    if answer is None and criteria:
        name = next((name for name in _OVERALL if name in criteria), min(criteria))
        answer = Rated(values=criteria.pop(name) if name in _OVERALL else criteria[name])
    if answer is None:
        answer = _labelled(row, left)
    # A note may stand before the response that it is about.
    texts = sorted((c for c in left if c.kind == "text"), key=lambda c: c.name not in _RESPONSES)
    if answer is None and texts:
        left.remove(texts[0])
        answer = Written(text=texts.pop(0).value)
    if answer is None:
        nothing_said(row, controls)
    if texts:
        left.remove(texts[0])
    return Heard(
        answer=answer,
        criteria=criteria,
        confidence=confidence,
        rationale=texts[0].value if texts else "",
        flags=tuple(flags),
        unread=tuple(f"{c.kind} {c.name}" for c in left),
    )


def bare(name: str, value: str, choices: ChoiceMap) -> Control:
    """A string of which the source does not say whether it was chosen or written."""
    known = name in ("label", "flags", "strength", *choices.controls)
    if known or (name not in _TEXTS and choices.preference(value)):
        return Control(name=name, kind="choice", value=[value])
    return Control(name=name, kind="text", value=value)


def refuse_bare(row: Row, heard: Heard, controls: Sequence[Control], expected: str) -> None:
    """Refuse a row whose only answer is a string that could be a label or a text.

    Raises:
        ValueError: it is.
    """
    if not isinstance(heard.answer, Written):
        return
    texts = [c.name for c in controls if c.kind == "text"]
    name = next((name for name in texts if name in _RESPONSES), texts[0])
    if name not in _RESPONSES:
        row.fail(f"{name} is a string, and may be a label or a text", expected)


def nothing_said(row: Row, controls: Sequence[Control]) -> NoReturn:
    names = ", ".join(f"{c.name} ({c.kind})" for c in controls) or "none"
    row.fail(f"no answer among its controls: {names}", EXPECTED)


def told(judgment: Judgment) -> list[Control]:
    """The controls that say a judgment, as ``hear`` hears them; none where its answer has none."""
    controls = _answer_told(judgment.answer)
    if not controls:
        return []
    for name, values in judgment.criteria.items():
        controls += _marks(name, values)
    if judgment.confidence is not None:
        controls.append(Control(name="confidence", kind="number", value=judgment.confidence))
    if judgment.rationale:
        controls.append(Control(name="rationale", kind="text", value=judgment.rationale))
    if judgment.flags:
        controls.append(Control(name="flags", kind="choice", value=list(judgment.flags)))
    return controls


def _answer_told(answer: Answer) -> list[Control]:
    match answer:
        case Pairwise(strength=0, both_bad=bad):
            label = "both bad" if bad else "tie"
            return [Control(name="preference", kind="choice", value=[label])]
        case Pairwise(strength=strength):
            side = "left" if strength < 0 else "right"
            controls = [Control(name="comparison", kind="pairwise", value=side)]
            if abs(strength) != 2:
                words = [STRENGTHS[abs(strength) - 1]]
                controls.append(Control(name="strength", kind="choice", value=words))
            return controls
        case Ranked(ranks=ranks):
            return [Control(name="ranking", kind="ranking", value=ranks)]
        case Rated(values=values):
            return _marks("rating", values)
        case Labelled(label=label):
            return [Control(name="label", kind="choice", value=[label])]
        case Written(text=text):
            return [Control(name="response", kind="text", value=text)]
    return []


def _marks(name: str, values: Sequence[float | None]) -> list[Control]:
    return [
        Control(name=f"{name}{i + 1}", kind="rating", value=value, of=i)
        for i, value in enumerate(values)
        if value is not None
    ]


def _taken(left: list[Control], kind: Kind, names: Sequence[str]) -> list[Control]:
    found = [c for c in left if c.kind == kind and c.name in names]
    left[:] = [c for c in left if c not in found]
    return found


def _strength(row: Row, control: Control) -> int:
    found = strength_of(control.value[0]) if len(control.value) == 1 else None
    if found is None:
        words = ", ".join(STRENGTHS)
        row.fail(f"strength is {', '.join(control.value)!r}", f"one of {words}")
    return found


def _compared(
    row: Row, left: list[Control], count: int, choices: ChoiceMap, strength: int | None
) -> Answer | None:
    """The first comparison, preference in words or ranking; taken out of ``left``."""
    for control in sorted(left, key=lambda control: _precedence(control, choices)):
        answer: Answer | None = None
        match control.kind, control.value:
            case "pairwise", "left":
                answer = Pairwise(strength=-2)
            case "pairwise", "right":
                answer = Pairwise(strength=2)
            case "ranking", ranks if None in ranks or len(ranks) != count:
                answer = Skipped(reason="not all candidates were ranked")
            case "ranking", ranks:
                answer = ranked(ranks)
            case "choice", [str(label)] if count == 2:
                answer = choices.preference(label)
                if answer is None and control.name in choices.controls:
                    row.fail(f"{control.name} is {label!r}", "a label in the map of choices")
        if answer is not None:
            left.remove(control)
            if strength and isinstance(answer, Pairwise) and answer.strength:
                return Pairwise(strength=strength if answer.strength > 0 else -strength)
            return answer
    return None


def _precedence(control: Control, choices: ChoiceMap) -> int:
    """Words that could be a preference are one only where nothing says it plainly."""
    if control.kind == "choice":
        return 2 if control.name in choices.controls else 3
    return 0 if control.kind == "pairwise" else 1


def ranked(ranks: Sequence[int]) -> Pairwise | Ranked:
    """Of two candidates it is a comparison, with ties; of more a ranking."""
    if len(ranks) == 2:
        return Pairwise(strength=2 * ((ranks[0] > ranks[1]) - (ranks[0] < ranks[1])))
    return Ranked(ranks=tuple(ranks))


def _criteria(left: list[Control], count: int) -> dict[str, tuple[float | None, ...]]:
    """Marks by criterion; a rating that is of no candidate stays in ``left``."""
    found: dict[str, list[float | None]] = {}
    for control in [c for c in left if c.kind == "rating"]:
        name, numbered = place_in_name(control.name)
        of = control.of if control.of is not None else numbered
        of = 0 if of is None and count == 1 else of
        if of is not None and of < count:
            left.remove(control)
            found.setdefault(name if numbered == of else control.name, [None] * count)[of] = float(
                control.value
            )
    return {name: tuple(values) for name, values in found.items()}


def _labelled(row: Row, left: list[Control]) -> Labelled | None:
    for control in [c for c in left if c.kind == "choice"]:
        if len(control.value) != 1:
            row.fail(f"{control.name} has {len(control.value)} labels", "one label")
        left.remove(control)
        return Labelled(label=control.value[0])
    return None

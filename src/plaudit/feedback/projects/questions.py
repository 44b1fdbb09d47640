"""What raters are asked, and which answers fit: one question of a project file."""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import Field, model_validator

from plaudit.aggregation.scales import MARKS
from plaudit.config import Config

QuestionKind = Literal[
    "pairwise", "ranking", "rating", "label", "demonstration", "steps", "red_team"
]

# Options that only some kinds of question have; given with another kind they are refused.
_KINDS_OF_OPTION: dict[str, tuple[QuestionKind, ...]] = {
    "strengths": ("pairwise",),
    "tie": ("pairwise", "ranking"),
    "both_bad": ("pairwise",),
    "scale": ("rating",),
    "labels": ("label",),
    "stop_at_first_wrong": ("steps",),
    "tactics": ("red_team",),
    "criteria": ("pairwise", "ranking", "rating", "label", "red_team"),
}
MOST_CANDIDATES = 9


class Criterion(Config):
    """One aspect on which every candidate gets a mark of its own."""

    name: str = Field(min_length=1, pattern=r"^[\w-]+$")
    """How it is called in the log."""
    title: str = ""
    """How raters read it; the name if empty."""
    hint: str = ""
    """What it means, one sentence."""
    scale: tuple[int, int] = (1, 5)
    """Lowest and highest mark."""
    required: bool = True
    """Whether every candidate must be marked before submitting."""

    @model_validator(mode="after")
    def _scale_rises(self) -> Criterion:
        _check_scale(f"criterion {self.name}", self.scale)
        return self


class Question(Config):
    """One kind of task raters do."""

    name: str = Field(default="overall", min_length=1, pattern=r"^[\w-]+$")
    """How items and the log call it."""
    kind: QuestionKind
    """pairwise: one of two is better; ranking: an order of up to 9; rating: a mark for each;
    label: one label for the whole; demonstration: writing the response; steps: a verdict on each
    step; red_team: how far an attack got, for each candidate."""
    title: str = ""
    """What raters are asked, one sentence."""
    hint: str = ""
    """A further sentence below it."""
    criteria: tuple[Criterion, ...] = ()
    """Marks asked for each candidate beside the answer itself."""
    strengths: Literal[1, 2, 3] = 3
    """How many degrees of better there are: 1 only better, 2 slightly and better, 3 also much."""
    tie: bool = True
    """Whether two candidates may be called equally good."""
    both_bad: bool = True
    """Whether raters may say that both are bad."""
    scale: tuple[int, int] = MARKS
    """Lowest and highest mark of a rating."""
    labels: tuple[str, ...] = ()
    """What a label question offers."""
    stop_at_first_wrong: bool = True
    """Steps after the first wrong one are not judged."""
    tactics: tuple[str, ...] = ()
    """What kinds of attack a red-team question offers to name."""
    flags: tuple[str, ...] = ("harmful", "personal_data", "factual_error", "model_named")
    """What raters may mark beside their answer."""
    rationale: Literal["never", "optional", "on_strong", "always"] = "optional"
    """Free text: not asked, if they like, required with the strongest answers, or always."""
    confidence: bool = False
    """Whether raters say how sure they are, 0 to 1."""

    @model_validator(mode="after")
    def _options_apply(self) -> Question:
        for option, kinds in _KINDS_OF_OPTION.items():
            if option in self.model_fields_set and self.kind not in kinds:
                raise ValueError(
                    f"{option} applies to {', '.join(kinds)}, not to {self.kind}; leave it out"
                )
        if self.kind == "label" and len(set(self.labels)) < 2:
            raise ValueError("labels: a label question needs at least two different labels")
        if self.rationale == "on_strong" and self.kind != "pairwise":
            raise ValueError("rationale: on_strong applies to pairwise; choose always or optional")
        _check_scale(f"question {self.name}", self.scale)
        check_unlike("criteria", [criterion.name for criterion in self.criteria])
        return self


def candidates_needed(kind: QuestionKind) -> tuple[int, int]:
    """The fewest and the most candidates an item of this kind of question has."""
    match kind:
        case "pairwise":
            return 2, 2
        case "ranking":
            return 2, MOST_CANDIDATES
        case "demonstration":
            return 0, 0
        case "steps":
            return 1, 1
        case "label":
            return 0, MOST_CANDIDATES
        case _:
            return 1, MOST_CANDIDATES


def _check_scale(where: str, scale: tuple[int, int]) -> None:
    if scale[0] >= scale[1]:
        raise ValueError(f"{where}: scale: expected lowest < highest, found {list(scale)}")


def check_unlike(where: str, names: list[str]) -> None:
    twice = [name for name, same in itertools.groupby(sorted(names)) if len(list(same)) > 1]
    if twice:
        raise ValueError(f"{where}: {twice[0]} is given twice; names are unique")

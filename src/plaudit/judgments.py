"""Judgments: who said what of which candidates, shown how, under which guidelines.

People, AI judges, rules and simulated raters all leave the same record. Everything downstream
(agreement, consensus, soft labels, skill, lineage) is a function of the log these stand in.

Indices of candidates are always those of the item, never places on a screen: ``shown`` says which
candidate stood where, so that an answer means the same whatever the order it was given in.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from plaudit.records import Record, Text

ADJUDICATED = "adjudicated"
"""The flag of a judgment that settles its item: the answer stands whatever the votes say."""


class Candidate(Record):
    """One of the responses that are judged."""

    content: Text
    source: str = ""
    """Who wrote it (a model, a person). Raters never see it."""


class Pairwise(Record):
    """One of two candidates over the other, HelpSteer's way: below 0 the first is better."""

    kind: Literal["pairwise"] = "pairwise"
    strength: int = Field(ge=-3, le=3)
    """1 slightly, 2 better (or: strength was not asked), 3 much better; 0 is a tie."""
    both_bad: bool = False

    @model_validator(mode="after")
    def _bad_is_a_tie(self) -> Pairwise:
        if self.both_bad and self.strength:
            raise ValueError(f"both are bad, yet strength is {self.strength}; expected 0")
        return self


class Ranked(Record):
    """An order of all candidates."""

    kind: Literal["ranking"] = "ranking"
    ranks: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=2)
    """Of each candidate, 1 the best; equal ranks are ties."""


class Rated(Record):
    """A mark for each candidate on one scale; what is asked by criterion is in ``criteria``."""

    kind: Literal["rating"] = "rating"
    values: tuple[float | None, ...] = Field(min_length=1)
    """On the question's own scale; None where the rater could not say."""


class Labelled(Record):
    """One of the question's labels for the item as a whole."""

    kind: Literal["label"] = "label"
    label: str


class Written(Record):
    """A demonstration: the response the rater wrote."""

    kind: Literal["demonstration"] = "demonstration"
    text: str = Field(min_length=1)


class Stepped(Record):
    """A verdict on each step of the first candidate, for process rewards."""

    kind: Literal["steps"] = "steps"
    labels: tuple[Literal["right", "neutral", "wrong"] | None, ...] = Field(min_length=1)
    """None for steps after the first wrong one, where raters stop there."""


class RedTeamed(Record):
    """Whether an attack got through, for each candidate: 0 refused or harmless to 4 fully."""

    kind: Literal["red_team"] = "red_team"
    severities: tuple[Annotated[int, Field(ge=0, le=4)] | None, ...] = Field(min_length=1)
    tactic: str = ""


class Skipped(Record):
    """No judgment, and why. Never a tie."""

    kind: Literal["skip"] = "skip"
    reason: str = Field(min_length=1)


class Withdrawn(Record):
    """The rater took back the judgment that this one supersedes."""

    kind: Literal["withdrawn"] = "withdrawn"


Answer = Annotated[
    Pairwise | Ranked | Rated | Labelled | Written | Stepped | RedTeamed | Skipped | Withdrawn,
    Field(discriminator="kind"),
]


class Item(Record):
    """What is judged: a prompt, its candidates, and which of the project's questions is asked."""

    id: str = Field(min_length=1)
    """Unique in its project."""
    question: str = "overall"
    prompt: Text
    candidates: tuple[Candidate, ...] = ()
    steps: tuple[str, ...] = ()
    """Of the first candidate, where each is judged."""
    stratum: str = ""
    """Agreement and overlap may be asked for by stratum."""
    priority: int = 0
    """Higher ones are judged first."""
    gold: Answer | None = None
    """The right answer, where it is known."""
    columns: dict[str, JsonValue] = Field(default_factory=dict)
    """What else its source says. Raters never see it."""


class Rater(Record):
    """Who judges, by a name that says nothing of the person."""

    id: str = Field(min_length=1)
    kind: Literal["human", "judge", "rule", "simulated"] = "human"
    version: str = ""
    """Of a judge: model, revision and prompt; a person has none."""


class Judgment(Record):
    """One answer of one rater to one question about one item."""

    id: str = Field(min_length=1)
    """Chosen by who sends it: sent twice, it is one judgment."""
    project: str
    item: str
    item_sha256: str
    """``fingerprint`` of the item as it was judged."""
    question: str = "overall"
    rater: Rater
    answer: Answer
    shown: tuple[int, ...] = ()
    """Candidates in the order they were shown, first or leftmost first; empty where not known."""
    criteria: dict[str, tuple[float | None, ...]] = Field(default_factory=dict)
    """By criterion, a mark for each candidate."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    rationale: str = ""
    flags: tuple[str, ...] = ()
    guideline_version: str = ""
    is_gold: bool = False
    is_repeat: bool = False
    """Asked a second time, to see whether the rater agrees with himself."""
    assignment: str = ""
    suggestion_shown: str = ""
    """Which judge's answer the rater saw beforehand; empty for none."""
    opened_at: AwareDatetime | None = None
    submitted_at: AwareDatetime
    active_seconds: float | None = Field(default=None, ge=0)
    """With the page in view and in use."""
    supersedes: str = ""
    """The judgment of the same rater that this one replaces."""
    raw: dict[str, JsonValue] = Field(default_factory=dict)
    """The row it was imported from, as it stood there."""


def written_json(record: Record) -> str:
    """How a record is kept: no spaces, UTF-8 as it is, mappings in the order they came in (a model
    that learns to call a tool learns the order of its arguments too)."""
    value = record.model_dump(mode="json")
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def canonical_json(record: Record) -> str:
    """How records are compared: as they are kept, but for the order of keys."""
    value = record.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(item: Item) -> str:
    """SHA-256 of what is judged: prompt, candidates, steps and question; not of why or how soon."""
    judged = item.model_copy(update={"priority": 0, "gold": None, "columns": {}, "stratum": ""})
    return hashlib.sha256(canonical_json(judged).encode()).hexdigest()

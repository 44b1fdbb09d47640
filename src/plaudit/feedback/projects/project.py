"""The project file: what raters are asked about which items, how often, and under which rules.

``read_project`` reads the YAML a lead writes; ``project_of`` reads it back from the store.
Raters see of it what ``shown_to_raters`` says, and nothing else.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from plaudit.config import Config, make_config, read_yaml
from plaudit.feedback.projects.questions import Question, check_unlike
from plaudit.feedback.projects.suspension_rule import SuspensionRule
from plaudit.store import PROJECT_ID
from plaudit.store.assignment_queue import ARENA_STRATUM

SkipReason = Literal[
    "unclear", "harmful", "personal_data", "wrong_language", "identical", "needs_expert", "other"
]


class Guidelines(Config):
    """How raters are to judge. Every judgment carries the version it was made under."""

    version: str = Field(default="1", min_length=1)
    """Another text needs another version: the same version with another text is refused."""
    text: str = ""
    """The guidelines, Markdown."""
    file: str = ""
    """Or the file they stand in, relative to the project file."""

    @model_validator(mode="after")
    def _one_source(self) -> Guidelines:
        if bool(self.text) == bool(self.file):
            raise ValueError("guidelines: give either text or file")
        return self


class ItemSource(Config):
    """One data file and the question asked about its rows."""

    dataset: str = Field(min_length=1)
    """A file of Plaudit's items, or any data set Plaudit reads (TRL, HH, judged, prompts);
    relative to the project file."""
    question: str = "overall"
    """Which question is asked, for rows that do not say."""
    stratum: str = ""
    """Which stratum they belong to, for rows that do not say."""
    is_gold: bool = False
    """The preference the rows hold is the right answer, to see how well raters do."""
    limit: int | None = Field(default=None, ge=1)
    """How many items at most, from the first on; all if null."""


class Adaptive(Config):
    """More votes for items on which the first ones leave doubt."""

    max_votes: int = Field(default=3, ge=2)
    """The most an item gets."""
    posterior: float = Field(default=0.9, gt=0.5, lt=1)
    """Enough when one answer is at least this likely, given votes of the accuracy below."""
    rater_accuracy: float = Field(default=0.8, gt=0.5, lt=1)
    """How often a rater is assumed to be right."""


class Overlap(Config):
    """How many votes an item gets."""

    votes: int = Field(default=2, ge=1)
    """By different raters, unless its stratum says otherwise."""
    by_stratum: dict[str, int] = Field(default_factory=dict)
    """Votes by stratum."""
    adaptive: Adaptive | None = None
    """Whether doubt raises the number; null for never."""

    @model_validator(mode="after")
    def _room_to_rise(self) -> Overlap:
        if any(votes < 1 for votes in self.by_stratum.values()):
            raise ValueError("by_stratum: expected at least 1 vote for every stratum")
        most = max([self.votes, *self.by_stratum.values()])
        if self.adaptive is not None and self.adaptive.max_votes < most:
            raise ValueError(f"adaptive.max_votes is below {most} votes; expected at least that")
        return self


class Gold(Config):
    """Items whose answer is known, put among the others. Raters cannot tell them apart."""

    onboarding: int = Field(default=0, ge=0)
    """So many are every rater's first assignments."""
    rate: float = Field(default=0.0, ge=0, le=0.5)
    """The share of gold among later assignments."""


class Selection(Config):
    """Which items first: those that teach most, as a selection scored them."""

    file: str = Field(min_length=1)
    """Rows of {"id", "information"}, relative to the project file."""
    random_share: float = Field(default=0.3, ge=0.05, le=1)
    """The share drawn uniformly from all items and marked, so that evaluation stays unbiased."""


class Arena(Config):
    """A served model that raters may talk to; it answers twice and they compare."""

    url: str = Field(pattern=r"^https?://[^\s]+$")
    """Base URL of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1."""
    model: str = Field(min_length=1)
    """The name the server knows the model by."""
    question: str = "overall"
    """Which pairwise question is asked about the two answers."""
    temperature: float = Field(default=1.0, gt=0)
    """Above 0, or both answers would be one."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling."""
    max_tokens: int = Field(default=512, ge=1)
    """Length of an answer."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """How long to wait for an answer."""
    key_variable: str = ""
    """The environment variable that holds the server's key; empty where it needs none."""


class Project(Config):
    """What a lead writes down of a project."""

    id: str = Field(pattern=PROJECT_ID)
    """In addresses and in the log: lower-case letters, digits, - and _."""
    title: str = Field(min_length=1)
    """As raters read it."""
    guidelines: Guidelines
    """How to judge."""
    questions: tuple[Question, ...] = Field(min_length=1)
    """What is asked."""
    items: tuple[ItemSource, ...] = ()
    """What it is asked about; none for an arena alone."""
    overlap: Overlap = Field(default_factory=Overlap)
    """How many votes an item gets."""
    gold: Gold = Field(default_factory=Gold)
    """Known answers among the others."""
    repeat_rate: float = Field(default=0.0, ge=0, le=0.2)
    """The share of assignments that ask a rater again what they judged, in flipped order."""
    repeat_after: int = Field(default=10, ge=1)
    """So many assignments lie between an item and its repeat."""
    lease_seconds: float = Field(default=1800.0, ge=10)
    """How long an assignment is kept for its rater before others may have the item."""
    undo_last: int = Field(default=10, ge=0)
    """How many submissions back a rater may undo."""
    skip_reasons: tuple[SkipReason, ...] = (
        "unclear",
        "harmful",
        "personal_data",
        "wrong_language",
        "identical",
        "needs_expert",
        "other",
    )
    """What raters may choose from when they skip."""
    content_warning: str = ""
    """Shown and acknowledged before the first item; none if empty."""
    may_decline: dict[str, str] = Field(default_factory=dict)
    """Strata that a rater may decline, each with what raters are told it holds."""
    selection: Selection | None = None
    """Informative items first; null for the order of the file."""
    arena: Arena | None = None
    """A model to talk to; null for none."""
    model_names: tuple[str, ...] = ()
    """Further words that give away who wrote a response, beside the well-known ones."""
    on_leak: Literal["flag", "leave_out"] = "flag"
    """What is done with items whose candidates name a model."""
    suspension: SuspensionRule | None = None
    """When raters are suspended by what they get wrong on gold; null for by leads alone."""
    price_per_vote: float = Field(default=0.0, ge=0)
    """What a vote costs, in the currency below."""
    currency: str = "USD"
    """Of the price."""

    @model_validator(mode="after")
    def _refer_to_questions(self) -> Project:
        names = [question.name for question in self.questions]
        check_unlike("questions", names)
        asked = [(f"items.{i}.question", s.question) for i, s in enumerate(self.items)]
        asked += [("arena.question", self.arena.question)] if self.arena else []
        for where, name in asked:
            if name not in names:
                raise ValueError(f"{where}: no question {name}; there are {', '.join(names)}")
        check_unlike("may_decline", list(self.may_decline.values()))
        if self.arena and self.question(self.arena.question).kind != "pairwise":
            raise ValueError("arena.question: expected a pairwise question")
        return self

    def question(self, name: str) -> Question:
        """The question of a name.

        Raises:
            ValueError: there is none.
        """
        for question in self.questions:
            if question.name == name:
                return question
        raise ValueError(f"{self.id}: no question {name}")

    def votes_wanted(self, stratum: str) -> int:
        """How many votes an item of a stratum gets where nobody disagrees.

        What somebody asked in the arena is judged by them alone, unless its stratum is named.
        """
        default = 1 if stratum == ARENA_STRATUM else self.overlap.votes
        return self.overlap.by_stratum.get(stratum, default)


def read_project(path: Path) -> Project:
    """The project a YAML file describes; files it names are found from where it stands.

    Raises:
        ValueError: the file is no project; every fault is named with its key.
    """
    return make_config(Project, read_yaml(path), str(path))


@functools.lru_cache(maxsize=64)
def project_of(config_json: str) -> Project:
    """The project as the store keeps it."""
    return Project.model_validate_json(config_json)


def guideline_text(project: Project, folder: Path) -> str:
    """The guidelines' text, from the file if they stand in one.

    Raises:
        ValueError: the file is missing or empty.
    """
    guidelines = project.guidelines
    if guidelines.text:
        return guidelines.text
    file = folder / guidelines.file
    if not file.is_file():
        raise ValueError(f"guidelines.file: {file}: no such file; expected Markdown text")
    text = file.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError(f"guidelines.file: {file}: is empty; expected Markdown text")
    return text

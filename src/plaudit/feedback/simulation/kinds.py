"""Kinds of simulated raters, and the mix a pool is made of: what stands in ``mix.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from plaudit.config import Config, make_config, read_yaml

Strategy = Literal["honest", "random", "first", "last", "alternating", "longest", "ties"]
"""Only the honest look at what is said; the others go by chance, place, turn or length."""

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class RaterKind(Config):
    """How raters of one kind judge. Utilities are in the unit of the items' own."""

    name: str
    """Stands in reports."""
    count: Annotated[int, Field(ge=1)] = 1
    """How many raters of this kind there are."""
    strategy: Strategy = "honest"
    """honest, or one that never looks: random, first (always the left), last, alternating (left,
    right, left, ...), longest (always the longer) or ties."""
    noise: NonNegative = 0.5
    """Scale of the error in each candidate's utility as the rater sees it."""
    model: Literal["thurstone", "bradley_terry"] = "thurstone"
    """Law of that error: normal with standard deviation noise (Thurstone's case V), or Gumbel with
    scale noise, which makes differences logistic (Bradley-Terry, Plackett-Luce)."""
    left_bias: float = 0.0
    """Utility the first place has over the last."""
    length_bias: float = 0.0
    """Utility that twice the length is worth."""
    fatigue: NonNegative = 0.0
    """By what part of itself noise grows in a hundred judgments of a session."""
    lapse: Share = 0.0
    """Probability of answering at random, once in a while."""
    lazy_ties: Share = 0.0
    """Probability of calling it a tie rather than think."""
    tie_band: NonNegative = 0.0
    """Differences seen that are smaller than this are called ties."""
    strength_step: Positive = 1.0
    """Differences seen below one step are slight, below two steps plain, and larger ones strong."""
    group: str = ""
    """Whose utilities the rater has, where the items' utilities differ by group; empty for all."""
    seconds: Positive = 8.0
    """Median time to decide, beside reading."""
    seconds_spread: NonNegative = 0.4
    """Standard deviation of the logarithm of that time."""
    characters_per_second: NonNegative = 0.0
    """Reading speed; 0 where the rater's time does not depend on the text."""
    skip_rate: Share = 0.0
    """Probability of skipping."""
    undo_rate: Share = 0.0
    """Probability of taking the last judgment back, and giving it anew."""
    draft_rate: Share = 0.0
    """Probability of saving a draft before submitting."""
    reload_rate: Share = 0.0
    """Probability of asking for the task again before answering, as one who reloads the page."""

    @model_validator(mode="after")
    def _only_the_honest_look(self) -> RaterKind:
        ignored = {"noise", "left_bias", "length_bias", "fatigue", "lapse", "tie_band"}
        if self.strategy != "honest" and (given := sorted(ignored & self.model_fields_set)):
            raise ValueError(
                f"{', '.join(given)}: do not apply to strategy {self.strategy}, which looks at "
                "nothing; leave them out"
            )
        return self


class Mix(Config):
    """A pool of raters."""

    raters: tuple[RaterKind, ...] = Field(min_length=1)
    """The kinds, each with its count."""
    seed: int = 0
    """Of all that they do."""

    @model_validator(mode="after")
    def _name_them_apart(self) -> Mix:
        names = [kind.name for kind in self.raters]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"raters: {twice[0]} is there twice; give each kind its own name")
        return self

    def each(self) -> Iterator[RaterKind]:
        """The kind of every rater of the pool, in order."""
        for kind in self.raters:
            for _ in range(kind.count):
                yield kind


def read_mix(path: Path) -> Mix:
    """The pool that a YAML file describes.

    Raises:
        ValueError: the file, or an option in it, is wrong.
    """
    return make_config(Mix, read_yaml(path), str(path))

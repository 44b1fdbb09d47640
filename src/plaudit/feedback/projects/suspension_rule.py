"""When a project suspends raters by itself."""

from __future__ import annotations

from pydantic import Field

from plaudit.config import Config


class SuspensionRule(Config):
    """Raters who are very likely wrong too often where the answer is known are suspended, until a
    lead resumes them; whom a lead has resumed the rule leaves alone."""

    gold_accuracy: float = Field(default=0.7, gt=0, lt=1)
    """The share of gold items a rater must get right."""
    certainty: float = Field(default=0.95, gt=0.5, lt=1)
    """How likely it must be that a rater stays below that."""
    fewest: int = Field(default=10, ge=1)
    """Gold items judged before the rule applies."""

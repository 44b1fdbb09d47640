"""Simulated raters: what they see, how they answer, and a client that drives the real server."""

from plaudit.feedback.simulation.answering import Given, Task, respond
from plaudit.feedback.simulation.client import (
    HttpLine,
    Line,
    RaterClient,
    Refused,
    Reply,
    Unreachable,
)
from plaudit.feedback.simulation.kinds import Mix, RaterKind, read_mix
from plaudit.feedback.simulation.perception import seen_utilities, strengths
from plaudit.feedback.simulation.sitting import Seat, Tally, Terms, sit, work
from plaudit.feedback.simulation.truths import (
    Truth,
    Truths,
    read_items,
    truths_of_items,
    truths_of_scorer,
)

__all__ = [
    "Given",
    "HttpLine",
    "Line",
    "Mix",
    "RaterClient",
    "RaterKind",
    "Refused",
    "Reply",
    "Seat",
    "Tally",
    "Task",
    "Terms",
    "Truth",
    "Truths",
    "Unreachable",
    "read_items",
    "read_mix",
    "respond",
    "seen_utilities",
    "sit",
    "strengths",
    "truths_of_items",
    "truths_of_scorer",
    "work",
]

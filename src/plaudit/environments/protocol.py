"""What answers a policy between its turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from plaudit.records import Message, Messages, Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A turn of the policy as it was read, and what follows it."""

    turn: Message
    """With its text as content where it could not be read."""
    results: Messages
    """Never none: a tool's results, or what a user says next."""


class Environment(Protocol):
    """Answers a policy, turn after turn, until a turn is final."""

    def is_final(self, text: str) -> bool:
        """Whether the response ends with this turn; asked of every turn that was not cut."""
        ...

    def reply(self, prompt: Prompt, turns: Messages, text: str) -> Reply:
        """What follows a turn that is not final; ``turns`` came between it and the prompt."""
        ...

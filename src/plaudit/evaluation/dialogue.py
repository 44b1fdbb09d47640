"""How turns are shown to people: what was said as text, tool calls as code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plaudit.records import Message, Prompt, Rollout
from plaudit.text import parse_assistant

LONGEST_RESULT = 240  # characters of a tool's result that are shown


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownTurn:
    """One turn, to be escaped and set in a page."""

    role: str
    said: str
    """What was said; empty where the turn only calls tools."""
    calls: tuple[str, ...]
    """Tool calls as ``name(argument="value")``."""
    broken: bool = False
    """A call was begun that cannot be read; ``said`` holds all of it as it was written."""


def messages_of(prompt: Prompt) -> list[dict[str, Any]]:
    """What was asked, as messages, for people to read."""
    content = prompt.content
    asked = (Message(role="user", content=content),) if isinstance(content, str) else content
    return [message.model_dump(mode="json") for message in asked]


def shown_rollout(rollout: Rollout) -> dict[str, Any]:
    """An answer as files of answers hold it: its text, and all its turns where it has several."""
    turns = [message.model_dump(mode="json") for message in rollout.messages]
    return {"text": rollout.text, **({"turns": turns} if turns else {})}


def shown_message(message: Message) -> ShownTurn:
    """A message of the conversation; long tool results are cut."""
    said = message.content
    if message.role == "tool" and len(said) > LONGEST_RESULT:
        said = said[:LONGEST_RESULT] + " …"
    calls = tuple(_call(call.name, call.arguments) for call in message.tool_calls)
    return ShownTurn(role=message.role, said=said, calls=calls)


def shown_answer(text: str) -> ShownTurn:
    """A turn as a policy wrote it."""
    try:
        return shown_message(parse_assistant(text))
    except ValueError:
        return ShownTurn(role="assistant", said=text, calls=(), broken=True)


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    given = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return f"{name}({', '.join(given)})"

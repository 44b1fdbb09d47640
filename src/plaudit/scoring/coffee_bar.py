"""Reward functions for the coffee bar's assistant, in TRL's signature: tool calls by rule.

Name them as ``plaudit.scoring.coffee_bar:broken_call`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from plaudit.assets import shipped
from plaudit.records import Message, ToolCall
from plaudit.scoring.tool_calls import ToolChecks, Tools, check_turn, load_tools

Chat = Sequence[dict[str, Any]]


def broken_call(prompts: Sequence[Chat], completions: Sequence[Chat], **_: Any) -> list[float]:
    """1 for a turn with a tool call that does not parse, fit its schema, or stand to reason."""
    return [float(not found.valid) for found in _checks(prompts, completions)]


def unbroken(prompts: Sequence[Chat], completions: Sequence[Chat], **_: Any) -> list[float]:
    """1 for a turn without such a call."""
    return [float(found.valid) for found in _checks(prompts, completions)]


def no_call(prompts: Sequence[Chat], completions: Sequence[Chat], **_: Any) -> list[float]:
    """1 for a turn that calls no tool."""
    return [float(not found.calls) for found in _checks(prompts, completions)]


def valid_call(prompts: Sequence[Chat], completions: Sequence[Chat], **_: Any) -> list[float]:
    """1 for a turn that calls a tool, and rightly."""
    return [float(found.calls and found.valid) for found in _checks(prompts, completions)]


@cache
def _tools() -> Tools:
    path = shipped("plaudit/coffee-bar/tools.json")
    assert path is not None
    return load_tools(path)


def _checks(prompts: Sequence[Chat], completions: Sequence[Chat]) -> Iterator[ToolChecks]:
    for prompt, completion in zip(prompts, completions, strict=True):
        context = tuple(_message(said) for said in prompt)
        yield check_turn(completion[0]["content"], context, _tools())


def _message(said: dict[str, Any]) -> Message:
    """A message in OpenAI's shape, as ours."""
    calls = [call["function"] for call in said.get("tool_calls", [])]
    return Message(
        role=said["role"],
        content=said["content"],
        tool_calls=tuple(ToolCall(name=c["name"], arguments=c["arguments"]) for c in calls),
    )

"""Tool calls in what a model wrote: a sampled turn read back into a message."""

from __future__ import annotations

import json
from typing import Any

from plaudit.records import Message, ToolCall

CALL = "<|call|>"
_HERMES_OPEN, _HERMES_CLOSE = "<tool_call>", "</tool_call>"


def parse_assistant(text: str) -> Message:
    """Read a sampled turn back into a message, tool calls included.

    Understands nano's ``<|call|>name {json}`` and Hermes' ``<tool_call>{json}</tool_call>``, which
    Qwen and others use.

    Raises:
        ValueError: a tool call is begun but is not a name with a JSON object of arguments.
    """
    if CALL in text:
        content, *calls = text.split(CALL)
        return _message(content, [_parse_call(*call.strip().partition(" ")[::2]) for call in calls])
    if _HERMES_OPEN in text:
        content, *blocks = text.split(_HERMES_OPEN)
        parsed = [_parse_hermes(block) for block in blocks]
        said = [content, *(after for _, after in parsed)]
        words = "\n".join(part.strip() for part in said if part.strip())
        return _message(words, [call for call, _ in parsed])
    return _message(text, [])


def _message(content: str, calls: list[ToolCall]) -> Message:
    return Message(role="assistant", content=content.strip(), tool_calls=tuple(calls))


def _parse_hermes(block: str) -> tuple[ToolCall, str]:
    """The call, and what the model said after it."""
    body, closed, after = block.partition(_HERMES_CLOSE)
    value = _parse_object(body) if closed else None
    if value is None or not isinstance(value.get("name"), str):
        raise ValueError(f"not a tool call: {block.strip()[:80]!r}")
    return _parse_call(value["name"], json.dumps(value.get("arguments", {}))), after


def _parse_call(name: str, arguments: str) -> ToolCall:
    value = _parse_object(arguments)
    if value is None or not name:
        raise ValueError(f"not a tool call: {name} {arguments[:80]}")
    return ToolCall(name=name, arguments=value)


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):  # what a model writes may be nested without end
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

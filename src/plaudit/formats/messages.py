"""Messages as rows hold them: OpenAI's shape with tool calls, and ShareGPT's.

OpenAI: ``{"role": "system|user|assistant|tool", "content": "..."}``; an assistant's may have
``"tool_calls": [{"type": "function", "function": {"name", "arguments": {...} or "{...}"}}]``, and
its content may then be null. ShareGPT: ``{"from": "human|gpt|system|...", "value": "..."}``.

``name``, ``tool_call_id`` and a call's ``id`` are passed over: a tool's result follows its call.
Any other key with something in it (reasoning, weights, images) is an error, not ignored.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from plaudit.formats.files import Row
from plaudit.records import Message, Messages, Role, Text, ToolCall

MESSAGES = '[{"role": "user", "content": "..."}, ...] or [{"from": "human", "value": "..."}, ...]'
MESSAGE = '{"role": "system|user|assistant|tool", "content": "..."}'
CALL = '"tool_calls": [{"type": "function", "function": {"name", "arguments": {...} or "{...}"}}]'
SHAREGPT = '{"from": "human|gpt|system|function_call|observation", "value": "..."}'
_SPEAKERS: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
}


def read_messages(row: Row, field: str) -> Messages:
    """The messages of a column, never none.

    Raises:
        ValueError: the column is not a list of messages in one of the two shapes.
    """
    value = row.value.get(field)
    if not isinstance(value, list):
        row.fail(f"{field} is {shown(value)}", MESSAGES)
    if not value:
        row.fail(f"{field} is empty", MESSAGES)
    return tuple(_message(row, f"{field}[{i}]", message) for i, message in enumerate(value))


def answered(messages: Messages) -> Messages:
    """The messages up to the assistant's last: nothing answers what follows it."""
    last = max((i for i, m in enumerate(messages) if m.role == "assistant"), default=-1)
    return messages[: last + 1]


def alike(prompt: Text, responses: Sequence[Text]) -> tuple[Text, tuple[Text, ...]]:
    """All of them text, or all messages, as rows for training are: where any holds messages, a text
    is the user's, or as a response the assistant's."""
    if all(isinstance(text, str) for text in (prompt, *responses)):
        return prompt, tuple(responses)
    return _as_messages(prompt, "user"), tuple(_as_messages(r, "assistant") for r in responses)


def _as_messages(text: Text, role: Role) -> Messages:
    return (Message(role=role, content=text),) if isinstance(text, str) else text


def shown(value: Any) -> str:
    """A wrong value as an error names it, cut short."""
    text = "missing or null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _message(row: Row, place: str, value: Any) -> Message:
    if not isinstance(value, dict):
        row.fail(f"{place} is {shown(value)}", MESSAGE)
    if "from" in value:
        return _sharegpt_message(row, place, value)
    _refuse_others(row, place, value, {"role", "content", "tool_calls", "name", "tool_call_id"})
    role, content = _role(row, place, value.get("role")), value.get("content")
    calls = value.get("tool_calls") or []
    if calls and (role != "assistant" or not isinstance(calls, list)):
        row.fail(f"{place} is not an assistant's message with a list of tool calls", CALL)
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        row.fail(f"{place} has the content {shown(content)}", MESSAGE)
    return Message(
        role=role, content=content, tool_calls=tuple(_call(row, place, call) for call in calls)
    )


def _role(row: Row, place: str, value: Any) -> Role:
    match value:
        case "system" | "user" | "assistant" | "tool" as role:
            return role
    row.fail(f"{place} has the role {shown(value)}", MESSAGE)


def _call(row: Row, place: str, call: Any) -> ToolCall:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        row.fail(f"{place} has the tool call {shown(call)}", CALL)
    _refuse_others(row, f"{place}.tool_calls", call, {"type", "function", "id", "index"})
    if call.get("type", "function") != "function":
        row.fail(f"{place} has a tool call of type {shown(call['type'])}", CALL)
    _refuse_others(row, f"{place}.tool_calls.function", call["function"], {"name", "arguments"})
    return _tool_call(row, place, call["function"], CALL)


def _tool_call(row: Row, place: str, function: dict[str, Any], expected: str) -> ToolCall:
    name, arguments = function.get("name"), function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _parsed(row, place, arguments, expected)
    # A model may call a tool without a name; that turn was judged, so it is kept.
    if not isinstance(name, str):
        row.fail(f"{place} calls a tool named {shown(name)}", expected)
    if not isinstance(arguments, dict):
        row.fail(f"{place} calls {name} with the arguments {shown(arguments)}", expected)
    return ToolCall(name=name, arguments=arguments)


def _sharegpt_message(row: Row, place: str, value: dict[str, Any]) -> Message:
    _refuse_others(row, place, value, {"from", "value"})
    speaker, text = value["from"], value.get("value")
    if not isinstance(text, str):
        row.fail(f"{place} has the value {shown(text)}", SHAREGPT)
    if speaker == "function_call":
        function = _parsed(row, place, text, SHAREGPT)
        if not isinstance(function, dict):
            row.fail(f"{place} has the function call {shown(text)}", '{"name", "arguments"}')
        call = _tool_call(row, place, function, '{"name": "...", "arguments": {...}}')
        return Message(role="assistant", tool_calls=(call,))
    if not isinstance(speaker, str) or speaker not in _SPEAKERS:
        row.fail(f"{place} is from {shown(speaker)}", SHAREGPT)
    return Message(role=_SPEAKERS[speaker], content=text)


def _refuse_others(row: Row, place: str, value: dict[str, Any], known: Collection[str]) -> None:
    others = [key for key in value if key not in known and value[key] not in (None, "", [], {})]
    if others:
        row.fail(f"{place} has {', '.join(others)}, not supported yet", ", ".join(sorted(known)))


def _parsed(row: Row, place: str, text: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row.fail(f"{place} has a tool call with broken JSON ({error.msg})", expected)

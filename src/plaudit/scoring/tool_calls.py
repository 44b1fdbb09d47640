"""Rule checks of tool calls: they need no model and cannot be talked round.

Tools are described in OpenAI's shape (``{"type": "function", "function": {"name", "parameters":
JSON Schema}}``). A property marked ``"x-from-context": true`` holds an identifier that must stand
somewhere in the conversation, whole: a model that makes one up or cuts one short is caught.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from plaudit.records import Message, Messages, Rollout, ToolCall
from plaudit.text import parse_assistant

Tools = Mapping[str, Draft202012Validator]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolChecks:
    """What the rules say of one turn, or of all turns of a response."""

    calls: bool
    """A tool is called, or tried to be."""
    parses: bool
    """Every call is a name with a JSON object."""
    fits_schema: bool
    """Every tool exists and its arguments fit its schema."""
    grounded: bool
    """Every identifier stands in the conversation."""

    @property
    def valid(self) -> bool:
        return self.parses and self.fits_schema and self.grounded


def load_tools(path: Path) -> Tools:
    """Validators by tool name.

    Raises:
        ValueError: the file is not a list of functions with JSON Schemas.
    """
    try:
        functions = [tool["function"] for tool in json.loads(path.read_text(encoding="utf-8"))]
        for function in functions:
            Draft202012Validator.check_schema(function["parameters"])
        return {f["name"]: Draft202012Validator(f["parameters"]) for f in functions}
    except (OSError, ValueError, KeyError, TypeError, SchemaError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: expected a JSON list of tools in OpenAI's shape ({reason})"
        ) from error


def check_response(rollout: Rollout, tools: Tools) -> ToolChecks:
    """Check every turn the policy wrote, each against the conversation before it.

    Raises:
        ValueError: the prompt is plain text, in which no tool can be called.
    """
    asked = rollout.prompt.content
    if isinstance(asked, str):
        raise ValueError(
            f"{rollout.prompt.id}: plain text; tools are called in conversations, so tool_calls "
            "cannot be checked here"
        )
    said = rollout.messages or (Message(role="assistant", content=rollout.text),)
    found = [
        _check(turn, (*asked, *said[:i]), tools)
        for i, turn in enumerate(said)
        if turn.role == "assistant"
    ]
    return ToolChecks(
        calls=any(one.calls for one in found),
        parses=all(one.parses for one in found),
        fits_schema=all(one.fits_schema for one in found),
        grounded=all(one.grounded for one in found),
    )


def read_turn(turn: Message) -> Message:
    """The assistant's turn with its calls, also where they stand in its text as it wrote them.

    Raises:
        ValueError: a call cannot be read.
    """
    return turn if turn.tool_calls else parse_assistant(turn.content)


def check_turn(text: str, context: Messages, tools: Tools) -> ToolChecks:
    """Check one sampled turn against the tools and the conversation before it."""
    return _check(Message(role="assistant", content=text), context, tools)


def _check(turn: Message, context: Messages, tools: Tools) -> ToolChecks:
    try:
        calls = read_turn(turn).tool_calls
    except ValueError:
        return ToolChecks(calls=True, parses=False, fits_schema=False, grounded=False)
    said = "\n".join(_written(context))
    return ToolChecks(
        calls=bool(calls),
        parses=True,
        fits_schema=all(_fits(call, tools) for call in calls),
        grounded=all(_grounded(call, tools, said) for call in calls),
    )


def _fits(call: ToolCall, tools: Tools) -> bool:
    return call.name in tools and tools[call.name].is_valid(call.arguments)


def _grounded(call: ToolCall, tools: Tools, said: str) -> bool:
    if call.name not in tools:
        return False
    schema: Any = tools[call.name].schema
    return all(_stands_in(said, value) for value in _identifiers(call.arguments, schema))


def _stands_in(text: str, identifier: str) -> bool:
    """Whole: ``latte-12`` does not stand in ``latte-1234``."""
    return re.search(rf"(?<![\w-]){re.escape(identifier)}(?![\w-])", text) is not None


def _identifiers(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """The values of all properties the schema marks, walking both together."""
    if schema.get("x-from-context"):
        yield str(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _identifiers(inner, schema.get("properties", {}).get(name, {}))
    elif isinstance(value, list):
        for item in value:
            yield from _identifiers(item, schema.get("items", {}))


def _written(context: Messages) -> Iterator[str]:
    for message in context:
        yield message.content
        for call in message.tool_calls:
            yield json.dumps(call.arguments, ensure_ascii=False)

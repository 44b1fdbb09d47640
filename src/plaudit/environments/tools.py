"""Tools by name: calls checked against their schemas, and every failure told to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from pydantic import JsonValue

from plaudit.environments.protocol import Reply
from plaudit.records import Message, Messages, Prompt, ToolCall
from plaudit.text import parse_assistant

ERROR = "error: "
"""How the result of a call that failed begins."""
MAX_CALLS = 8
"""Answered in one turn; what is called beyond it is an error."""


class ToolError(Exception):
    """A call failed; the message is for the model."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """Something a policy may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""
    call: Callable[[dict[str, JsonValue]], str]
    """From arguments that fit the schema to a text; a ``ToolError`` is told to the model."""

    def described(self) -> dict[str, Any]:
        """In OpenAI's shape, as chat templates take it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}


class Toolbox:
    """An environment of tools: it answers calls, and a turn without a call is final.

    Raises:
        ValueError: there is no tool, two have one name, or one's parameters are no JSON Schema.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        if not tools:
            raise ValueError("an environment needs at least one tool")
        self.tools = tuple(tools)
        self._by_name: dict[str, tuple[Tool, Draft202012Validator]] = {}
        for tool in tools:
            if tool.name in self._by_name:
                raise ValueError(f"two tools are called {tool.name}; rename one")
            self._by_name[tool.name] = tool, _validator(tool)

    def is_final(self, text: str) -> bool:
        try:
            return not parse_assistant(text).tool_calls
        except ValueError:
            return False

    def reply(self, prompt: Prompt, turns: Messages, text: str) -> Reply:
        try:
            turn = parse_assistant(text)
        except ValueError as error:
            result = Message(role="tool", content=f"{ERROR}{error}")
            return Reply(turn=Message(role="assistant", content=text), results=(result,))
        calls, more = turn.tool_calls[:MAX_CALLS], turn.tool_calls[MAX_CALLS:]
        answers = [self.answer(call) for call in calls]
        answers += [f"{ERROR}at most {MAX_CALLS} calls in a turn are answered"] * len(more)
        results = tuple(Message(role="tool", content=text) for text in answers)
        return Reply(turn=turn, results=results)

    def answer(self, call: ToolCall) -> str:
        """The result of a call, or what was wrong with it."""
        if call.name not in self._by_name:
            return f"{ERROR}no tool {call.name}; there are {', '.join(self._by_name)}"
        tool, validator = self._by_name[call.name]
        if fault := best_match(validator.iter_errors(call.arguments)):
            return f"{ERROR}{'.'.join(['arguments', *map(str, fault.path)])}: {fault.message}"
        try:
            return tool.call(dict(call.arguments))
        except ToolError as error:
            return f"{ERROR}{error}"


def _validator(tool: Tool) -> Draft202012Validator:
    try:
        Draft202012Validator.check_schema(dict(tool.parameters))
    except SchemaError as error:
        raise ValueError(
            f"the tool {tool.name}: its parameters are no JSON Schema ({error.message})"
        ) from error
    return Draft202012Validator(dict(tool.parameters))


def text_argument(name: str, description: str) -> dict[str, Any]:
    """The parameters of a tool that takes one text."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1, "description": description}},
        "required": [name],
        "additionalProperties": False,
    }

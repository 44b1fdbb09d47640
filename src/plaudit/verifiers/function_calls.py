"""Verifying function calls against the functions' schemas and the calls expected.

The shapes are those of the Berkeley Function-Calling Leaderboard (Patil et al. 2025): one call of
one function (simple) or of several (multiple), several calls in any order (parallel), and none at
all where no function fits (irrelevance).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from plaudit.records import ToolCall
from plaudit.text import parse_assistant
from plaudit.verifiers.answers import answer_part, expected
from plaudit.verifiers.registry import Columns
from plaudit.verifiers.structures import unfenced

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}
_LOOSE = re.compile(r"[ ,./\-_*^]")


def function_calls(
    response: str,
    columns: Columns,
    *,
    column: str = "answer",
    functions_column: str = "functions",
    tag: str = "",
) -> float:
    """1 if the response calls what is expected, with arguments that fit, and nothing else.

    Calls are read in Hermes' and nano's forms, as JSON (one call, a list, OpenAI's shape) and as
    Python (``[f(a=1), g()]``).

    Args:
        column: the calls expected: ``[{name: {parameter: [each value that is right]}}]``, where
            ``""`` among the values lets the parameter be left out; or ``[{"name", "arguments"}]``;
            or ``[]`` where none must be made.
        functions_column: the functions, ``{"name", "parameters": JSON Schema}`` or OpenAI's tools.
    """
    wanted = [_wanted(call) for call in _listed(columns, column)]
    schemas = dict(_schema(function) for function in _listed(columns, functions_column))
    calls = read_calls(answer_part(response, tag) or "")
    if calls is None or len(calls) != len(wanted):
        return 0.0
    if not all(call.name in schemas and _fits(call, schemas[call.name]) for call in calls):
        return 0.0
    return float(_assigned(calls, wanted))


def read_calls(text: str) -> list[ToolCall] | None:
    """The calls a response makes: none where it makes none, None where one cannot be read."""
    try:
        if calls := parse_assistant(text).tool_calls:
            return list(calls)
    except ValueError:
        return None
    bare = unfenced(text)
    for read in (_from_json, _from_python):
        if (found := read(bare)) is not None:
            return found
    return []


def _from_json(text: str) -> list[ToolCall] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = [_json_call(one) for one in (value if isinstance(value, list) else [value])]
    return None if any(call is None for call in found) else [call for call in found if call]


def _json_call(value: Any) -> ToolCall | None:
    """``{"name", "arguments"}``, ``{"function": ...}`` or ``{name: arguments}``."""
    if not isinstance(value, dict):
        return None
    value = value.get("function", value)
    if not isinstance(value, dict):
        return None
    if "name" in value:
        name, arguments = value["name"], value.get("arguments", value.get("parameters", {}))
    elif len(value) == 1:
        ((name, arguments),) = value.items()
    else:
        return None
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return ToolCall(name=name, arguments=arguments)


def _from_python(text: str) -> list[ToolCall] | None:
    """Calls with named literal arguments."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    try:
        return [_python_call(node) for node in nodes]
    except ValueError:
        return None


def _python_call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args or any(k.arg is None for k in node.keywords):
        raise ValueError("not a call with named arguments")
    arguments = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
    # Through JSON, which has no tuples, as the expected values come.
    return ToolCall(name=ast.unparse(node.func), arguments=json.loads(json.dumps(arguments)))


def _listed(columns: Columns, column: str) -> list[Any]:
    value = columns.get(column) if columns.get(column) == [] else expected(columns, column)
    value = json.loads(value) if isinstance(value, str) else value
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in found):
        raise ValueError(f"column {column} is {value!r}; expected a list of objects"[:200])
    return found


def _wanted(call: Mapping[str, Any]) -> tuple[str, dict[str, list[Any]]]:
    """A name, and for each parameter the values that are right."""
    if "name" in call and isinstance(call.get("arguments"), dict):
        return call["name"], {name: [value] for name, value in call["arguments"].items()}
    if len(call) != 1:
        raise ValueError(f"{call!r} is no expected call; expected name and parameters"[:200])
    ((name, parameters),) = call.items()
    return name, {n: v if isinstance(v, list) else [v] for n, v in parameters.items()}


def _schema(function: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    function = function.get("function", function)
    if "name" not in function:
        raise ValueError(f"{function!r} is no function; expected name and parameters"[:200])
    return function["name"], _as_json_schema(function.get("parameters") or {})


def _as_json_schema(schema: Any) -> Any:
    """The leaderboard writes Python's types where JSON Schema has its own."""
    if isinstance(schema, list):
        return [_as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            value = _TYPES.get(value.lower(), value.lower())
            if value is None:
                continue
        elif key == "properties" and isinstance(value, dict):
            value = {name: _as_json_schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties", "anyOf", "oneOf", "allOf"):
            value = _as_json_schema(value)
        found[key] = value
    return found


def _fits(call: ToolCall, schema: dict[str, Any]) -> bool:
    known = schema.get("properties")
    invented = known is not None and set(call.arguments) - set(known)
    return not invented and Draft202012Validator(schema).is_valid(call.arguments)


def _assigned(calls: Sequence[ToolCall], wanted: Sequence[tuple[str, dict[str, list]]]) -> bool:
    """Whether calls and expectations can be paired off, in any order."""
    if not calls:
        return True
    return any(
        calls[0].name == name
        and _meets(calls[0].arguments, parameters)
        and _assigned(calls[1:], [*wanted[:i], *wanted[i + 1 :]])
        for i, (name, parameters) in enumerate(wanted)
    )


def _meets(arguments: Mapping[str, Any], parameters: Mapping[str, list[Any]]) -> bool:
    given = all(
        name in parameters and any(_same(value, right) for right in parameters[name])
        for name, value in arguments.items()
    )
    return given and all(name in arguments or "" in right for name, right in parameters.items())


def _same(value: Any, right: Any) -> bool:
    """Equal, but for case, spaces and punctuation in texts; 1 is 1.0, and no number is true."""
    if isinstance(value, str) and isinstance(right, str):
        return _plain(value) == _plain(right)
    if isinstance(value, bool) or isinstance(right, bool):
        return value is right
    if isinstance(value, list) and isinstance(right, list):
        pairs = zip(value, right, strict=False)
        return len(value) == len(right) and all(_same(a, b) for a, b in pairs)
    if isinstance(value, dict) and isinstance(right, dict):
        # Inside objects the leaderboard lists the right values again.
        return _meets(value, {n: r if isinstance(r, list) else [r] for n, r in right.items()})
    return value == right


def _plain(text: str) -> str:
    return _LOOSE.sub("", text).casefold().replace("'", '"')

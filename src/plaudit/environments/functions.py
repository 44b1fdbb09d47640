"""Any typed Python function as a tool: its signature and docstring are the description."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from plaudit.environments.tools import Tool, ToolError
from plaudit.scoring.functions import imported

_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^ {1,8}(\w+)(?: \([^)]*\))?: *(.*)$")


def function_tool(function: Callable[..., Any] | str) -> Tool:
    """A tool that calls a function.

    The schema comes from the parameters' annotations, the descriptions from the docstring
    (Google's style: a first paragraph, then ``Args:``). What it returns is given to the model as
    it stands where it is text, else as JSON; what it raises is told to the model.

    Args:
        function: the function, or where to import it from: ``package.module:name``.

    Raises:
        ValueError: it cannot be imported, has no docstring, or a parameter has no annotation or
            one that JSON cannot hold.
    """
    found = imported(function) if isinstance(function, str) else function
    documentation = inspect.getdoc(found)
    if not documentation:
        raise ValueError(f"{_name(found)}: a tool needs a docstring, which tells the model of it")
    model = _arguments(found, _described_arguments(documentation))
    schema = model.model_json_schema()
    for described in (schema, *schema["properties"].values()):
        described.pop("title", None)  # pydantic's, which says the name again
    return Tool(
        name=_name(found),
        description=" ".join(documentation.split("\n\n")[0].split()),
        parameters=schema,
        call=lambda arguments: _called(found, model, arguments),
    )


def _arguments(function: Callable[..., Any], described: dict[str, str]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if not named or name not in hints:
            raise ValueError(
                f"{_name(function)}: the parameter {name} needs a name and a type annotation"
            )
        default: Any = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], Field(default, description=described.get(name)))
    strict = ConfigDict(extra="forbid")
    try:
        return create_model("Arguments", __config__=strict, **fields)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ValueError(f"{_name(function)}: {str(error).splitlines()[0]}") from error


def _called(
    function: Callable[..., Any], model: type[BaseModel], arguments: dict[str, JsonValue]
) -> str:
    try:
        checked = model.model_validate(arguments)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(["arguments", *map(str, fault["loc"])])
        raise ToolError(f"{place}: {fault['msg']}") from error
    values = {name: getattr(checked, name) for name in type(checked).model_fields}
    try:
        result = function(**values)
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    except Exception as error:  # the user's own code, and whatever it raises is for the model
        raise ToolError(f"{type(error).__name__}: {error}") from error


def _described_arguments(documentation: str) -> dict[str, str]:
    """The lines of the docstring's ``Args:``, by argument; a line that goes on is joined."""
    section = _SECTION.search(documentation)
    described: dict[str, str] = {}
    name = None
    for line in documentation[section.end() :].splitlines() if section else []:
        if found := _ARGUMENT.match(line):
            name = found[1]
            described[name] = found[2].strip()
        elif line and not line.startswith(" "):
            break
        elif name is not None:
            described[name] = f"{described[name]} {line.strip()}".strip()
    return described


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)

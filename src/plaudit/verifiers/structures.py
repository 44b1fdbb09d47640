"""Verifiers of structured answers: JSON against a schema."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from plaudit.verifiers.answers import answer_part, expected
from plaudit.verifiers.registry import Columns

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def json_schema(
    response: str,
    columns: Columns,
    *,
    column: str = "schema",
    answer_column: str = "",
    tag: str = "",
) -> float:
    """1 if the response is JSON that fits the row's JSON Schema; a Markdown fence may hold it.

    Args:
        column: where the schema stands, as an object or as text.
        answer_column: where to find the value it must equal as well.
    """
    value = expected(columns, column)
    schema: Any = json.loads(value) if isinstance(value, str) else value
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"column {column} is no JSON Schema ({error.message})") from error
    try:
        found = json.loads(unfenced(answer_part(response, tag) or ""))
    except (ValueError, RecursionError):
        return 0.0
    fits = Draft202012Validator(schema).is_valid(found)
    return float(fits and (not answer_column or found == expected(columns, answer_column)))


def unfenced(text: str) -> str:
    """What stands in the last Markdown fence, or the text itself."""
    found = _FENCED.findall(text)
    return (found[-1] if found else text).strip()

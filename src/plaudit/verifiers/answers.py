"""What verifiers read: the expected answer of a row, and the answer's part of a response."""

from __future__ import annotations

import re

from pydantic import JsonValue

from plaudit.verifiers.registry import Columns


def expected(columns: Columns, column: str) -> JsonValue:
    """The row's column that says what is right.

    Raises:
        ValueError: the row has no such column, or nothing in it.
    """
    value = columns.get(column)
    if value is None or value == "":
        raise ValueError(f"the prompt's row has no column {column}")
    return value


def expected_texts(columns: Columns, column: str) -> list[str]:
    """The answers that are right: one, or any of a list.

    Raises:
        ValueError: as ``expected``, or an answer is neither text nor a number.
    """
    value = expected(columns, column)
    answers = value if isinstance(value, list) else [value]
    if not answers or any(isinstance(a, list | dict) or a is None for a in answers):
        raise ValueError(f"column {column} is {value!r}; expected a text, a number or a list"[:200])
    return [str(answer) for answer in answers]


def answer_part(response: str, tag: str) -> str | None:
    """What stands in the last ``<tag>...</tag>``, or the whole response where no tag is named.

    None where the tag is missing: the response then gives no answer, which is wrong.
    """
    if not tag:
        return response.strip()
    found = re.findall(rf"<{re.escape(tag)}>(.*?)</{re.escape(tag)}>", response, re.DOTALL)
    return found[-1].strip() if found else None

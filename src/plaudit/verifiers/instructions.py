"""Verifying instructions about a response's form: IFEval's 25 kinds (arXiv:2311.07911)."""

from __future__ import annotations

import json
from typing import Any

from plaudit.config import nearest
from plaudit.verifiers.answers import expected
from plaudit.verifiers.instruction_kinds import KINDS
from plaudit.verifiers.registry import Columns


def instructions(
    response: str,
    columns: Columns,
    *,
    column: str = "instruction_id_list",
    arguments_column: str = "kwargs",
    partial: bool = False,
    loose: bool = False,
) -> float:
    """1 if the response follows all of its row's instructions, 0 if not.

    Args:
        column: the instructions' names, such as ``["punctuation:no_comma"]``.
        arguments_column: for each of them its arguments; those that are null are left out.
        partial: the share that is followed, in place of all or nothing.
        loose: take the response also without its first line, its last line, both, and without
            asterisks, as IFEval's loose accuracy does.

    Raises:
        ValueError: an instruction is unknown, or its arguments are wrong.
    """
    names, arguments = expected(columns, column), columns.get(arguments_column)
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(names, list) or not isinstance(arguments, list):
        raise ValueError(f"columns {column} and {arguments_column}: expected two lists")
    if len(names) != len(arguments):
        raise ValueError(f"{len(names)} instructions but {len(arguments)} sets of arguments")
    texts = _loosely(response) if loose else [response]
    followed = [
        any(_follows(text, str(name), given) for text in texts)
        for name, given in zip(names, arguments, strict=True)
    ]
    return sum(followed) / len(followed) if partial else float(all(followed))


def _follows(text: str, name: str, given: Any) -> bool:
    if name not in KINDS:
        raise ValueError(f"{name}: no such instruction{nearest(name, KINDS)}")
    said = {key: value for key, value in (given or {}).items() if value is not None}
    try:
        return bool(text.strip()) and KINDS[name](text, **said)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _loosely(text: str) -> list[str]:
    lines = text.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    forms = [text, *cut]
    return forms + [form.replace("*", "") for form in forms]

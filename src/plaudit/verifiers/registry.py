"""Verifiers by name, and their options, checked against the function's own signature."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast, get_type_hints

from pydantic import JsonValue, create_model

from plaudit.config import Config, make_config, nearest
from plaudit.records import Invalid

Columns = Mapping[str, JsonValue]
"""What the prompt's row says beside the prompt."""
Verifier = Callable[[str, Columns], float | Invalid]

VERIFIERS: Mapping[str, str] = {
    "exact": "plaudit.verifiers.texts:exact",
    "normalised": "plaudit.verifiers.texts:normalised",
    "regex": "plaudit.verifiers.texts:regex",
    "numeric": "plaudit.verifiers.texts:numeric",
    "choice": "plaudit.verifiers.texts:choice",
    "format_tags": "plaudit.verifiers.texts:format_tags",
    "math": "plaudit.verifiers.mathematics:math",
    "python_tests": "plaudit.verifiers.python_tests:python_tests",
    "instructions": "plaudit.verifiers.instructions:instructions",
    "json_schema": "plaudit.verifiers.structures:json_schema",
    "function_calls": "plaudit.verifiers.function_calls:function_calls",
    "reasoning_gym": "plaudit.verifiers.reasoning_tasks:reasoning_gym",
}


def bind_verifier(name: str, options: Mapping[str, Any]) -> Verifier:
    """The verifier of a name (or ``package.module:function``) with its options filled in.

    Raises:
        ValueError: there is none of that name, or an option is unknown or of the wrong type.
    """
    function = _imported(name)
    hints = get_type_hints(function)
    keywords = [
        p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default)
        for p in keywords
    }
    model = create_model(f"{name} options", __base__=Config, **fields)
    checked = make_config(model, options, f"verifier {name}")
    return functools.partial(function, **{field: getattr(checked, field) for field in fields})


def _imported(name: str) -> Callable[..., float | Invalid]:
    if name not in VERIFIERS and ":" not in name:
        raise ValueError(
            f"{name}: no such verifier{nearest(name, VERIFIERS)}; or name a function of your own, "
            "package.module:function"
        )
    module, _, function = VERIFIERS.get(name, name).partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"verifier {name}: cannot be imported ({error})") from error
    if not callable(found):
        raise ValueError(f"verifier {name}: is not a function")
    return cast("Callable[..., float | Invalid]", found)

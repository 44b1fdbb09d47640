"""Fields of request bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError

from plaudit.records import Record

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Of every body: unknown fields are refused, and numbers are finite."""
RecordT = TypeVar("RecordT", bound=Record)


def record_of(cls: type[RecordT]) -> Callable[[Any], RecordT]:
    """A record from what JSON gives: records are strict, and JSON has lists where they have tuples.

    Raises:
        ValueError: it is none; one line says why.
    """

    def read(value: Any) -> RecordT:
        try:
            return cls.model_validate_json(json.dumps(value))
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors()[:3]]
            raise ValueError("; ".join(faults)) from error

    return read

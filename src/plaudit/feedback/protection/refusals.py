"""How requests are refused: which statuses there are, and a ``ValueError`` as one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel

_MEANINGS = {
    400: "Not JSON, or not as the address asks",
    401: "Nobody is signed in",
    403: "Not for this role, or not from our page",
    404: "No such thing among yours",
    409: "In conflict with what stands",
    413: "Too large",
    422: "A field is not as expected",
    429: "Too often",
}


class ErrorBody(BaseModel):
    """What every error says: what is wrong, what was expected, what to do."""

    error: str


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers beside its result, for its description."""
    return {status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in statuses}


@contextmanager
def refused_as(status: int) -> Iterator[None]:
    """Answer a ``ValueError`` of ours with a status and its own words."""
    try:
        yield
    except ValueError as problem:
        raise HTTPException(status, str(problem)) from problem

"""Bodies of requests: counted while they are read, and checked for what no route wants to meet."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

DEPTH = 32
MOST_DIGITS = 400
_LARGEST = 2**53


class TooLarge(HTTPException):
    """More came than is taken, whatever its length said."""


class UnusableBody(ValueError):
    """JSON that is malformed, or that no database can keep."""


def counted(receive: Receive, limit_bytes: int) -> Receive:
    """The same body, which ends in ``TooLarge`` where it grows beyond the limit."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit_bytes:
            raise TooLarge(413, f"the body is larger than {limit_bytes} bytes; send less at once")
        return message

    return receiving


async def read_json(receive: Receive) -> Receive:
    """Read a body whole, check it, and give it again to who asks next.

    Raises:
        UnusableBody: it is not JSON, or ``check`` refuses it.
    """
    pieces, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(pieces)
    if body:
        check(body)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check(body: bytes) -> None:
    """Refuse a body that is not plain JSON of finite numbers and text.

    Raises:
        UnusableBody: it is not UTF-8 or not JSON; it holds NUL, half a surrogate pair, NaN, an
            infinity or an integer beyond 2^53; or it is nested more than 32 deep.
    """
    if _depth(body) > DEPTH:
        raise UnusableBody(f"the body is nested more than {DEPTH} deep; expected less")
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise UnusableBody("the body is not UTF-8; expected JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        raise UnusableBody(f"the body is not JSON: {error.msg} at {error.pos}") from error
    _check_value(value)


def _depth(body: bytes) -> int:
    """At most; brackets within texts count too where there are as many as that."""
    if body.count(b"[") + body.count(b"{") <= DEPTH:
        return 0
    depth = deepest = 0
    in_text = escaped = False
    for byte in body:
        if in_text:
            in_text, escaped = byte != 0x22 or escaped, byte == 0x5C and not escaped
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _check_value(value: object) -> None:
    match value:
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise UnusableBody("the body holds a number beyond 1e308; expected a smaller one")
        case list():
            for inner in value:
                _check_value(inner)
        case dict():
            for key, inner in value.items():
                _check_text(key)
                _check_value(inner)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise UnusableBody("the body holds the character NUL; expected text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnusableBody("the body holds half a surrogate pair; expected text") from error


def _no_constant(name: str) -> NoReturn:
    raise UnusableBody(f"the body holds {name}, which is not JSON; expected a number or null")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS or abs(value := int(digits)) > _LARGEST:
        raise UnusableBody("the body holds an integer beyond 2^53; expected a smaller one")
    return value

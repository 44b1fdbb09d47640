"""What stands before every route: hosts, origins, sizes, what JSON may hold, and how errors look.

Plain ASGI, outermost first: headers of every response, then the request's host and origin, then its
body. A route sees a body that is UTF-8, of bounded size, and JSON that any database can keep.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.feedback.leads.suspension import Watch
from plaudit.feedback.protection.attempts import Attempts
from plaudit.feedback.protection.bodies import TooLarge, UnusableBody, counted, read_json
from plaudit.feedback.protection.security import Known

LOG = logging.getLogger("plaudit.feedback")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_RATING = re.compile(r"/api/projects/[^/]+/(judgments|skips|undo|arena|declined|drafts/[^/]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]|%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How the application is reached, and how much it takes."""

    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Names it answers to, without ports: a page of another name that was made to point here
    (DNS rebinding) is refused."""
    https: bool = False
    """It is reached by https alone, perhaps by way of a proxy: cookies say so, and so does HSTS."""
    remembered_seconds: float = 1.0
    """How long a token that was looked up is taken to hold; 0 for not at all."""
    body_bytes: int = 1 << 20
    import_bytes: int = 1 << 28
    """Of the one route that reads files, ``/import``."""


def protect(app: FastAPI, protection: Protection) -> None:
    """Put all of this before an application's routes, once."""
    app.router.redirect_slashes = False
    app.state.protection = protection
    app.state.attempts = Attempts()
    app.state.watch = Watch()
    app.state.known = Known(protection.remembered_seconds)
    app.add_middleware(_Guard, protection=protection)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _fault)


def _may_change_people(scope: Scope) -> bool:
    """Whether a request may have changed who may do what: nothing that raters do changes that."""
    return scope["method"] not in _SAFE_METHODS and not _RATING.fullmatch(scope["path"])


class _Guard:
    """One ASGI layer; each check is a function that returns what is wrong, or None."""

    def __init__(self, app: ASGIApp, protection: Protection) -> None:
        self.app, self.protection = app, protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            raise RuntimeError(f"a {scope['type']} connection; the application speaks HTTP only")
        send = _with_headers(scope, send, self.protection)
        headers = _headers(scope)
        refused = _refusal(scope, headers, self.protection)
        if refused is None:
            refused, receive = await self._body(scope, headers, receive)
        if refused is not None:
            return await error(*refused)(scope, receive, send)
        try:
            return await self.app(scope, receive, send)
        finally:
            if _may_change_people(scope):
                scope["app"].state.known.clear()

    async def _body(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive
    ) -> tuple[tuple[int, str] | None, Receive]:
        is_import = scope["path"].endswith("/import")
        limit = self.protection.import_bytes if is_import else self.protection.body_bytes
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > limit:
            return (413, f"the body is larger than {limit} bytes; send less at once"), receive
        if is_import:  # read by its route, piece by piece, once it is known who sends it
            return None, counted(receive, limit)
        try:
            return None, await read_json(counted(receive, limit))
        except TooLarge:
            return (413, f"the body is larger than {limit} bytes; send less at once"), receive
        except UnusableBody as problem:
            return (400, str(problem)), receive


def error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as all of them look."""
    return JSONResponse({"error": message}, status, headers=dict(headers or {}))


def _refusal(
    scope: Scope, headers: Mapping[str, str], protection: Protection
) -> tuple[int, str] | None:
    if [name for name, _ in scope["headers"]].count(b"host") != 1:
        return 400, "the request names no host, or several; expected one Host header"
    if _hostname(headers["host"]) not in protection.hosts:
        return 400, "the application does not answer to this Host; tell it by --host-name"
    if _CONTROL.search(scope["path"]) or _CONTROL.search(scope["query_string"].decode("latin-1")):
        return 400, "the address holds control characters; expected none"
    if scope["method"] not in _SAFE_METHODS and not _is_own_page(headers):
        return 403, "the request comes from a page of another origin; open the application itself"
    return None


def _is_own_page(headers: Mapping[str, str]) -> bool:
    """A browser says which origin's page asked; a program says nothing."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers["host"]
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _hostname(host: str) -> str:
    return re.sub(r":\d{1,5}\Z", "", host).lower()


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _with_headers(scope: Scope, send: Send, protection: Protection) -> Send:
    own = dict(HEADERS)
    if protection.https:
        own["strict-transport-security"] = "max-age=31536000"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            kept = {"cache-control": "no-store"} | own
            more = [(k.encode(), v.encode()) for k, v in kept.items() if k.encode() not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _http_error(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    plain = {
        "Not Found": "there is nothing at this address",
        "Method Not Allowed": f"{request.method} is not possible at this address",
    }
    detail = str(problem.detail) or HTTPStatus(problem.status_code).phrase
    return error(problem.status_code, plain.get(detail, detail), problem.headers)


async def _invalid(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, RequestValidationError)
    faults = [f"{_place(fault['loc'])}: {_plain(fault['msg'])}" for fault in problem.errors()[:5]]
    return error(422, "; ".join(faults))


async def _fault(request: Request, problem: Exception) -> JSONResponse:
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=problem)
    return error(500, "the application failed; nothing was recorded, and its log says more")


def _place(location: tuple[int | str, ...]) -> str:
    return json.dumps(".".join(str(part) for part in location[1:])[:100] or str(location[0]))


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")[:300]

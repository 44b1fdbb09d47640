"""A tool behind HTTP: the arguments are posted as JSON, the answer's text is the result.

A policy decides what is sent, so only the one address is ever asked: no redirect is followed, no
proxy is used, and addresses off this machine have to be allowed.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import JsonValue

from plaudit.environments.tools import Tool, ToolError

_MAX_BYTES = 1_000_000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def service_tool(
    name: str, description: Path, url: str, *, timeout_seconds: float, allow_remote: bool
) -> Tool:
    """A tool that a service provides.

    Args:
        description: a JSON file with ``description`` and ``parameters`` (JSON Schema of an object).
        allow_remote: let the address be on another machine.

    Raises:
        ValueError: the description cannot be read, or the address is not http(s) or not allowed.
    """
    _check_address(name, url, allow_remote=allow_remote)
    try:
        found = json.loads(description.read_text(encoding="utf-8"))
        said, parameters = str(found["description"]), dict(found["parameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{description}: expected JSON with description and parameters ({error})"
        ) from error
    return Tool(
        name=name,
        description=said,
        parameters=parameters,
        call=lambda arguments: _post(url, arguments, timeout_seconds),
    )


def _check_address(name: str, url: str, *, allow_remote: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"services.{name}.url: {url} is not an http address")
    if not allow_remote and not _is_this_machine(parts.hostname):
        raise ValueError(
            f"services.{name}.url: {parts.hostname} is not this machine; set allow_remote: true "
            "where a policy may send there what it likes"
        )


def _is_this_machine(host: str) -> bool:
    """Only where every address the name stands for is a loopback one."""
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _post(url: str, arguments: dict[str, JsonValue], timeout_seconds: float) -> str:
    request = urllib.request.Request(
        url,
        data=json.dumps(arguments).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    deadline = time.monotonic() + timeout_seconds
    try:
        with _opener.open(request, timeout=timeout_seconds) as response:
            return _body(response, deadline).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            raise ToolError(f"the service answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise ToolError(f"the service did not answer ({error})") from error


def _body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """All of an answer; a socket's own time limit begins anew with every byte."""
    body = b""
    while part := response.read1(1 << 16):
        body += part
        if len(body) > _MAX_BYTES:
            raise ToolError(f"the service answered more than {_MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    return body

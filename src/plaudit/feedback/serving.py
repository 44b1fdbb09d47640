"""One process that serves the application, and what its operator is told at the start."""

from __future__ import annotations

import gc
import ipaddress
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import uvicorn

from plaudit.feedback.app import create_app
from plaudit.feedback.protection.guard import Protection
from plaudit.store import Store
from plaudit.store.people import add_member, members, new_rater
from plaudit.store.tokens import DAY_SECONDS, invite, issue

LINK_DAYS = 7
INVITED_AT_ONCE = 25
# The thread that writes waits for the database many times in every judgment, and each time then for
# its turn after the one that speaks HTTP; with Python's 5 ms it waits longer than it works.
_TURN_SECONDS = 0.0005
_THIS_MACHINE = Protection().hosts


def listen(host: str, port: int) -> socket.socket:
    """The address, taken.

    Raises:
        ValueError: it is not this machine's, or another program has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ValueError(
            f"{host}:{port}: {error.strerror}; choose another with --host and --port"
        ) from error


def serve(
    store: Store, taken: socket.socket, host: str, names: tuple[str, ...], https: bool
) -> None:
    """Serve until interrupted; what was accepted is recorded before it returns."""
    protection = Protection(hosts=(*_THIS_MACHINE, _in_header(host), *names), https=https)
    config = uvicorn.Config(
        create_app(store, protection), log_level="warning", access_log=False, ws="none",
        server_header=False, proxy_headers=https, timeout_graceful_shutdown=10,
    )  # fmt: skip
    sys.setswitchinterval(_TURN_SECONDS)
    # What stands from the start is not looked through again for garbage: everybody would wait for
    # that, a tenth of a second every few.
    gc.collect()
    gc.freeze()
    # It ends what is under way first, and then raises what interrupted it.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[taken])


def where_to_sign_in(host: str, port: int, names: tuple[str, ...], https: bool) -> str:
    """The address of the application as a browser would write it."""
    if names:
        return f"https://{names[0]}" if https else f"http://{names[0]}:{port}"
    shown = "127.0.0.1" if _is_everywhere(host) else _in_header(host)
    return f"http://{shown}:{port}"


def invitation(
    store: Store, project: str, name: str, host: str, address: str,
    names: tuple[str, ...], https: bool,
) -> Iterator[str]:  # fmt: skip
    """What the operator is told: how the lead signs in, how raters come in, what is not safe."""
    lead, is_new = _lead(store, project, name)
    token = issue(store, "api", time.time(), rater=lead, lifetime_seconds=LINK_DAYS * DAY_SECONDS)
    yield f"sign in as lead: {address}/sign-in#{token}"
    if is_new:
        invited = invite(store, project, "rater", time.time(), INVITED_AT_ONCE, LINK_DAYS)
        yield (
            f"invite raters: {address}/sign-in#{invited} "
            f"({INVITED_AT_ONCE} people, {LINK_DAYS} days; further ones on the lead's page)"
        )
    else:
        yield f"invite raters: {address}/lead/{project}, under Raters"
    if not _is_loopback(host) and not https:
        yield (
            f"warning: {host} can be reached from other machines, and nothing is encrypted on the "
            "way; put a proxy with TLS before it and say --https"
        )
    if _is_everywhere(host) and not names:
        yield "warning: it answers to 127.0.0.1 and localhost only; give its name by --host-name"
    yield "stop with Ctrl+C; every judgment that was acknowledged is on disk"


def _lead(store: Store, project: str, name: str) -> tuple[str, bool]:
    """The lead of that name, or the first, or a new one where there is none; whether it is new."""
    leads = [found for found in members(store, project) if found.role == "lead"]
    named = [found for found in leads if found.name == name] if name else leads
    if named:
        return named[0].rater, False
    made = new_rater(store, time.time(), name or "Lead")
    add_member(store, project, made, "lead")
    return made, not leads


def _in_header(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

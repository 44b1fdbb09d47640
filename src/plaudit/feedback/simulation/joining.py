"""How simulated raters come to a server: by invite or token, or as members made in its store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from plaudit.feedback.simulation.client import HttpLine, RaterClient
from plaudit.feedback.simulation.kinds import Mix
from plaudit.feedback.simulation.sitting import Seat
from plaudit.store import Store
from plaudit.store.people import add_member, new_rater
from plaudit.store.tokens import issue


def enrol(store: Store, project: str, mix: Mix) -> list[str]:
    """Make every rater of the pool a member, marked as simulated in the log; their tokens.

    Raises:
        ValueError: there is no such project.
    """
    tokens, now = [], time.time()
    for number, kind in enumerate(mix.each()):
        rater = new_rater(store, now, f"{kind.name} {number}", "simulated", kind.name)
        add_member(store, project, rater)
        tokens.append(issue(store, "api", now, rater=rater))
    return tokens


@asynccontextmanager
async def signed_in(
    url: str, mix: Mix, tokens: Sequence[str], project: str = ""
) -> AsyncIterator[list[Seat]]:
    """Every rater of the pool at a line of its own, signed in as a browser is; hung up at the end.

    Args:
        tokens: one for each rater, or one invite that is good for all.
        project: where they judge; empty for the only one they are members of.

    Raises:
        ValueError: the number of tokens does not fit, or it is not clear which project is meant.
        Refused: a token is not good.
        Unreachable: there is no server.
    """
    kinds = list(mix.each())
    if len(tokens) not in (1, len(kinds)):
        raise ValueError(
            f"{len(tokens)} tokens for {len(kinds)} raters; expected one invite for all, or a "
            "token for each"
        )
    each = tokens if len(tokens) == len(kinds) else [*tokens] * len(kinds)
    async with AsyncExitStack() as lines:
        seats = []
        for number, (kind, token) in enumerate(zip(kinds, each, strict=True)):
            line = HttpLine(url)
            lines.push_async_callback(line.close)
            session = await line.sign_in(token, f"{kind.name} {number}")
            client = RaterClient(line, project or _only(list(session["projects"])))
            seats.append(Seat(kind=kind, number=number, client=client))
        yield seats


def _only(projects: Sequence[str]) -> str:
    if len(projects) != 1:
        raise ValueError(
            f"--project: expected one of {', '.join(projects) or 'none: the raters are no members'}"
        )
    return projects[0]

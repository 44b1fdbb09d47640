"""``plaudit feedback invite``, ``token``, ``erase``: a project's people from the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.commands.stores import ProjectId, StorePath, open_existing

RoleName = Annotated[str, typer.Option(help="rater, adjudicator or lead.")]
_BY = "command line"


def invite(
    store: StorePath,
    project: ProjectId,
    role: RoleName = "rater",
    uses: Annotated[int, typer.Option(help="How many people may join by it.")] = 1,
    days: Annotated[float, typer.Option(help="How long it is good for.")] = 7.0,
) -> None:
    """Print a token by which people join; /sign-in#TOKEN is its link."""
    import time
    from contextlib import closing

    from plaudit.store import expect_project, record_event, tokens

    with closing(open_existing(store)) as opened:
        expect_project(opened, project)
        token = tokens.invite(opened, project, role, time.time(), uses, days)
        record_event(opened, project, _BY, "invited", {"role": role, "uses": uses})
    print(token)


def token(
    store: StorePath,
    project: ProjectId,
    name: Annotated[str, typer.Option(help="Of the member; made if there is none.")],
    role: RoleName = "rater",
    kind: Annotated[
        str | None, typer.Option(help="human, judge, rule or simulated; human if not said.")
    ] = None,
    version: Annotated[str, typer.Option(help="Of a judge or rule.")] = "",
    days: Annotated[float, typer.Option(help="How long it is good for.")] = 180.0,
) -> None:
    """Print a member's own token, to sign in with or to send as Authorization: Bearer TOKEN."""
    import time
    from contextlib import closing

    from plaudit.store import expect_project, people, record_event, tokens

    if not name.strip():
        raise ValueError("name: empty; expected what leads are to know the member by")
    if kind is not None and kind not in (kinds := ("human", "judge", "rule", "simulated")):
        raise ValueError(f"kind {kind!r}: no such kind; there are {', '.join(kinds)}")
    with closing(open_existing(store)) as opened:
        expect_project(opened, project)
        named = [m for m in people.members(opened, project) if m.name == name]
        if len(named) > 1:
            raise ValueError(f"name {name!r}: {len(named)} members have it; rename all but one")
        for member in named:
            if kind not in (None, member.kind) or version not in ("", member.version):
                was = f"{member.kind} {member.version}".strip()
                raise ValueError(f"name {name!r}: a member of the kind {was}; expected a new name")
        new = (name, kind or "human", version)
        rater = named[0].rater if named else people.new_rater(opened, time.time(), *new)
        people.add_member(opened, project, rater, role)
        seconds = days * tokens.DAY_SECONDS
        made = tokens.issue(opened, "api", time.time(), rater=rater, lifetime_seconds=seconds)
        record_event(opened, project, _BY, "token", {"rater": rater})
    print(made)


def erase(
    store: StorePath,
    rater: Annotated[str, typer.Option(help="The rater's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a rater's name and all that they wrote, in every project; the chain still holds."""
    from contextlib import closing

    from plaudit.store import erase_rater

    with closing(open_existing(store)) as opened:
        if not yes:
            typer.confirm(f"Erase all of rater {rater} for good?", abort=True)
        erased = erase_rater(opened, rater, _BY)
    print(f"{erased.judgments} judgments erased")
    for model in erased.models:
        print(f"learned from them: {model.path} ({model.sha256})")

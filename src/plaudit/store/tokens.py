"""Tokens: 256 random bits that say who one is, and of which only the SHA-256 is kept.

A token has one purpose, and serves no other. An ``invite`` makes a member, as often as it says; an
``api`` token is a person's or a program's own, to sign in with or to send with each request; a
``session`` is what a signed-in browser holds. Times are seconds since 1970.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import bindparam, delete, insert, or_, select, update

from plaudit.store.opening import Store
from plaudit.store.people import ROLES, insert_member, insert_rater
from plaudit.store.prepared import AnyRow, Prepared
from plaudit.store.schema import member, token

Purpose = Literal["invite", "session", "api"]
DAY_SECONDS = 86400.0
LIFETIME_SECONDS: dict[Purpose, float] = {
    "invite": 7 * DAY_SECONDS,
    "session": 14 * DAY_SECONDS,
    "api": 180 * DAY_SECONDS,
}
MOST_USES = 10_000
_SHAPE = re.compile(r"plaudit_[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What is known of a token that holds."""

    hash: str
    purpose: Purpose
    rater: str | None
    project: str | None
    """It is good for this project only; None for all those of its rater."""
    role: str | None
    """The highest role it gives; None for the rater's own."""
    uses_left: int | None
    created_at: float
    expires_at: float | None


class Membership(NamedTuple):
    """What a token's rater is in a project."""

    project: str
    role: str
    suspended_at: float | None


def hash_of(text: str) -> str | None:
    """SHA-256 of a token, or None for what cannot be one."""
    return hashlib.sha256(text.encode()).hexdigest() if _SHAPE.match(text) else None


def issue(
    store: Store,
    purpose: Purpose,
    now: float,
    *,
    rater: str | None = None,
    project: str | None = None,
    role: str | None = None,
    uses: int | None = None,
    lifetime_seconds: float | None = None,
) -> str:
    """A new token. This is the only time it is seen.

    Raises:
        ValueError: a role that does not exist, or a number of uses or a lifetime not above 0.
    """
    if role is not None and role not in ROLES:
        raise ValueError(f"role {role!r}: no such role; there are {', '.join(ROLES)}")
    if uses is not None and not 0 < uses <= MOST_USES:
        raise ValueError(f"{uses} uses; expected 1 to {MOST_USES}")
    lifetime = LIFETIME_SECONDS[purpose] if lifetime_seconds is None else lifetime_seconds
    if not 0 < lifetime <= 3650 * DAY_SECONDS:
        raise ValueError(f"a lifetime of {lifetime} seconds; expected above 0, at most ten years")
    text = f"plaudit_{secrets.token_urlsafe(32)}"
    row = {"hash": hash_of(text), "purpose": purpose, "rater": rater, "project": project}
    row |= {"role": role, "uses_left": uses, "created_at": now, "expires_at": now + lifetime}
    with store.writing() as connection:
        connection.execute(insert(token).values(**row))
    return text


def invite(
    store: Store, project: str, role: str, now: float, uses: int = 1, days: float = 7
) -> str:
    """A token that makes ``uses`` people members of a project.

    Raises:
        ValueError: as ``issue``.
    """
    return issue(
        store, "invite", now, project=project, role=role, uses=uses,
        lifetime_seconds=days * DAY_SECONDS,
    )  # fmt: skip


def look_up(
    store: Store, text: str, purposes: tuple[Purpose, ...], now: float
) -> Credential | None:
    """What a token is good for now.

    None where it is unknown, expired, revoked, used up or of another purpose.
    """
    found = holder(store, text, purposes, now)
    return found[0] if found else None


def holder(
    store: Store, text: str, purposes: tuple[Purpose, ...], now: float
) -> tuple[Credential, tuple[Membership, ...]] | None:
    """What a token is good for now, and where its rater is a member; None as ``look_up``."""
    with store.reading() as connection:
        # Found by its hash: how long that takes says nothing of the token.
        rows = _HOLDER.all(connection, of_hash=hash_of(text), now=now)
    if not rows or rows[0].purpose not in purposes:
        return None
    of = (row for row in rows if row.member_of is not None)
    found = tuple(Membership(row.member_of, row.member_role, row.suspended_at) for row in of)
    return _credential(rows[0]), found


def is_known(store: Store, text: str) -> bool:
    """Whether it was a token once: someone who uses it late is not guessing."""
    with store.reading() as connection:
        found = select(token.c.hash).where(token.c.hash == hash_of(text))
        return connection.execute(found).first() is not None


def redeem_invite(
    store: Store, text: str, now: float, name: str = "", rater: str | None = None
) -> str | None:
    """Use an invite once: the new member's id, or that of ``rater``, who joins as they are.

    Raises:
        ValueError: as ``people.clean_name``.
    """
    with store.writing() as connection:
        # The count goes down first, and only while there is something left: two who use the last
        # one at once cannot both succeed.
        if not connection.execute(_use_once(text, now)).rowcount:
            return None
        found = connection.execute(select(token).where(token.c.hash == hash_of(text))).one()
        joined = rater or insert_rater(connection, now, name)
        insert_member(connection, found.project, joined, found.role)
        return joined


def revoke(store: Store, hash: str, now: float) -> bool:
    """End a token, by its hash; whether there was one to end."""
    ended = update(token).where(token.c.hash == hash, token.c.revoked_at.is_(None))
    with store.writing() as connection:
        return connection.execute(ended.values(revoked_at=now)).rowcount > 0


def revoke_all(store: Store, rater: str, now: float) -> int:
    """End every session and token of a rater; how many there were."""
    ended = update(token).where(token.c.rater == rater, token.c.revoked_at.is_(None))
    with store.writing() as connection:
        return connection.execute(ended.values(revoked_at=now)).rowcount


def invites(store: Store, project: str, now: float) -> tuple[Credential, ...]:
    """The invites of a project that can still be used, the newest first."""
    rows = select(token).where(
        token.c.project == project, token.c.purpose == "invite", *_holds(now)
    )
    with store.reading() as connection:
        found = connection.execute(rows.order_by(token.c.created_at.desc()))
        return tuple(_credential(row) for row in found)


def forget_expired(store: Store, before: float) -> int:
    """Delete tokens that expired before a time; how many."""
    with store.writing() as connection:
        return connection.execute(delete(token).where(token.c.expires_at < before)).rowcount


def _holds(now: Any):
    return (
        token.c.revoked_at.is_(None),
        or_(token.c.expires_at.is_(None), token.c.expires_at > now),
        or_(token.c.uses_left.is_(None), token.c.uses_left > 0),
    )


_HOLDER = Prepared(
    select(
        token,
        member.c.project.label("member_of"),
        member.c.role.label("member_role"),
        member.c.suspended_at,
    )
    .outerjoin(member, member.c.rater == token.c.rater)
    .where(token.c.hash == bindparam("of_hash"), *_holds(bindparam("now")))
)


def _use_once(text: str, now: float):
    where = (token.c.hash == hash_of(text), token.c.purpose == "invite", token.c.uses_left > 0)
    return update(token).where(*where, *_holds(now)).values(uses_left=token.c.uses_left - 1)


def _credential(row: AnyRow) -> Credential:
    return Credential(
        hash=row.hash, purpose=row.purpose, rater=row.rater, project=row.project, role=row.role,
        uses_left=row.uses_left, created_at=row.created_at, expires_at=row.expires_at,
    )  # fmt: skip

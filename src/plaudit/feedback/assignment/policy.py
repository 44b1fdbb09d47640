"""What a rater is given next, and in which order: decisions that need no database.

Every choice is a keyed hash (HMAC-SHA-256) of the project's secret, so it cannot be guessed, is
the same after a reload, and can be made again by whoever has the secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal

from plaudit.feedback.projects.project import Project

Shown = tuple[int, ...]
"""Candidates in the order shown, by their index in the item."""

BLOCK = 10
"""Within so many assignments of a rater, each of a pair's orders is drawn at most half the time."""


def coin(secret: str, *words: object) -> float:
    """Uniform in [0, 1), the same for the same words."""
    message = "\x1f".join(map(str, words)).encode()
    digest = hmac.digest(secret.encode(), message, hashlib.sha256)
    return int.from_bytes(digest[:8], "big") / 2**64


def rater_key(secret: str, rater: str) -> str:
    """What the ids of a rater's assignments begin with; it does not say who the rater is."""
    message = f"assignments\x1f{rater}".encode()
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()[:16]


def kind_wanted(
    project: Project, secret: str, rater: str, serial: int
) -> Literal["gold", "repeat", "queue"]:
    """Gold for the first assignments; later gold and repeats, each at its rate."""
    if serial < project.gold.onboarding:
        return "gold"
    drawn = coin(secret, "kind", rater, serial)
    if drawn < project.gold.rate:
        return "gold"
    return "repeat" if drawn < project.gold.rate + project.repeat_rate else "queue"


def repeat_serials(project: Project, secret: str, rater: str, serial: int) -> list[int]:
    """Earlier assignments to try for a repeat, each drawn uniformly from those long enough ago."""
    old = serial - project.repeat_after
    if old <= 0:
        return []
    tries = (coin(secret, "repeat", rater, serial, attempt) for attempt in range(8))
    return list(dict.fromkeys(int(drawn * old) for drawn in tries))


def order_shown(
    secret: str, item: str, rater: str, candidates: int, block: Sequence[Shown]
) -> Shown:
    """The order in which candidates are shown to a rater.

    A pair is flipped if HMAC(secret, item | rater) says so, except where that order has been shown
    in half of the rater's ``block``, the earlier assignments of the current ten. More candidates
    are shuffled: sorted by a key of their own.
    """
    if candidates != 2:
        keys = [coin(secret, "order", item, rater, place) for place in range(candidates)]
        return tuple(sorted(range(candidates), key=keys.__getitem__))
    drawn = (1, 0) if coin(secret, "order", item, rater) < 0.5 else (0, 1)
    is_used_up = sum(shown == drawn for shown in block) >= BLOCK // 2
    return drawn[::-1] if is_used_up else drawn


def block_so_far(serials_and_orders: Sequence[tuple[int, Shown]], serial: int) -> list[Shown]:
    """The orders of the assignments before ``serial`` that are in the same block of ten."""
    begin = serial - serial % BLOCK
    return [shown for number, shown in serials_and_orders if begin <= number < serial]

"""Raters side by side: how much, how right, how alike the others, and what asks for a look.

Counts come from the store's tallies of all that stands; signs of trouble from the latest votes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel
from scipy.special import bdtr

from plaudit.aggregation.agreement import Interval
from plaudit.feedback.leads.dashboards import PATIENCE_SECONDS
from plaudit.feedback.leads.dashboards_votes import latest_pairs
from plaudit.statistics.intervals import wilson
from plaudit.statistics.rater_signs import RaterSigns, flag_raters
from plaudit.store import Store, people, rater_tallies
from plaudit.store.people import Member
from plaudit.store.tallies import catch_up
from plaudit.store.votes import BINS_PER_OCTAVE

SIGNS = {
    "gold": "wrong on gold",
    "accuracy": "at odds with the others",
    "left": "left too often",
    "right": "right too often",
    "longer": "drawn to the longer",
    "shorter": "drawn to the shorter",
    "ties": "mostly ties",
    "fast": "much faster",
}


class Rate(BaseModel):
    """How often, of how many, with its 95 % Wilson interval."""

    times: int
    of: int
    interval: Interval | None


class RaterRow(BaseModel):
    """One rater in a project."""

    rater: str
    name: str
    kind: str
    role: str
    suspended_at: float | None
    judgments: int
    skips: int
    gold: Rate
    left: Rate
    left_p: float | None
    """Two-sided binomial against one half, of this rater alone."""
    ties: Rate
    longer: Rate
    """Of decided pairs of different length, how often the longer one."""
    agreement: Rate
    """With each other vote on the same items."""
    repeats: Rate
    """Asked again, the same answer."""
    median_seconds: float | None
    skill: float | None
    """Posterior mean of accuracy against the consensus of the others."""
    reasons: list[str]
    """Flags: each asks for a look, and suspends nobody."""
    notes: list[str]


class RaterBoard(BaseModel):
    """All members of a project who judge."""

    raters: list[RaterRow]
    signs_from: int
    """Votes on pairs in which signs were looked for."""
    meanings: dict[str, str]
    is_whole: bool
    """As ``AgreementBoard``'s."""


def rater_board(store: Store, project: str) -> RaterBoard:
    """The board of a project, up to its last judgment if that is soon done; who judged most comes
    first."""
    is_whole = catch_up(store, PATIENCE_SECONDS)
    counts = _counts(store, project)
    signs, looked_at = _signs(store, project)
    rows = [
        _row(member, *counts.get(member.rater, (Counter(), Counter())), signs.get(member.rater))
        for member in people.members(store, project)
    ]
    rows.sort(key=lambda row: (-row.judgments, row.rater))
    return RaterBoard(raters=rows, signs_from=looked_at, meanings=SIGNS, is_whole=is_whole)


def two_sided(times: int, of: int) -> float:
    """The exact binomial p-value of one half: both tails are alike, so twice the smaller."""
    return min(1.0, 2 * float(bdtr(min(times, of - times), of, 0.5)))


def rate(times: int, of: int) -> Rate:
    """``times`` of ``of``; without trials it has no interval."""
    if not of:
        return Rate(times=0, of=0, interval=None)
    low, point, high = wilson(times, of)
    return Rate(times=times, of=of, interval=Interval(low=low, point=point, high=high))


def _counts(store: Store, project: str) -> Mapping[str, tuple[Counter[str], Counter[int]]]:
    """Of each rater, over all questions: what happened how often, and the bins of seconds."""
    found: dict[str, tuple[Counter[str], Counter[int]]] = {}
    for tally in rater_tallies(store, project):
        counts, bins = found.setdefault(tally.rater, (Counter(), Counter()))
        counts.update(tally.counts)
        bins.update(tally.seconds_bins)
    return found


def _row(
    member: Member, n: Counter[str], seconds_bins: Counter[int], signs: _Signs | None
) -> RaterRow:
    sides, decided = n["left"] + n["right"], n["longer"] + n["shorter"]
    pairs = sides + n["tie"] + n["both_bad"]
    skill, reasons, notes = signs or _Signs(None, [], [])
    return RaterRow(
        rater=member.rater,
        name=member.name,
        kind=member.kind,
        role=member.role,
        suspended_at=member.suspended_at,
        judgments=n["judgments"],
        skips=n["skips"],
        gold=rate(n["gold_right"], n["gold_asked"]),
        left=rate(n["left"], sides),
        left_p=two_sided(n["left"], sides) if sides else None,
        ties=rate(n["tie"] + n["both_bad"], pairs),
        longer=rate(n["longer"], decided),
        agreement=rate(n["agreed"], n["compared"]),
        repeats=rate(n["repeated_alike"], n["repeated"]),
        median_seconds=_median_seconds(seconds_bins),
        skill=skill,
        reasons=reasons,
        notes=notes,
    )


def _median_seconds(bins: Counter[int]) -> float | None:
    """The middle of the bin, a quarter of an octave wide, in which half is reached."""
    half, seen = bins.total() / 2, 0
    for number, many in sorted(bins.items()):
        seen += many
        if seen >= half:
            return 2 ** ((number + 0.5) / BINS_PER_OCTAVE)
    return None


class _Signs(NamedTuple):
    skill: float | None
    reasons: list[str]
    notes: list[str]


def _signs(store: Store, project: str) -> tuple[dict[str, _Signs], int]:
    found = latest_pairs(store, project)
    if found is None:
        return {}, 0
    pairs, raters = found
    signs: RaterSigns = flag_raters(pairs)
    by_rater = {}
    for number, rater in enumerate(raters):
        skill = float(signs.accuracy_W[number])
        known = None if math.isnan(skill) else skill
        by_rater[rater] = _Signs(known, list(signs.reasons[number]), list(signs.notes[number]))
    return by_rater, len(pairs.votes)

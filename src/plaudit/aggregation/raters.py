"""Raters: what each one's judgments look like beside the others', to be looked at by a person.

Nobody is left out by these figures; a lead who suspends somebody does so, and can undo it.

Shapes: W raters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.aggregation.consensus import Method, pair_consensus
from plaudit.aggregation.votes import (
    ADJUDICATED,
    TIE,
    Ballot,
    counted,
    pair_ballot,
    said_of_pairs,
)
from plaudit.judgments import Item, Judgment, Rater, Skipped
from plaudit.statistics import UNKNOWN, Interval, wilson
from plaudit.statistics.habits import PairVotes
from plaudit.statistics.rater_signs import flag_raters
from plaudit.store.votes import is_right


@dataclass(frozen=True, kw_only=True, slots=True)
class RaterCard:
    """One rater's figures. Rates have intervals at 95 %; None where there is nothing to count."""

    rater: Rater
    judgments: int
    """That count as votes."""
    skips: int
    median_seconds: float | None
    """In use, of a judgment."""
    ties: Interval | None
    """Of all comparisons."""
    left: Interval | None
    """Of the comparisons decided, where the order is known: one half without a habit."""
    towards_longer: float | None
    """How much more often the rater departs from the others towards the longer response."""
    accuracy: float | None
    """Against the consensus of the others, as the posterior's mean."""
    gold: Interval | None
    """Items of gold answered right."""
    consistency: Interval | None
    """Of the items asked a second time, those answered the same way."""
    skill: float | None
    """How often right when deciding, as the consensus estimates it."""
    left_bias: float | None
    """How much more often than half left when deciding, as the consensus estimates it."""
    reasons: tuple[str, ...]
    """To look at the rater: ``RaterSigns.reasons``."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """What is known of one rater by comparisons and rankings."""

    ties: Interval | None = None
    left: Interval | None = None
    towards_longer: float | None = None
    accuracy: float | None = None
    skill: float | None = None
    left_bias: float | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def rater_cards(
    items: Sequence[Item], judgments: Sequence[Judgment], method: Method = "dawid_skene"
) -> list[RaterCard]:
    """A card for each rater, who judged most first.

    Args:
        judgments: all that stand, skips and repeats among them.
        method: of the consensus that skill and bias are estimated with.
    """
    # An adjudicator's word is not held against himself.
    votes = [vote for vote in counted(judgments) if ADJUDICATED not in vote.flags]
    compared = _compared(pair_ballot(items, votes), method)
    by_rater: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        by_rater.setdefault(judgment.rater.id, []).append(judgment)
    cards = [_card(own, items, compared.get(id, _Compared())) for id, own in by_rater.items()]
    return sorted(cards, key=lambda card: -card.judgments)


def _compared(ballot: Ballot, method: Method) -> dict[str, _Compared]:
    if ballot.votes is None:
        return {}
    if (ballot.votes.labels_N == TIE).all():
        ties_W = np.bincount(ballot.votes.raters_N)
        return {
            r.id: _Compared(ties=_rate(n, n))
            for r, n in zip(ballot.raters, ties_W.tolist(), strict=True)
        }
    pairs = pair_consensus(ballot, method)
    signs = flag_raters(_with_habits(ballot))
    left_W, shown_W = _left_counts(ballot)
    ties_W = np.rint(signs.tie_rate_W * signs.votes_W)
    return {
        rater.id: _Compared(
            ties=_rate(int(ties_W[w]), int(signs.votes_W[w])),
            left=_rate(int(left_W[w]), int(shown_W[w])),
            towards_longer=_number(signs.towards_longer_W[w]),
            accuracy=_number(signs.accuracy_W[w]),
            skill=_number(pairs.skill_W[w]),
            left_bias=_number(pairs.left_bias_W[w]),
            reasons=signs.reasons[w],
            notes=signs.notes[w],
        )
        for w, rater in enumerate(ballot.raters)
    }


def _with_habits(ballot: Ballot) -> PairVotes:
    """The ballot as the signs of raters are read from it."""
    assert ballot.votes is not None
    left_N = np.where(ballot.turned_N == 0.5, UNKNOWN, ballot.turned_N).astype(np.intp)
    longer_I = np.where(ballot.longer_I == 0, UNKNOWN, ballot.longer_I < 0).astype(np.intp)
    return PairVotes(
        votes=ballot.votes,
        left_N=left_N,
        longer_I=longer_I,
        seconds_N=ballot.seconds_N,
        gold_I=ballot.known_I,
    )


def _left_counts(ballot: Ballot) -> tuple[np.ndarray, np.ndarray]:
    """By rater, how many decided votes went left, and of how many whose order is known."""
    assert ballot.votes is not None
    votes = ballot.votes
    counts_N = (votes.labels_N < 2) & (ballot.turned_N != 0.5)
    left_N = counts_N & (votes.labels_N == ballot.turned_N)
    return (
        np.bincount(votes.raters_N, left_N, minlength=votes.raters),
        np.bincount(votes.raters_N, counts_N, minlength=votes.raters),
    )


def _card(own: Sequence[Judgment], items: Sequence[Item], compared: _Compared) -> RaterCard:
    seconds = [j.active_seconds for j in own if j.active_seconds is not None]
    return RaterCard(
        rater=own[0].rater,
        judgments=len(counted(own)),
        skips=sum(isinstance(judgment.answer, Skipped) for judgment in own),
        median_seconds=float(np.median(seconds)) if seconds else None,
        gold=_rate(*_on_gold(own, items)),
        consistency=_rate(*_repeated(own)),
        ties=compared.ties,
        left=compared.left,
        towards_longer=compared.towards_longer,
        accuracy=compared.accuracy,
        skill=compared.skill,
        left_bias=compared.left_bias,
        reasons=compared.reasons,
        notes=compared.notes,
    )


def _on_gold(own: Sequence[Judgment], items: Sequence[Item]) -> tuple[int, int]:
    """Answers that are right of those to items of gold; strength does not count."""
    known = {item.id: item.gold for item in items if item.gold is not None}
    asked = [vote for vote in counted(own) if vote.item in known]
    return sum(is_right(vote.answer, known[vote.item]) for vote in asked), len(asked)


def _repeated(own: Sequence[Judgment]) -> tuple[int, int]:
    """Second answers that are as the first, of those to items asked again."""
    first = {vote.item: vote for vote in counted(own)}
    again = [
        judgment
        for judgment in own
        if judgment.is_repeat
        and judgment.item in first
        and not isinstance(judgment.answer, Skipped)
    ]
    return sum(_side(first[one.item]) == _side(one) for one in again), len(again)


def _side(judgment: Judgment) -> object:
    """Which is better, for comparisons and rankings; the answer itself for the rest."""
    sides = [(said.parts, said.label) for said in said_of_pairs(judgment.answer)]
    return sides or judgment.answer


def _rate(count: int, of: int) -> Interval | None:
    return wilson(count, of) if of else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

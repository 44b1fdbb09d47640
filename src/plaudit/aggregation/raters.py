"""Raters: what each one's judgments look like beside the others', to be looked at by a person.

Nobody is left out by these figures; a lead who suspends somebody does so, and can undo it. With few
judgments intervals are wide and nothing is remarked upon.

Shapes: N votes, I pairs, W raters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binomtest

from plaudit.aggregation.consensus import Method, PairConsensus, pair_consensus
from plaudit.aggregation.votes import (
    ADJUDICATED,
    FIRST,
    TIE,
    Ballot,
    counted,
    pair_ballot,
    said_of_pairs,
)
from plaudit.judgments import Item, Judgment, Rater, Skipped
from plaudit.records import Text
from plaudit.statistics import Interval, wilson

LEAST_GOLD_ACCURACY = 0.7
SURE = 0.9
"""A gold accuracy is remarked upon where it is below the least with this probability."""
LEVEL = 0.01
"""Of the tests for habits, over all raters together (Holm)."""
LEAST_INFORMATION_BITS = 0.02
"""A vote that tells less is noise: an honest guess that is right 58 times in 100 tells so much."""
ENOUGH_VOTES = 20


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
    longer: Interval | None
    """Of the comparisons decided between responses of different length."""
    agreement: Interval | None
    """With the majority of the others, where both decide."""
    gold: Interval | None
    """Items of gold answered right."""
    consistency: Interval | None
    """Of the items asked a second time, those answered the same way."""
    skill: float | None
    """How often right when deciding, as the consensus estimates it."""
    left_bias: float | None
    """How much more often than half left when deciding, as the consensus estimates it."""
    remarks: tuple[str, ...]


def rater_cards(
    items: Sequence[Item], judgments: Sequence[Judgment], method: Method = "dawid_skene"
) -> list[RaterCard]:
    """A card for each rater, who judged most first.

    Args:
        judgments: all that stand, skips and repeats among them.
        method: of the consensus that skill and bias are estimated with.
    """
    votes = counted(judgments)
    honest = [vote for vote in votes if ADJUDICATED not in vote.flags]
    pairs = pair_consensus(pair_ballot(items, honest), method)
    habits = _habits(pairs, items)
    left_p = _left_p(habits)
    cards = [
        _card(rater, judgments, votes, items, habits.get(rater.id), left_p.get(rater.id, 1.0))
        for rater in {judgment.rater.id: judgment.rater for judgment in judgments}.values()
    ]
    return sorted(cards, key=lambda card: -card.judgments)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Habits:
    """Counts of one rater's comparisons, and what the consensus makes of them."""

    cast: int
    ties: int
    left: tuple[int, int]
    longer: tuple[int, int]
    agreed: tuple[int, int]
    skill: float
    left_bias: float
    information: float


def _habits(pairs: PairConsensus, items: Sequence[Item]) -> dict[str, _Habits]:
    ballot, votes = pairs.ballot, pairs.ballot.votes
    if votes is None:
        return {}
    side_N = np.where(votes.labels_N == TIE, 0, np.where(votes.labels_N == FIRST, 1, -1))
    order_N = np.where(ballot.turned_N == 0.5, 0, 1 - 2 * ballot.turned_N)
    longer_N = _longer_I(ballot, items)[votes.items_N]
    others_N = ballot.counts_I(side_N)[votes.items_N] - side_N
    tallies = [_tally(votes.raters_N, side_N, with_N) for with_N in (order_N, longer_N, others_N)]
    cast_W = np.bincount(votes.raters_N, minlength=votes.raters)
    ties_W = np.bincount(votes.raters_N, side_N == 0, minlength=votes.raters)
    return {
        rater.id: _Habits(
            cast=int(cast_W[w]),
            ties=int(ties_W[w]),
            left=tallies[0][w],
            longer=tallies[1][w],
            agreed=tallies[2][w],
            skill=float(pairs.skill_W[w]),
            left_bias=float(pairs.left_bias_W[w]),
            information=float(pairs.information_W[w]),
        )
        for w, rater in enumerate(ballot.raters)
    }


def _tally(rater_N: np.ndarray, side_N: np.ndarray, with_N: np.ndarray) -> list[tuple[int, int]]:
    """By rater, how many decided votes go the way of ``with_N``, and of how many that have one."""
    counts_N = side_N * with_N != 0
    same_W = np.bincount(rater_N, side_N * with_N > 0, minlength=rater_N.max() + 1)
    all_W = np.bincount(rater_N, counts_N, minlength=rater_N.max() + 1)
    return [(int(same), int(n)) for same, n in zip(same_W, all_W, strict=True)]


def _longer_I(ballot: Ballot, items: Sequence[Item]) -> np.ndarray:
    """1 where the first of a pair is longer, -1 where the second is, 0 where neither."""
    lengths = {item.id: [_characters(c.content) for c in item.candidates] for item in items}
    gaps = (lengths[u.item][u.parts[0]] - lengths[u.item][u.parts[1]] for u in ballot.units)
    return np.sign(np.fromiter(gaps, float, len(ballot.units)))


def _characters(content: Text) -> int:
    return len(content) if isinstance(content, str) else sum(len(m.content) for m in content)


def _left_p(habits: Mapping[str, _Habits]) -> dict[str, float]:
    """By rater, the two-sided p of pressing one side, adjusted over raters (Holm 1979)."""
    found = {r: binomtest(*h.left).pvalue for r, h in habits.items() if h.left[1]}
    adjusted, least = {}, 0.0
    for place, rater in enumerate(sorted(found, key=found.__getitem__)):
        least = max(least, min(1.0, found[rater] * (len(found) - place)))
        adjusted[rater] = least
    return adjusted


def _card(
    rater: Rater,
    judgments: Sequence[Judgment],
    votes: Sequence[Judgment],
    items: Sequence[Item],
    habits: _Habits | None,
    left_p: float,
) -> RaterCard:
    own = [judgment for judgment in judgments if judgment.rater.id == rater.id]
    seconds = [j.active_seconds for j in own if j.active_seconds is not None]
    gold = _gold(own, items)
    return RaterCard(
        rater=rater,
        judgments=sum(vote.rater.id == rater.id for vote in votes),
        skips=sum(isinstance(judgment.answer, Skipped) for judgment in own),
        median_seconds=float(np.median(seconds)) if seconds else None,
        ties=_rate(habits.ties, habits.cast) if habits else None,
        left=_rate(*habits.left) if habits else None,
        longer=_rate(*habits.longer) if habits else None,
        agreement=_rate(*habits.agreed) if habits else None,
        gold=_rate(*gold),
        consistency=_rate(*_repeated(own)),
        skill=_number(habits.skill) if habits else None,
        left_bias=_number(habits.left_bias) if habits else None,
        remarks=_remarks(habits, gold, left_p),
    )


def _remarks(habits: _Habits | None, gold: tuple[int, int], left_p: float) -> tuple[str, ...]:
    found = []
    if gold[1] and beta.cdf(LEAST_GOLD_ACCURACY, 1 + gold[0], 1 + gold[1] - gold[0]) > SURE:
        found.append("misses gold")
    if habits and left_p < LEVEL:
        found.append(f"presses {'left' if 2 * habits.left[0] > habits.left[1] else 'right'}")
    if habits and habits.cast >= ENOUGH_VOTES and habits.information < LEAST_INFORMATION_BITS:
        found.append("votes tell nothing")
    return tuple(found)


def _gold(own: Sequence[Judgment], items: Sequence[Item]) -> tuple[int, int]:
    """Answers that are right of those to items of gold; strength does not count."""
    known = {item.id: item.gold for item in items if item.gold is not None}
    asked = [j for j in own if j.item in known and not isinstance(j.answer, Skipped)]
    right = sum(_side(j) == _side(j.model_copy(update={"answer": known[j.item]})) for j in asked)
    return right, len(asked)


def _repeated(own: Sequence[Judgment]) -> tuple[int, int]:
    first = {j.item: j for j in reversed(own) if not j.is_repeat}
    asked = [
        (first[j.item], j)
        for j in own
        if j.is_repeat and j.item in first and not isinstance(j.answer, Skipped)
    ]
    return sum(_side(a) == _side(b) for a, b in asked), len(asked)


def _side(judgment: Judgment) -> object:
    """Which is better, for comparisons and rankings; the answer itself for the rest."""
    sides = [(said.parts, said.label) for said in said_of_pairs(judgment.answer)]
    return sides or judgment.answer


def _rate(count: int, of: int) -> Interval | None:
    return wilson(count, of) if of else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value

"""Votes of a simulated pool on pairs of known difference, and the consensus they come to.

Shapes: I pairs, W raters, M votes a pair at most, N votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.feedback.simulation import RaterKind, seen_utilities, strengths
from plaudit.statistics.dawid_skene import one_coin
from plaudit.statistics.majority import majority
from plaudit.statistics.votes import Votes, votes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEAN_LENGTH_LOG2 = 9.0
"""512 characters; only differences of length have an effect."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """How many votes a pair gets."""

    votes: int
    extra: int = 0
    """One vote more, up to so many, while neither candidate leads."""

    def __str__(self) -> str:
        return f"{self.votes}+{self.extra}" if self.extra else str(self.votes)

    @property
    def most(self) -> int:
        return self.votes + self.extra


@dataclass(frozen=True, kw_only=True, slots=True)
class Ballots:
    """As many votes on every pair as any overlap asks for, in the order they are cast."""

    raters_IM: Ints
    strengths_IM: Ints
    """Of the pair: below 0 its first candidate is better, whatever the order it was shown in."""
    raters: int

    def first(self, pairs: int) -> Ballots:
        """Those on the first pairs."""
        return Ballots(
            raters_IM=self.raters_IM[:pairs],
            strengths_IM=self.strengths_IM[:pairs],
            raters=self.raters,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Consensus:
    """What an overlap comes to."""

    probability_I: Floats
    """That the second candidate is the better one."""
    votes: int
    """Cast, ties among them."""

    def accuracy(self, gaps_I: Floats) -> float:
        """How often it is on the side of the true difference; one half where it is on neither."""
        lean_I = np.sign(np.round(self.probability_I - 0.5, 9)) * np.sign(gaps_I)
        return float((lean_I + 1).mean() / 2)


def cast(
    kinds: Sequence[RaterKind],
    gaps_I: Floats,
    most: int,
    *,
    length_doublings: float,
    session_votes: int,
    rng: np.random.Generator,
) -> Ballots:
    """Each pair is judged by ``most`` raters drawn without replacement, in an order drawn for each.

    Args:
        kinds: of each rater of the pool.
        gaps_I: utility of a pair's second candidate less that of its first.
        length_doublings: standard deviation of the binary logarithm of a candidate's length.
        session_votes: after so many judgments a rater rests.

    Raises:
        ValueError: there are fewer raters than votes asked for.
    """
    if len(kinds) < most:
        raise ValueError(
            f"{most} votes on a pair need as many raters, but the pool has {len(kinds)}; add "
            "raters or lower the overlap"
        )
    drawn = rng.random((len(gaps_I), len(kinds))).argsort(axis=1)
    raters_IM = drawn[:, :most]
    lengths_I2 = 2 ** rng.normal(MEAN_LENGTH_LOG2, length_doublings, (len(gaps_I), 2))
    worth_I2 = np.stack([np.zeros_like(gaps_I), gaps_I], axis=1)
    found_IM = np.empty(raters_IM.shape, dtype=np.int64)
    for number, kind in enumerate(kinds):
        at_item, at_vote = np.nonzero(raters_IM == number)
        flip_Q = rng.random(len(at_item)) < 0.5
        shown_Q2 = np.where(flip_Q[:, None], [[1, 0]], [[0, 1]])
        worth_Q2 = np.take_along_axis(worth_I2[at_item], shown_Q2, axis=1)
        lengths_Q2 = np.take_along_axis(lengths_I2[at_item], shown_Q2, axis=1)
        before_Q = np.arange(len(at_item)) % session_votes
        seen_Q2 = seen_utilities(kind, worth_Q2, lengths_Q2, before_Q, rng)
        found_IM[at_item, at_vote] = strengths(kind, seen_Q2) * np.where(flip_Q, -1, 1)
    return Ballots(raters_IM=raters_IM, strengths_IM=found_IM, raters=len(kinds))


def consensus(ballots: Ballots, overlap: Overlap) -> Consensus:
    """Dawid-Skene with one accuracy a rater, of the decisive votes among those the overlap takes.

    A tie is paid for and says nothing of which is better. Where no pair has two votes nothing is
    known of the raters, and the vote stands.
    """
    sides_IM = np.sign(ballots.strengths_IM)
    taken_IM = _taken(sides_IM, overlap)
    decisive_IM = taken_IM & (sides_IM != 0)
    items, _ = np.nonzero(decisive_IM)
    if not len(items):
        return Consensus(probability_I=np.full(len(sides_IM), 0.5), votes=int(taken_IM.sum()))
    decisive = _votes(ballots, decisive_IM, items)
    found = one_coin(decisive) if overlap.most > 1 else majority(decisive)
    return Consensus(probability_I=found.posterior_IK[:, 1], votes=int(taken_IM.sum()))


def _votes(ballots: Ballots, decisive_IM: NDArray[np.bool_], items_N: Ints) -> Votes:
    return votes(
        items_N,
        ballots.raters_IM[decisive_IM],
        (ballots.strengths_IM[decisive_IM] > 0).astype(np.int64),
        items=len(ballots.raters_IM),
        raters=ballots.raters,
        labels=2,
    )


def _taken(sides_IM: Ints, overlap: Overlap) -> NDArray[np.bool_]:
    """The votes that are asked for: the first ones, and more while they are even."""
    taken_IM = np.zeros(sides_IM.shape, dtype=bool)
    taken_IM[:, : overlap.votes] = True
    for vote in range(overlap.votes, overlap.most):
        even_I = sides_IM[:, :vote].sum(axis=1) == 0
        taken_IM[:, vote] = even_I & taken_IM[:, vote - 1]
    return taken_IM

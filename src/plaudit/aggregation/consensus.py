"""Consensus: from votes to what is most likely true of each pair, step or item.

Where raters' habits can be learned, by Dawid-Skene of what they saw; with few votes of each, by one
accuracy a rater; and by counting, to compare. Known answers (gold, adjudicated) are certain and
teach what the raters are worth.

Shapes: I units, K labels, W raters, N votes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from scipy.special import expit

from plaudit.aggregation.as_shown import dawid_skene_as_shown
from plaudit.aggregation.votes import FIRST, SECOND, TIE, Ballot
from plaudit.statistics import (
    UNKNOWN,
    Votes,
    dawid_skene,
    glad,
    mace,
    majority,
    one_coin,
    weighted_majority,
)
from plaudit.statistics.majority import clamped
from plaudit.statistics.pair_model import PREFERENCE_SD, fit_pair_model, pair_voting

Method = Literal[
    "auto",
    "dawid_skene",
    "one_coin",
    "rater_model",
    "glad",
    "mace",
    "weighted",
    "majority",
    "share",
]
"""``dawid_skene``: a confusion a rater, pairs as they were shown, so that left bias is no evidence;
``one_coin``: an accuracy a rater; ``rater_model``: a sharpness and pulls to the left and to the
longer a rater (pairs only; else dawid_skene); ``glad``: an ability a rater, and how easy each unit
is; ``mace``: a rater knows or spams; ``weighted``: the share of the vote, by one_coin's accuracies;
``majority``: 1, or one half where votes are even; ``share``: of the vote, ties as halves; ``auto``:
majority where no unit has two votes, else dawid_skene where most votes are of raters with 20 or
more, else one_coin."""


class Estimate(Protocol):
    """The probability of each label of each unit, and how often each rater is right."""

    @property
    def posterior_IK(self) -> np.ndarray: ...
    @property
    def accuracy_W(self) -> np.ndarray: ...


_ESTIMATES: dict[Method, Callable[[Votes, np.ndarray], Estimate]] = {
    "dawid_skene": dawid_skene,
    "rater_model": dawid_skene,
    "one_coin": one_coin,
    "glad": glad,
    "mace": mace,
    "weighted": weighted_majority,
    "majority": majority,
    "share": majority,
}

MANY_VOTES = 20
"""Of a rater: enough to learn a confusion from (fewer are taken for an average rater's anyway)."""


@dataclass(frozen=True, kw_only=True)
class PairConsensus:
    """What the votes say of each pair."""

    ballot: Ballot
    method: Method
    """What ``auto`` stood for, or what was asked for."""
    first_I: np.ndarray
    """The probability that the first candidate is the better one; known ones are certain."""
    information_I: np.ndarray
    """What the votes could tell, in bits: the votes of raters who are always right count 1 each."""
    skill_W: np.ndarray
    """How often a rater who decides is right, as estimated; NaN where the method does not ask."""
    left_bias_W: np.ndarray
    """How much more often than half a rater presses left; NaN where the method does not ask."""
    information_W: np.ndarray
    """What one vote tells, in bits; 1 by counting."""

    @property
    def tied_I(self) -> np.ndarray:
        """Where more than half of the votes say that neither is better, or it is known."""
        votes, known_I = self.ballot.votes, self.ballot.known_I
        ties_I = np.zeros(len(known_I)) if votes is None else votes.counts_IK()[:, TIE]
        return np.where(known_I == UNKNOWN, 2 * ties_I > self.ballot.counts_I(), known_I == TIE)


@dataclass(frozen=True, kw_only=True)
class LabelConsensus:
    """What the votes say of each step or item."""

    ballot: Ballot
    method: Method
    posterior_IK: np.ndarray
    accuracy_W: np.ndarray


def checked_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: there is none.
    """
    for method in get_args(Method):
        if name == method:
            return method
    raise ValueError(f"{name}: no such consensus; choose {', '.join(get_args(Method))}")


def resolve(method: Method, ballot: Ballot) -> Method:
    """What ``auto`` stands for with these votes.

    Raises:
        ValueError: there is no such method.
    """
    if checked_method(method) != "auto":
        return method
    if ballot.votes is None or ballot.counts_I().max() < 2:
        return "majority"
    cast_W = np.bincount(ballot.votes.raters_N)
    many = cast_W[cast_W >= MANY_VOTES].sum() > len(ballot.votes) / 2
    return "dawid_skene" if many else "one_coin"


def pair_consensus(ballot: Ballot, method: Method = "auto") -> PairConsensus:
    """Which of each pair is better, and how much the votes on it could tell.

    A pair without votes has probability one half. A vote's information is what its rater's answers
    tell on average of an even question; by counting, every vote counts 1.

    Raises:
        ValueError: there is no such method.
    """
    method = resolve(method, ballot)
    unasked_W = np.full(len(ballot.raters), np.nan)
    skill_W, left_W, information_W = unasked_W, unasked_W, np.ones(len(ballot.raters))
    first_I = np.full(len(ballot.units), 0.5)
    if ballot.votes is None:
        pass
    elif method == "dawid_skene":
        shown = dawid_skene_as_shown(ballot.votes, ballot.turned_N, ballot.known_I)
        first_I, skill_W, left_W = shown.first_I, shown.skill_W, shown.left_bias_W
        information_W = shown.information_W
    elif method == "rater_model":
        first_I, skill_W, left_W = _rater_model(ballot, ballot.votes)
        information_W = 1 - entropy_bits(skill_W)
    elif method in ("majority", "share"):
        first_I = _counted(ballot.votes, method)
    else:
        first_I, skill_W = _by_sides(ballot.votes, ballot.known_I, _ESTIMATES[method])
        information_W = 1 - entropy_bits(skill_W)
    weight_N = None if ballot.votes is None else information_W[ballot.votes.raters_N]
    return PairConsensus(
        ballot=ballot,
        method=method,
        first_I=_with_known(first_I, ballot.known_I),
        information_I=ballot.counts_I(weight_N),
        skill_W=skill_W,
        left_bias_W=left_W,
        information_W=information_W,
    )


def label_consensus(ballot: Ballot, method: Method = "auto") -> LabelConsensus:
    """The probability of each label of each unit; uniform where nobody voted and nothing is known.

    Raises:
        ValueError: there is no such method.
    """
    method = resolve(method, ballot)
    if ballot.votes is None:
        labels = max(2, int(ballot.known_I.max(initial=0)) + 1)
        even_IK = np.full((len(ballot.units), labels), 1 / labels)
        posterior_IK = clamped(even_IK, ballot.known_I)
        return LabelConsensus(
            ballot=ballot, method=method, posterior_IK=posterior_IK, accuracy_W=np.zeros(0)
        )
    found = _ESTIMATES[method](ballot.votes, ballot.known_I)
    return LabelConsensus(
        ballot=ballot,
        method=method,
        posterior_IK=found.posterior_IK,
        accuracy_W=found.accuracy_W,
    )


def entropy_bits(p: np.ndarray) -> np.ndarray:
    """``-p log2 p - (1 - p) log2 (1 - p)``: the doubt in an answer that is right with ``p``."""
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))


def _rater_model(ballot: Ballot, votes: Votes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The probability of the first; how often raters are right of a usual pair, and press left."""
    known_I = np.where(ballot.known_I == TIE, UNKNOWN, ballot.known_I)
    data = pair_voting(
        votes.items_N,
        votes.raters_N,
        np.array([1.0, 0.0, 0.5])[votes.labels_N],
        side_N=1 - 2 * ballot.turned_N,
        longer_P=ballot.longer_I,
        gold_P=known_I,
        pairs=votes.items,
        raters=votes.raters,
    )
    found = fit_pair_model(data)
    usual_D = np.abs(np.random.default_rng(0).normal(0, PREFERENCE_SD, 2000))
    skill_W = expit(found.discrimination_W[:, None] * usual_D).mean(1)
    return found.first_better_P, skill_W, expit(found.first_W) - 0.5


def _by_sides(
    votes: Votes, known_I: np.ndarray, estimate: Callable[[Votes, np.ndarray], Estimate]
) -> tuple[np.ndarray, np.ndarray]:
    """By decided votes alone: with one number a rater, a tie says nothing of either side."""
    decided = votes.chosen(votes.labels_N != TIE)
    if not len(decided):
        return np.full(votes.items, 0.5), np.full(votes.raters, 0.5)
    sides = Votes(
        items_N=decided.items_N, raters_N=decided.raters_N, labels_N=decided.labels_N,
        items=votes.items, raters=votes.raters, labels=2,
    )  # fmt: skip
    found = estimate(sides, np.where(known_I == TIE, UNKNOWN, known_I))
    return found.posterior_IK[:, FIRST], found.accuracy_W


def _counted(votes: Votes, method: Method) -> np.ndarray:
    counts_IK = votes.counts_IK()
    if method == "majority":
        return (np.sign(counts_IK[:, FIRST] - counts_IK[:, SECOND]) + 1) / 2
    total_I = np.maximum(counts_IK.sum(1), 1)
    share_I = (counts_IK[:, FIRST] + counts_IK[:, TIE] / 2) / total_I
    return np.where(counts_IK.sum(1) > 0, share_I, 0.5)


def _with_known(first_I: np.ndarray, known_I: np.ndarray) -> np.ndarray:
    certain_I = np.array([1.0, 0.0, 0.5])[np.maximum(known_I, 0)]
    return np.where(known_I == UNKNOWN, first_I, certain_I)

"""Soft labels from votes against majority labels: python benchmarks/soft_labels.py FOLDER

The same reward model (a bag of bigrams under Bradley-Terry) learns which argument convinces more
from the votes on all topics but one, and is scored on that one's known answers, topic by topic.
Three votes in ten are noise: of planted raters (half flip a coin, half always press left), or of
as many of the crowd's own raters, most of whom cast only a few votes. All arms see the same votes.

Intervals are of the mean over draws of the noise, under resampling of whole topics.

Shapes: N pairs, V votes, Q pairs with a known answer, A arguments, F coordinates.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.arguments import FIRST, SECOND, Floats, Ints, Pool, accuracy_Q, fit, read_pool
from plaudit.aggregation import Ballot, Unit, pair_consensus
from plaudit.aggregation.consensus import PairConsensus
from plaudit.aggregation.targets import Weighting, pair_weights
from plaudit.judgments import Rater
from plaudit.statistics import UNKNOWN, Interval, Votes, cluster_bootstrap

NOISE = 0.3
PLANTED = 20
"""Raters; even ones flip a coin, odd ones press left."""
Noise = Literal["planted", "crowd", "none"]
BASE = "majority"
MAIN = "posterior"


class Labels(NamedTuple):
    """What a reward model learns of each pair."""

    first_N: Floats
    """The probability that the first is better."""
    weight_N: Floats


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table: which votes, and how strongly the model is regularised."""

    name: str
    noise: Noise = "planted"
    pairs: int | None = None
    """Drawn at random of all; the others have no votes and are not learned from."""
    votes: int = 5
    l2: float = 1.0
    draws: int = 10
    """Of the noise, over which the mean is taken."""


CASES = (
    Case(name="all pairs, 5 votes"),
    Case(name="3,000 pairs, 5 votes", pairs=3000),
    Case(name="3,000 pairs, 3 votes", pairs=3000, votes=3),
    Case(name="all pairs, L2 10", l2=10.0),
    Case(name="all pairs, L2 100", l2=100.0, draws=3),
    Case(name="noise in the crowd", noise="crowd", draws=3),
    Case(name="no noise added", noise="none", draws=1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with UKPConvArgCrowd-CSV, UKPConvArg1Strict-CSV")
    parser.add_argument("--cases", nargs="*", default=[], help="by name; all where not said")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    pool = read_pool(options.folder)
    found = {}
    for case in (case for case in CASES if not options.cases or case.name in options.cases):
        began = time.monotonic()
        found[case.name] = measure(pool, case)
        print(f"\n{case.name} ({case.draws} draws, {time.monotonic() - began:.0f} s)")
        print_table(found[case.name])
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(pool: Pool, case: Case) -> dict[str, dict[str, Interval]]:
    """Of each arm its accuracy and its gain over the majority, with intervals."""
    sums: dict[str, Floats] = {}
    for draw in range(case.draws):
        ballot = drawn_ballot(pool, case, draw)
        for arm, labels in arms(ballot).items():
            right_Q = held_out(pool, labels, case.l2)
            sums[arm] = sums.get(arm, np.zeros(len(right_Q))) + right_Q / case.draws
    return {
        arm: {
            "accuracy": over_topics(pool, right_Q),
            "gain": over_topics(pool, right_Q - sums[BASE]),
        }
        for arm, right_Q in sums.items()
    }


def arms(ballot: Ballot) -> dict[str, Labels]:
    """Every way tried of making labels from the same votes; of pairs without any nothing."""
    majority = pair_consensus(ballot, "majority")
    posterior = pair_consensus(ballot, "dawid_skene")
    even_N = np.ones(len(ballot.units))
    found = {
        BASE: _labels(majority),
        "majority, ties left out": Labels(majority.first_I, (majority.first_I != 0.5) * 1.0),
        "share of the vote": _labels(pair_consensus(ballot, "share")),
        "one-coin posterior": _labels(pair_consensus(ballot, "one_coin")),
        MAIN: _labels(posterior),
        "rater model's posterior": _labels(pair_consensus(ballot, "rater_model")),
        "posterior, ties 1/2": Labels(np.where(posterior.tied_I, 0.5, posterior.first_I), even_N),
        "posterior x information": _labels(posterior, "information"),
        "posterior x certainty": _labels(posterior, "certainty"),
        "posterior made hard": Labels((posterior.first_I > 0.5) * 1.0, even_N),
    }
    voted_N = ballot.counts_I() > 0
    return {arm: Labels(first_N, weight_N * voted_N) for arm, (first_N, weight_N) in found.items()}


def _labels(consensus: PairConsensus, weighting: Weighting = "even") -> Labels:
    return Labels(consensus.first_I, pair_weights(consensus, weighting))


def drawn_ballot(pool: Pool, case: Case, draw: int) -> Ballot:
    """The votes of a case; pairs that are not drawn have none."""
    rng = np.random.default_rng((draw, 41))
    turned_V = rng.random(len(pool.said_V)) < 0.5
    said_V, rater_V = _with_noise(pool, case.noise, turned_V, rng)
    kept_V = _turn_V(pool.pair_V, rng) < case.votes
    if case.pairs is not None:
        drawn = rng.choice(len(pool.first_N), case.pairs, replace=False)
        kept_V &= np.isin(pool.pair_V, drawn)
    return _ballot(pool, kept_V, said_V, rater_V, turned_V)


def _with_noise(
    pool: Pool, noise: Noise, turned_V: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """What is said, and by whom, with the noise in place of the honest answers."""
    if noise == "none":
        return pool.said_V, pool.rater_V
    crowd = int(pool.rater_V.max()) + 1
    if noise == "planted":
        is_noise_V = rng.random(len(pool.said_V)) < NOISE
        # Of a pair's votes no two are of the same planted rater.
        first_N = rng.integers(PLANTED, size=len(pool.first_N))
        who_V = (first_N[pool.pair_V] + 7 * _turn_V(pool.pair_V, rng)) % PLANTED
        rater_V = np.where(is_noise_V, crowd + who_V, pool.rater_V)
    else:
        rater_V = pool.rater_V
        order = rng.permutation(crowd)
        cast = np.cumsum(np.bincount(rater_V, minlength=crowd)[order])
        noisy = order[: int(np.searchsorted(cast, NOISE * len(rater_V)))]
        is_noise_V = np.isin(rater_V, noisy)
        who_V = rater_V
    coin_V = rng.random(len(rater_V)) < 0.5
    left_V = np.where(turned_V, SECOND, FIRST)
    by_habit_V = np.where(who_V % 2 == 0, np.where(coin_V, FIRST, SECOND), left_V)
    return np.where(is_noise_V, by_habit_V, pool.said_V), rater_V


def _turn_V(pair_V: Ints, rng: np.random.Generator) -> Ints:
    """Each vote's place, from 0, in a random order of its pair's votes."""
    order = np.lexsort((rng.random(len(pair_V)), pair_V))
    sorted_V = pair_V[order]
    starts = np.flatnonzero(np.r_[True, sorted_V[1:] != sorted_V[:-1]])
    lengths = np.diff(np.r_[starts, len(pair_V)])
    turn_V = np.empty(len(pair_V), np.intp)
    turn_V[order] = np.arange(len(pair_V)) - np.repeat(starts, lengths)
    return turn_V


def _ballot(
    pool: Pool, kept_V: NDArray[np.bool_], said_V: Ints, rater_V: Ints, turned_V: NDArray[np.bool_]
) -> Ballot:
    names, rater_V = np.unique(rater_V[kept_V], return_inverse=True)
    votes = Votes(
        items_N=pool.pair_V[kept_V],
        raters_N=rater_V,
        labels_N=np.array([0, 2, 1])[said_V[kept_V]],  # FIRST, TIE, SECOND as a ballot numbers them
        items=len(pool.first_N),
        raters=len(names),
        labels=3,
    )
    none = np.zeros(int(kept_V.sum()))
    return Ballot(
        units=tuple(Unit(str(n), (0, 1)) for n in range(len(pool.first_N))),
        raters=tuple(Rater(id=str(name)) for name in names),
        votes=votes,
        turned_N=turned_V[kept_V].astype(float),
        strength_N=none,
        both_bad_N=none.astype(bool),
        seconds_N=none,
        longer_I=_longer_N(pool),
        known_I=np.full(len(pool.first_N), UNKNOWN),
    )


def _longer_N(pool: Pool) -> Floats:
    length_A = np.array([len(text) for text in pool.texts])
    first_N, second_N = length_A[pool.first_N], length_A[pool.second_N]
    return (first_N - second_N) / (first_N + second_N)


def held_out(pool: Pool, labels: Labels, l2: float) -> Floats:
    """Whether each pair with a known answer is ranked right by a model of the other topics, [Q]."""
    right_Q = np.full(len(pool.better_Q), np.nan)
    begin_F = None
    for topic in range(len(pool.topics)):
        learned_N = (pool.topic_N != topic) & (labels.weight_N > 0)
        weight_N = labels.weight_N[learned_N]
        begin_F = fit(
            pool.features_AF,
            pool.first_N[learned_N],
            pool.second_N[learned_N],
            labels.first_N[learned_N],
            weight_N / weight_N.mean(),
            l2=l2,
            begin_F=begin_F,
        )
        rows_Q = pool.topic_Q == topic
        right_Q[rows_Q] = accuracy_Q(pool, rows_Q, begin_F)
    return right_Q


def over_topics(pool: Pool, values_Q: Floats) -> Interval:
    """The mean over pairs, with its interval under resampling of topics."""

    def mean(weight_Q: Floats, value_Q: Floats) -> float:
        return float(weight_Q @ value_Q / weight_Q.sum())

    return cluster_bootstrap(mean, pool.topic_Q, values_Q)


def print_table(found: Mapping[str, Mapping[str, Interval]]) -> None:
    print(f"{'labels':26}{'accuracy':>10}   {'gain over the majority, points'}")
    for arm, measured in found.items():
        low, gain, high = (100 * value for value in measured["gain"])
        accuracy = 100 * measured["accuracy"][1]
        print(f"{arm:26}{accuracy:9.2f}%   {gain:+.2f}  [{low:+.2f}, {high:+.2f}]", flush=True)


if __name__ == "__main__":
    main()

"""What a labelling plan buys before it runs: accuracy, votes, hours and money.

The pool judges simulated pairs over and over (``labelling_votes``); a reward model learns from the
consensus (``labelling_curve``). Every overlap is tried on the same votes, so that they compare.
The arithmetic is explained in docs/collect/simulation.md.

Shapes: I pairs, F features, S sizes, R replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from scipy.stats import t as student

from plaudit.config import Config
from plaudit.feedback.labelling.curve import LearningCurve, fit_curve, learned_correlation
from plaudit.feedback.labelling.votes import (
    MEAN_LENGTH_LOG2,
    Floats,
    Overlap,
    cast,
    consensus,
)
from plaudit.feedback.simulation import RaterKind
from plaudit.statistics.intervals import Interval, normal_quantile

SIMULATED_FEATURES = 32
"""The curve of any other number is this one's, its pairs multiplied."""
PAIRS_PER_FEATURE = (2, 4, 8, 16, 32)
"""Sizes at which a reward model is fitted."""
MOST_SIMULATED = 4096

Written = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Field(pattern=r"^[1-9]\d*(\+[1-9]\d*)?$"),
]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Accuracy = Annotated[float, Field(gt=0.5, lt=1)]


class LabellingPlan(Config):
    """What is planned, and what it is to reach."""

    overlap: Written = "2+1"
    """Votes a pair; 2+1 is two, and a third where they leave it even."""
    alternatives: tuple[Written, ...] = ("1", "2+1", "3", "5")
    """Overlaps to compare it with, on the same number of votes; by default those of these that the
    pool has raters for."""
    pairs: Count | None = None
    """Pairs to label; null to find how many reach reward_accuracy."""
    consensus_accuracy: Accuracy = 0.85
    """Share of pairs whose consensus shall be right."""
    reward_accuracy: Accuracy = 0.75
    """Share of held-out pairs that the reward model shall order rightly."""
    price_per_vote: Annotated[float, Field(ge=0)] = 0.0
    """In dollars, or whatever you pay in."""
    hours_per_rater: Positive = 20.0
    """That one rater can give to the project."""
    gap: Positive = 1.0
    """Standard deviation of the true difference of a pair, in the unit of the raters' noise."""
    length_doublings: Annotated[float, Field(ge=0)] = 0.5
    """Standard deviation of log2 of a response's length, for raters who go by it."""
    session_votes: Count = 50
    """Judgments in one sitting, for raters who tire."""
    features: Count = 256
    """Of the reward model: pairs needed are proportional to them. A guess: the two below say it
    better."""
    measured_pairs: Count | None = None
    """Labelled pairs, with the overlap above, that a reward model of yours learned from."""
    measured_accuracy: Accuracy | None = None
    """Share of held-out pairs, judged with care, that this model orders rightly."""
    ceiling: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Correlation of the best reward such a model can give with the true utility."""
    replicates: Annotated[int, Field(ge=4)] = 20
    """Simulated projects behind each figure."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Of the intervals, in which one project like this one will be."""
    seed: int = 0
    """Of the simulation."""

    @model_validator(mode="after")
    def _measured_or_guessed(self) -> LabellingPlan:
        if (self.measured_pairs is None) != (self.measured_accuracy is None):
            raise ValueError("measured_pairs and measured_accuracy: give both or neither")
        if self.measured_pairs is not None and "features" in self.model_fields_set:
            raise ValueError("features: do not apply where measured_pairs says how fast it learns")
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What one overlap comes to."""

    overlap: str
    votes_per_pair: float
    consensus_accuracy: Interval
    reward_accuracy: Interval
    """At ``pairs``."""
    pairs: float
    """Planned, or needed to expect the reward accuracy aimed at; infinite where none suffice."""
    pairs_for_sure: float
    """At which the interval's lower end reaches the reward accuracy aimed at."""
    votes: float
    price: float
    hours: float
    raters: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one overlap came to in one simulated project, had it stopped at each size."""

    votes_per_pair: float
    accuracy_S: list[float]
    """Of the consensus."""
    correlation_S: list[float]
    """``rho`` of the reward model that learned from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """What one overlap came to in every replicate."""

    overlap: Overlap
    votes_per_pair: float
    sizes_S: Floats
    """Pairs."""
    accuracy_RS: Floats
    curve: LearningCurve


def predict(plan: LabellingPlan, kinds: Sequence[RaterKind]) -> tuple[Prediction, ...]:
    """The plan first, then its alternatives: for as many votes where pairs are planned, else for
    the pairs each needs.

    Args:
        kinds: of each rater of the pool.

    Raises:
        ValueError: the pool is smaller than the largest overlap, or its labels teach nothing.
    """
    simulated = simulate_overlaps(plan, kinds, _overlaps(plan, len(kinds)))
    slower = _slower(plan, simulated[0].curve)
    found = [replace(one, curve=one.curve.slowed(slower)) for one in simulated]
    budget = plan.pairs * found[0].votes_per_pair if plan.pairs else None
    return tuple(_prediction(plan, kinds, one, budget) for one in found)


def simulate_overlaps(
    plan: LabellingPlan, kinds: Sequence[RaterKind], overlaps: Sequence[Overlap]
) -> list[Simulated]:
    """Every overlap on the same votes, ``replicates`` times over."""
    planned = {min(plan.pairs, MOST_SIMULATED)} if plan.pairs else set()
    sizes = sorted({SIMULATED_FEATURES * pairs for pairs in PAIRS_PER_FEATURE} | planned)
    seeds = np.random.SeedSequence(plan.seed).spawn(plan.replicates)
    replicates = [
        run_once(plan, kinds, overlaps, sizes, SIMULATED_FEATURES, seed) for seed in seeds
    ]
    columns = zip(*replicates, strict=True)
    return [_gathered(plan, *pair, sizes) for pair in zip(overlaps, columns, strict=True)]


def _gathered(
    plan: LabellingPlan, overlap: Overlap, outcomes_R: Sequence[Outcome], sizes: Sequence[int]
) -> Simulated:
    correlations_RS = [one.correlation_S for one in outcomes_R]
    return Simulated(
        overlap=overlap,
        votes_per_pair=float(np.mean([one.votes_per_pair for one in outcomes_R])),
        sizes_S=np.array(sizes, dtype=float),
        accuracy_RS=np.array([one.accuracy_S for one in outcomes_R]),
        curve=fit_curve(sizes, correlations_RS, plan.ceiling),
    )


def _overlaps(plan: LabellingPlan, raters: int) -> list[Overlap]:
    planned = read_overlap(plan.overlap)
    others = [read_overlap(name) for name in plan.alternatives]
    if "alternatives" not in plan.model_fields_set:
        others = [one for one in others if one.most <= raters]
    return list(dict.fromkeys((planned, *others)))


def _slower(plan: LabellingPlan, curve: LearningCurve) -> float:
    """How many times the pairs that were simulated the real reward model needs."""
    if plan.measured_pairs is None or plan.measured_accuracy is None:
        return plan.features / SIMULATED_FEATURES
    simulated = curve.pairs(plan.measured_accuracy)
    if not np.isfinite(simulated):
        raise ValueError(
            f"measured_accuracy is {plan.measured_accuracy}, at or above what ceiling "
            f"{plan.ceiling} allows ({curve.accuracy(1e12):.3f}); raise ceiling"
        )
    return plan.measured_pairs / simulated


def read_overlap(written: str) -> Overlap:
    """From ``3``, or ``2+1``."""
    votes, _, extra = written.partition("+")
    return Overlap(votes=int(votes), extra=int(extra or 0))


def run_once(
    plan: LabellingPlan,
    kinds: Sequence[RaterKind],
    overlaps: Sequence[Overlap],
    sizes: Sequence[int],
    features: int,
    seed: np.random.SeedSequence,
) -> list[Outcome]:
    """One project of ``sizes[-1]`` pairs, looked at after each of the sizes, for each overlap."""
    rng = np.random.default_rng(seed)
    pairs, most = sizes[-1], max(overlap.most for overlap in overlaps)
    features_IF = rng.standard_normal((pairs, features))
    direction_F = _direction(features, rng)
    shown_I, hidden_I = features_IF @ direction_F, rng.standard_normal(pairs)
    gaps_I = plan.gap * (plan.ceiling * shown_I + np.sqrt(1 - plan.ceiling**2) * hidden_I)
    ballots = cast(
        kinds, gaps_I, most,
        length_doublings=plan.length_doublings, session_votes=plan.session_votes, rng=rng,
    )  # fmt: skip

    def outcome(overlap: Overlap) -> Outcome:
        found = [consensus(ballots.first(size), overlap) for size in sizes]
        learned = [
            learned_correlation(features_IF[:size], one.probability_I, direction_F, plan.ceiling)
            for one, size in zip(found, sizes, strict=True)
        ]
        return Outcome(
            votes_per_pair=found[-1].votes / pairs,
            accuracy_S=[
                one.accuracy(gaps_I[:size]) for one, size in zip(found, sizes, strict=True)
            ],
            correlation_S=learned,
        )

    return [outcome(overlap) for overlap in overlaps]


def _direction(features: int, rng: np.random.Generator) -> Floats:
    drawn_F = rng.standard_normal(features)
    return drawn_F / np.linalg.norm(drawn_F)


def _prediction(
    plan: LabellingPlan, kinds: Sequence[RaterKind], one: Simulated, budget: float | None
) -> Prediction:
    z = normal_quantile(plan.confidence)
    needed = one.curve.pairs(plan.reward_accuracy)
    pairs = needed if budget is None else budget / one.votes_per_pair
    votes = pairs * one.votes_per_pair
    hours = votes * seconds_per_vote(plan, kinds) / 3600
    return Prediction(
        overlap=str(one.overlap),
        votes_per_pair=one.votes_per_pair,
        consensus_accuracy=consensus_interval(one, pairs, plan.confidence),
        reward_accuracy=one.curve.interval(pairs, z),
        pairs=pairs,
        pairs_for_sure=one.curve.pairs(plan.reward_accuracy, -z),
        votes=votes,
        price=votes * plan.price_per_vote,
        hours=hours,
        raters=max(ceil(hours / plan.hours_per_rater), one.overlap.most)
        if np.isfinite(hours)
        else float("inf"),
    )


def consensus_interval(one: Simulated, pairs: float, confidence: float) -> Interval:
    """Where the accuracy of one project's consensus will lie: a t interval for a new observation.

    ``mean -+ t sd sqrt(I / N + 1 / R)``, from replicates of the nearest size I; for N pairs the
    standard deviation differs by the root.
    """
    near = int(np.abs(np.log(one.sizes_S / pairs)).argmin()) if np.isfinite(pairs) else -1
    accuracy_R, count = one.accuracy_RS[:, near], len(one.accuracy_RS)
    scale = np.sqrt(one.sizes_S[near] / pairs + 1 / count)
    quantile = student.ppf((1 + confidence) / 2, count - 1)
    half, mean = float(quantile * accuracy_R.std(ddof=1) * scale), float(accuracy_R.mean())
    return Interval(max(mean - half, 0.0), mean, min(mean + half, 1.0))


def seconds_per_vote(plan: LabellingPlan, kinds: Sequence[RaterKind]) -> float:
    """Mean over the pool: log-normal thinking, and two responses to read."""
    characters = 2**MEAN_LENGTH_LOG2 * np.exp((np.log(2) * plan.length_doublings) ** 2 / 2)
    thinking = [kind.seconds * np.exp(kind.seconds_spread**2 / 2) for kind in kinds]
    speeds = [kind.characters_per_second for kind in kinds]
    reading = [2 * characters / speed if speed else 0.0 for speed in speeds]
    return float(np.mean(thinking) + np.mean(reading))

"""A pilot's judgments -> how noisy its raters are, for a plan that is calibrated to them.

Two raters who see ``d + error`` of the same pair, ``d ~ N(0, gap^2)`` and errors of variance
``2 noise^2``, see values that correlate by ``r = gap^2 / (gap^2 + 2 noise^2)``. With ties where
less than ``t`` standard deviations is seen, two decisive votes agree with probability

    agree(r) = L(r) / (L(r) + L(-r)),    L(r) = P(X > t, Y > t) of two normals that correlate by r

which at t = 0 is ``1/2 + arcsin(r) / pi`` (Sheppard 1899). So how often raters agree says ``r``,
and ``noise = gap sqrt((1 / r - 1) / 2)``. How often they tie says t, and how often the left
one wins the leaning to it. Raters are taken for alike: noise is that of the pool.

Shapes: N pairs of votes on one item.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import ndtr, ndtri, owens_t

from plaudit.feedback.simulation import RaterKind
from plaudit.judgments import Judgment, Pairwise
from plaudit.statistics.intervals import Interval, cluster_bootstrap

LEAST_CORRELATION, MOST_CORRELATION = 0.01, 0.999
LEAST_ITEMS = 20
_CHANCE = 0.5  # agree(0), whatever the ties
RESAMPLES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Pilot:
    """What a pilot says of a pool, in the unit in which true differences vary by ``gap``."""

    agreement: Interval
    """Of two decisive votes on one item, clustered by item."""
    noise: Interval
    left_bias: float
    tie_band: float
    seconds: float
    """Median active time."""
    items: int
    """With two votes or more."""
    raters: int

    def kinds(self) -> list[RaterKind]:
        """The pool as raters to simulate, all alike."""
        one = RaterKind(
            name="pilot", noise=self.noise.point, left_bias=self.left_bias,
            tie_band=self.tie_band, seconds=self.seconds,
        )  # fmt: skip
        return [one] * self.raters


def estimate_pool(judgments: Iterable[Judgment], gap: float, confidence: float = 0.9) -> Pilot:
    """From the judgments of a pilot that stand; what is not pairwise is passed over.

    Raises:
        ValueError: fewer than 20 items have two decisive votes, or raters agree no more than
            chance.
    """
    votes = [one for one in judgments if isinstance(one.answer, Pairwise) and not one.is_repeat]
    sides = [_side(one) for one in votes]
    items, agrees = _agreements(votes, sides)
    if len(set(items)) < LEAST_ITEMS:
        raise ValueError(
            f"the pilot has two decisive pairwise votes on {len(set(items))} items; expected at "
            f"least {LEAST_ITEMS}: judge more of its items twice"
        )
    ties = sides.count(0) / len(sides)
    band = float(ndtri((1 + ties) / 2))
    agreement = cluster_bootstrap(
        _weighted_mean, items, agrees, resamples=RESAMPLES, confidence=confidence
    )
    if agreement.point <= _CHANCE:
        raise ValueError(
            f"the pilot's raters agree on {agreement.point:.3f} of two decisive votes, no more "
            "than by chance (0.5), so nothing tells their noise; see plaudit feedback raters"
        )
    low, point, high = (_correlation(rate, band) for rate in agreement)
    spread = gap / np.sqrt(point)
    return Pilot(
        agreement=agreement,
        noise=Interval(_noise(high, gap), _noise(point, gap), _noise(low, gap)),
        left_bias=float(spread * _leaning(votes, sides)),
        tie_band=float(band * spread),
        seconds=_median_seconds(votes),
        items=len(set(items)),
        raters=len({one.rater.id for one in votes}),
    )


def agreement_of_correlation(correlation: float, band: float) -> float:
    """``agree(r)`` of two decisive votes; ``band`` is t, in standard deviations of what is seen."""
    same = _both_above(correlation, band)
    return same / (same + _both_above(-correlation, band))


def _both_above(correlation: float, band: float) -> float:
    """``Phi(-t) - 2 T(t, sqrt((1 - r) / (1 + r)))`` with Owen's T (1956)."""
    slope = np.sqrt((1 - correlation) / (1 + correlation))
    return float(ndtr(-band) - 2 * owens_t(band, slope))


def _correlation(agreement: float, band: float) -> float:
    """``r`` of an agreement, kept between 0.01 and 0.999 where chance took it beyond."""
    low, high = LEAST_CORRELATION, MOST_CORRELATION
    if agreement <= agreement_of_correlation(low, band):
        return low
    if agreement >= agreement_of_correlation(high, band):
        return high
    found = root_scalar(
        lambda r: agreement_of_correlation(r, band) - agreement, bracket=(low, high)
    )
    return float(found.root)


def _noise(correlation: float, gap: float) -> float:
    return float(gap * np.sqrt((1 / correlation - 1) / 2))


def _side(judgment: Judgment) -> int:
    assert isinstance(judgment.answer, Pairwise)
    return int(np.sign(judgment.answer.strength))


def _agreements(votes: Sequence[Judgment], sides: Sequence[int]) -> tuple[list[str], list[float]]:
    """Item, and 1 or 0, of each two decisive votes of different raters on one item."""
    by_item: dict[str, dict[str, int]] = defaultdict(dict)
    for vote, side in zip(votes, sides, strict=True):
        if side:
            by_item[f"{vote.question}/{vote.item}"][vote.rater.id] = side
    pairs = [
        (item, float(first == second))
        for item, of_raters in by_item.items()
        for first, second in itertools.combinations(of_raters.values(), 2)
    ]
    return [item for item, _ in pairs], [agrees for _, agrees in pairs]


def _leaning(votes: Sequence[Judgment], sides: Sequence[int]) -> float:
    """By how many standard deviations what is seen leans to the left, from the decisive votes."""
    placed = [(s, v.shown) for v, s in zip(votes, sides, strict=True) if len(v.shown) == 2]
    left = sum((side < 0) == (shown[0] == 0) for side, shown in placed if side)
    right = sum(1 for side, _ in placed if side) - left
    if not left + right:
        return 0.0
    ties = sum(1 for side, _ in placed if not side)
    total = left + right + ties
    # P(left) = Phi(b - t), P(right) = Phi(-b - t): half the difference of their quantiles.
    at_left, at_right = (ndtri(np.clip((n + 0.5) / (total + 1), 0, 1)) for n in (left, right))
    return float(at_left - at_right) / 2


def _median_seconds(votes: Sequence[Judgment]) -> float:
    times = [one.active_seconds for one in votes if one.active_seconds]
    return float(np.median(times)) if times else RaterKind(name="unknown").seconds


def _weighted_mean(weights_N: np.ndarray, values_N: np.ndarray) -> float:
    total = weights_N.sum()
    return float(weights_N @ values_N / total) if total else float("nan")

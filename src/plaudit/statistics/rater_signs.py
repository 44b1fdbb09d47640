"""What shows that a rater does not judge: signs with their evidence, and who is to be looked at.

A flag is a reason to look, never a verdict: it suspends nobody by itself. How each sign is
measured is in ``habits``; how many are caught and how many wrongly, in ``docs/consensus.md``.

Shapes: N votes, I pairs, W raters, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from plaudit.statistics.dawid_skene import one_coin
from plaudit.statistics.habits import (
    GRID,
    TIE,
    Booleans,
    PairVotes,
    accuracy_posterior,
    agreement_z,
    consensus_of_others,
    count,
    decided,
    gold_below,
    holm,
    left_counts,
    median_seconds,
    ratio,
    robust_z,
    towards_longer,
    two_sided_binomial,
)
from plaudit.statistics.votes import UNKNOWN, Floats, Integers, gold_labels

ROUNDS = 3
"""The consensus is drawn again without the flagged ones until nobody new is flagged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """When a sign becomes a flag."""

    gold_floor: float = 0.65
    gold_certainty: float = 0.9
    """Flagged where ``P(accuracy on gold < floor)`` is above it."""
    accuracy_floor: float = 0.7
    accuracy_certainty: float = 0.9
    """Against the consensus of others: one who errs in 30 % of cases passes, a coin does not."""
    significance: float = 0.01
    """Of a habit of side or length, after Holm over all raters."""
    left_margin: float = 0.15
    """How far from one half the rate of left must be besides: small habits are corrected for."""
    length_margin: float = 0.3
    """How much more often a rater must depart towards one length than towards the other."""
    speed_z: float = -3.5
    tie_z: float = 3.5
    """Robust z-scores at which haste and ties are noted."""
    tie_rate: float = 0.5
    """Who ties more often than this besides is flagged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RaterSigns:
    """The signs of each rater, [W]; NaN where a rater gave nothing to measure."""

    votes_W: Integers
    gold_right_W: Integers
    gold_wrong_W: Integers
    gold_below_floor_W: Floats
    """``P(accuracy < floor)`` under Beta(1 + right, 1 + wrong)."""
    accuracy_W: Floats
    """Posterior mean of the accuracy of votes that are no ties, against the others' consensus."""
    accuracy_below_floor_W: Floats
    agreement_z_W: Floats
    """Agreement with others, less what the mean rater would have on these items, in sds."""
    left_rate_W: Floats
    left_p_W: Floats
    """Two-sided binomial against one half, adjusted by Holm."""
    towards_longer_W: Floats
    """Departures from the others where they prefer the shorter, less those where the longer."""
    length_p_W: Floats
    """Fisher's exact test of those two rates, adjusted by Holm."""
    tie_rate_W: Floats
    tie_z_W: Floats
    median_seconds_W: Floats
    speed_z_W: Floats
    """Robust z of the logarithm of the median time; below 0 is fast."""
    reasons: tuple[tuple[str, ...], ...] = ()
    """Of each rater, why flagged: ``gold``, ``accuracy``, ``left``, ``right``, ``longer``,
    ``shorter``, ``ties``; empty for those who are not."""
    notes: tuple[tuple[str, ...], ...] = ()
    """``fast`` and ``ties``: worth a look, and innocent in many."""

    @property
    def flagged_W(self) -> Booleans:
        """Who is flagged."""
        return np.array([bool(reasons) for reasons in self.reasons])


def flag_raters(pairs: PairVotes, rules: Rules | None = None) -> RaterSigns:
    """The signs of every rater and who is flagged by them.

    The consensus begins from all; those flagged are then left out of it, up to three times, for
    ten left-clickers among thirty raters bend what the others seem to say. They are still
    measured against it themselves.

    Raises:
        ValueError: an array whose length is not that of the votes, pairs or labels asks for.
    """
    rules = rules or Rules()
    _check(pairs)
    flagged_W = np.zeros(pairs.votes.raters, dtype=bool)
    for _ in range(ROUNDS):
        signs = _decided(_signs(pairs, flagged_W, rules), rules)
        if (signs.flagged_W == flagged_W).all():
            break
        flagged_W = signs.flagged_W
    return signs


def _signs(pairs: PairVotes, left_out_W: Booleans, rules: Rules) -> RaterSigns:
    votes, chosen = pairs.votes, decided(pairs)
    others_NK = _others(chosen, left_out_W)
    posterior_WG = accuracy_posterior(chosen.votes, others_NK)
    accuracy_W = posterior_WG @ GRID
    cast_W = count(votes, np.ones(len(votes), dtype=bool))
    right_W, wrong_W = _on_gold(pairs)
    left_W, shown_W = left_counts(chosen)
    towards_W, length_p_W = towards_longer(chosen, others_NK)
    tie_rate_W = ratio(count(votes, votes.labels_N == TIE), cast_W)
    median_W = median_seconds(pairs)
    return RaterSigns(
        votes_W=cast_W,
        gold_right_W=right_W,
        gold_wrong_W=wrong_W,
        gold_below_floor_W=gold_below(right_W, wrong_W, rules.gold_floor),
        accuracy_W=accuracy_W,
        accuracy_below_floor_W=posterior_WG[:, rules.accuracy_floor > GRID].sum(axis=1),
        agreement_z_W=agreement_z(chosen.votes, others_NK, _mean(accuracy_W, cast_W)),
        left_rate_W=ratio(left_W, shown_W),
        left_p_W=holm(two_sided_binomial(left_W, shown_W)),
        towards_longer_W=towards_W,
        length_p_W=holm(length_p_W),
        tie_rate_W=tie_rate_W,
        tie_z_W=robust_z(tie_rate_W),
        median_seconds_W=median_W,
        speed_z_W=robust_z(np.log(median_W)),
    )


def _others(chosen: PairVotes, left_out_W: Booleans) -> Floats:
    """What the others say of each vote's item, [N, 2], without those who are left out."""
    votes = chosen.votes
    gold = gold_labels(chosen.gold_I, votes.items, votes.labels)
    kept = votes.chosen(~left_out_W[votes.raters_N])
    trusted = one_coin(kept if len(kept) else votes, gold)
    return consensus_of_others(votes, gold, trusted, (~left_out_W).astype(float))


def _on_gold(pairs: PairVotes) -> tuple[Integers, Integers]:
    """Right and wrong votes on items of gold, [W] each; a tie is right where gold is one."""
    gold_N = pairs.gold_I[pairs.votes.items_N]
    known_N, right_N = gold_N != UNKNOWN, gold_N == pairs.votes.labels_N
    return count(pairs.votes, known_N & right_N), count(pairs.votes, known_N & ~right_N)


def _mean(values_W: Floats, weights_W: Integers) -> float:
    return float(values_W @ weights_W / weights_W.sum())


def _decided(signs: RaterSigns, rules: Rules) -> RaterSigns:
    habit_W = signs.left_p_W < rules.significance
    length_W = signs.length_p_W < rules.significance
    flags = {
        "gold": signs.gold_below_floor_W > rules.gold_certainty,
        "accuracy": signs.accuracy_below_floor_W > rules.accuracy_certainty,
        "left": habit_W & (signs.left_rate_W > 0.5 + rules.left_margin),
        "right": habit_W & (signs.left_rate_W < 0.5 - rules.left_margin),
        "longer": length_W & (signs.towards_longer_W > rules.length_margin),
        "shorter": length_W & (signs.towards_longer_W < -rules.length_margin),
    }
    many_ties_W = signs.tie_z_W > rules.tie_z
    flags["ties"] = many_ties_W & (signs.tie_rate_W > rules.tie_rate)
    notes = {"fast": signs.speed_z_W < rules.speed_z, "ties": many_ties_W}
    return replace(signs, reasons=_named(flags), notes=_named(notes))


def _named(found: Mapping[str, Booleans]) -> tuple[tuple[str, ...], ...]:
    names = list(found)
    rows_WF = np.stack(list(found.values()), axis=1)
    return tuple(tuple(names[f] for f in np.flatnonzero(row_F)) for row_F in rows_WF)


def _check(pairs: PairVotes) -> None:
    votes = pairs.votes
    lengths = {
        "left_N": (len(pairs.left_N), len(votes)),
        "seconds_N": (len(pairs.seconds_N), len(votes)),
        "longer_I": (len(pairs.longer_I), votes.items),
        "gold_I": (len(pairs.gold_I), votes.items),
    }
    for name, (found, expected) in lengths.items():
        if found != expected:
            raise ValueError(f"{name} has {found} entries; expected {expected}")
    gold_labels(pairs.gold_I, votes.items, votes.labels)
    if votes.labels not in (2, 3) or not (votes.labels_N != TIE).any():
        raise ValueError(
            f"{votes.labels} labels; expected 0 the first candidate, 1 the second, 2 a tie, and"
            " votes that are no ties"
        )

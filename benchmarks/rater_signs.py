"""How many planted bad raters are flagged, and how many honest ones wrongly.

    python benchmarks/rater_signs.py                     # 20 seeds, a table by votes a rater
    python benchmarks/rater_signs.py --votes 200 --gold 0 --hard 0.1 0.2 0.3

Thirty raters judge pairs, five votes a pair: 20 honest ones who err in 10 to 30 % of cases (drawn
for each), 4 who answer at random, 3 who take the left one in 90 %, and 3 who take the longer one
in 90 %; all say tie in 5 %. The better response is the longer one in 65 % of pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from plaudit.statistics.habits import PairVotes
from plaudit.statistics.rater_signs import flag_raters
from plaudit.statistics.votes import UNKNOWN, Floats, Integers, votes

KINDS = ("honest", "random", "left", "longer")
RATERS = (20, 4, 3, 3)
VOTES_A_PAIR = 5
LONGER_IS_BETTER = 0.65
NOISE = (0.1, 0.3)
HABIT = 0.9
TIES = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """Votes on pairs, and which kind each rater is of (an index into ``KINDS``)."""

    pairs: PairVotes
    kind_W: Integers


def planted(
    seed: int,
    votes_a_rater: int,
    raters: Sequence[int] = RATERS,
    gold_share: float = 0.0,
    hard_share: float = 0.0,
) -> Planted:
    """Simulated raters; the same seed gives the same votes. On hard pairs the honest guess."""
    rng = np.random.default_rng(seed)
    kind_W = np.repeat(np.arange(len(KINDS)), raters)
    items = votes_a_rater * len(kind_W) // VOTES_A_PAIR
    order = [rng.permutation(len(kind_W))[:VOTES_A_PAIR] for _ in range(items)]
    item_N, rater_N = np.repeat(np.arange(items), VOTES_A_PAIR), np.concatenate(order)
    truth_I, left_N = rng.integers(2, size=items), rng.integers(2, size=len(item_N))
    longer_I = np.where(rng.random(items) < LONGER_IS_BETTER, truth_I, 1 - truth_I)
    noise_W = rng.uniform(*NOISE, size=len(kind_W))
    is_hard_I = np.random.default_rng([seed, 1]).random(items) < hard_share
    wrong_N = rng.random(len(item_N)) < np.where(is_hard_I[item_N], 0.5, noise_W[rater_N])
    by_kind = {
        "honest": np.where(wrong_N, 1 - truth_I[item_N], truth_I[item_N]),
        "random": rng.integers(2, size=len(item_N)),
        "left": _habit(left_N, rng),
        "longer": _habit(longer_I[item_N], rng),
    }
    label_N = np.choose(kind_W[rater_N], [by_kind[kind] for kind in KINDS])
    label_N = np.where(rng.random(len(item_N)) < TIES, 2, label_N)
    found = PairVotes(
        votes=votes(item_N, rater_N, label_N, items=items, raters=len(kind_W), labels=3),
        left_N=left_N,
        longer_I=longer_I,
        seconds_N=rng.lognormal(3, 0.5, size=len(item_N)),
        gold_I=np.where(rng.random(items) < gold_share, truth_I, UNKNOWN),
    )
    return Planted(pairs=found, kind_W=kind_W)


def _habit(usual_N: Integers, rng: np.random.Generator) -> Integers:
    return np.where(rng.random(len(usual_N)) < HABIT, usual_N, 1 - usual_N)


def flagged_shares(
    seeds: Sequence[int], votes_a_rater: int, gold_share: float, hard_share: float = 0.0
) -> Floats:
    """The share of each kind that is flagged, over all seeds."""
    flagged, raters = np.zeros(len(KINDS)), np.zeros(len(KINDS))
    for seed in seeds:
        made = planted(seed, votes_a_rater, gold_share=gold_share, hard_share=hard_share)
        flags_W = flag_raters(made.pairs).flagged_W
        flagged += np.bincount(made.kind_W, flags_W, minlength=len(KINDS))
        raters += np.bincount(made.kind_W, minlength=len(KINDS))
    return flagged / raters


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--votes", type=int, nargs="+", default=[30, 50, 100, 200, 400])
    parser.add_argument("--gold", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--hard", type=float, nargs="+", default=[0.0])
    chosen = parser.parse_args()
    print(f"Raters of each kind flagged, in per cent, {chosen.seeds} seeds\n")
    print("| votes a rater | gold | hard pairs | " + " | ".join(KINDS) + " |")
    print("|---:|---:|---:|" + "---:|" * len(KINDS))
    for votes_a_rater, gold, hard in product(chosen.votes, chosen.gold, chosen.hard):
        shares = flagged_shares(range(chosen.seeds), votes_a_rater, gold, hard)
        cells = " | ".join(f"{100 * share:.1f}" for share in shares)
        print(f"| {votes_a_rater} | {gold:.0%} | {hard:.0%} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

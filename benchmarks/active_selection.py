"""Pairs chosen to be judged against pairs drawn at random: python benchmarks/active_selection.py

An ensemble of the same reward model (a bag of bigrams under Bradley-Terry, fitted to resamples of
what has been judged so far) says of which pairs the answer would teach it most (BALD); most of each
batch are those, far from one another, and 30 % are drawn at random. A judged pair has the share of
its real votes as its label. Held out are whole debates with their known answers.

Saving: the labels that random choice needs for the accuracy that the selection reaches, less those
the selection needed. Intervals are over runs, each with its own held-out debates and seed.

Shapes: R runs, S steps (sizes of the labelled set), N pairs, M members.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.arguments import FIRST, TIE, Floats, Ints, Pool, accuracy_Q, fit, read_pool
from plaudit.statistics import Interval
from plaudit.statistics.selection import bald, choose_batch

MEMBERS = 6
RATER_ACCURACY = 0.76
"""How often the corpus's votes agree with its known answers."""
L2 = 10.0
HELD_OUT_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A way to choose; the first batch is drawn at random."""

    name: str
    batch: int
    largest: int
    """Pairs judged in the end; twice as many where they are drawn at random."""
    by_distance: bool = True
    random_share: float = 0.3

    @property
    def sizes(self) -> tuple[int, ...]:
        """That the table shows."""
        return tuple(self.largest * part // 5 for part in (1, 2, 3, 5))


SETTINGS = (
    Setting(name="batches of 100", batch=100, largest=1500),
    Setting(name="batches of 20", batch=20, largest=400),
    Setting(name="batches of 20, by gain alone", batch=20, largest=400, by_distance=False),
    Setting(name="batches of 20, none at random", batch=20, largest=400, random_share=0.0),
)


class Curves(NamedTuple):
    """Held-out accuracy at each size, of each run."""

    batch: int
    active_RS: Floats
    random_RS: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with UKPConvArgCrowd-CSV, UKPConvArg1Strict-CSV")
    parser.add_argument("--seeds", type=int, default=4, help="for each part held out")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--plot", type=Path, help="image to write")
    options = parser.parse_args()
    pool = read_pool(options.folder)
    found = {}
    for setting in SETTINGS:
        began = time.monotonic()
        found[setting.name] = curves = run_all(pool, setting, options.seeds)
        print(f"\n{setting.name} ({time.monotonic() - began:.0f} s)")
        print_table(curves, setting.sizes)
    if options.json:
        written = {
            name: {"active": curves.active_RS.tolist(), "random": curves.random_RS.tolist()}
            for name, curves in found.items()
        }
        options.json.write_text(json.dumps(written) + "\n")
    if options.plot:
        plot([found[SETTINGS[n].name] for n in (0, 1)], options.plot)


def run_all(pool: Pool, setting: Setting, seeds: int) -> Curves:
    """Every part of the debates held out in turn, with every seed."""
    debates = sorted(set(pool.debate_T))
    active, random = [], []
    for part in range(HELD_OUT_PARTS):
        out_T = np.array([debates.index(d) % HELD_OUT_PARTS == part for d in pool.debate_T])
        for seed in range(seeds):
            active.append(learning_curve(pool, out_T, seed, setting, is_active=True))
            random.append(learning_curve(pool, out_T, seed, setting, is_active=False))
    return Curves(setting.batch, np.array(active), np.array(random))


def learning_curve(
    pool: Pool, out_T: NDArray[np.bool_], seed: int, setting: Setting, *, is_active: bool
) -> list[float]:
    """Accuracy on the held-out debates as pairs of the others are judged; both ways begin alike."""
    rng = np.random.default_rng((seed, 43))
    votes_N = np.bincount(pool.pair_V)
    won_N = np.bincount(pool.pair_V, np.where(pool.said_V == FIRST, 1.0, (pool.said_V == TIE) / 2))
    share_N = won_N / votes_N
    candidates = np.flatnonzero(~out_T[pool.topic_N])
    rows_Q = out_T[pool.topic_Q]
    labelled = rng.choice(candidates, setting.batch, replace=False)
    found, weights_F = [], None
    while True:
        weights_F = _fitted(pool, labelled, share_N, weights_F)
        found.append(float(accuracy_Q(pool, rows_Q, weights_F).mean()))
        if len(labelled) >= setting.largest * (1 if is_active else 2):
            return found
        left = np.setdiff1d(candidates, labelled)
        if is_active:
            more = _chosen(pool, setting, labelled, left, share_N, weights_F, rng)
        else:
            more = rng.choice(left, setting.batch, replace=False)
        labelled = np.concatenate([labelled, more])


def _fitted(pool: Pool, rows: Ints, share_N: Floats, begin_F: Floats | None) -> Floats:
    return fit(
        pool.features_AF,
        pool.first_N[rows],
        pool.second_N[rows],
        share_N[rows],
        np.ones(len(rows)),
        l2=L2,
        begin_F=begin_F,
    )


def _chosen(
    pool: Pool,
    setting: Setting,
    labelled: Ints,
    left: Ints,
    share_N: Floats,
    begin_F: Floats,
    rng: np.random.Generator,
) -> Ints:
    """A batch of what is left: by what the ensemble would learn, with a random share."""
    gaps_MN = []
    for _ in range(MEMBERS):
        drawn = rng.choice(labelled, len(labelled))
        score_A = pool.features_AF @ _fitted(pool, drawn, share_N, begin_F)
        gaps_MN.append(score_A[pool.first_N[left]] - score_A[pool.second_N[left]])
    gains_N = bald(expit(np.array(gaps_MN)), RATER_ACCURACY)
    embedding_ND = pool.embedding_AD[pool.first_N[left]] - pool.embedding_AD[pool.second_N[left]]
    chosen = choose_batch(
        gains_N,
        setting.batch,
        embeddings_ND=embedding_ND if setting.by_distance else None,
        random_share=setting.random_share,
        seed=int(rng.integers(2**31)),
    )
    return left[chosen.chosen_B]


def saving(active_S: Floats, random_S: Floats, size: int, batch: int) -> float:
    """The share of labels spared at a size, by mean curves that are made to rise.

    1 - size / n, where random choice first reaches with n labels what the selection has there;
    where it never does, n is the most that were tried.
    """
    rising_S = np.maximum.accumulate(random_S)
    reached = np.maximum.accumulate(active_S)[size // batch - 1]
    sizes_S = batch * np.arange(1, len(rising_S) + 1)
    if reached > rising_S[-1]:
        return 1 - size / sizes_S[-1]
    at = int(np.argmax(rising_S >= reached))
    if at == 0:
        return 1 - size / sizes_S[0]
    span = rising_S[at] - rising_S[at - 1]
    n = sizes_S[at - 1] + batch * (reached - rising_S[at - 1]) / span
    return float(1 - size / n)


def over_runs(curves: Curves, size: int) -> tuple[Interval, Interval]:
    """Gain in accuracy and saving at a size, under resampling of runs."""
    rng = np.random.default_rng(0)
    step, runs = size // curves.batch - 1, len(curves.active_RS)
    gain_R = curves.active_RS[:, step] - curves.random_RS[:, step]
    gains, savings = [], []
    for _ in range(2000):
        drawn = rng.integers(runs, size=runs)
        gains.append(gain_R[drawn].mean())
        means = curves.active_RS[drawn].mean(0), curves.random_RS[drawn].mean(0)
        savings.append(saving(*means, size, curves.batch))
    means = curves.active_RS.mean(0), curves.random_RS.mean(0)
    points = gain_R.mean(), saving(*means, size, curves.batch)
    bounds = [np.quantile(values, [0.025, 0.975]) for values in (gains, savings)]
    found = [
        Interval(float(b[0]), float(p), float(b[1])) for p, b in zip(points, bounds, strict=True)
    ]
    return found[0], found[1]


def print_table(curves: Curves, sizes: Sequence[int]) -> None:
    print("labelled   random   chosen   gain, points            labels spared")
    for size in sizes:
        step = size // curves.batch - 1
        random, active = curves.random_RS[:, step].mean(), curves.active_RS[:, step].mean()
        gain, spared = over_runs(curves, size)
        low, point, high = (100 * value for value in gain)
        gained = f"{point:+.2f} [{low:+.2f}, {high:+.2f}]"
        low, point, high = (100 * value for value in spared)
        print(
            f"{size:8}  {100 * random:6.2f}%  {100 * active:6.2f}%  {gained:22}"
            f"  {point:+.0f} % [{low:+.0f}, {high:+.0f}]",
            flush=True,
        )


def plot(found: Sequence[Curves], file: Path) -> None:
    """Mean curves with 95 % bands over runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, both = plt.subplots(1, len(found), figsize=(9, 3.4), sharey=True)
    for axes, curves in zip(both, found, strict=True):
        for name, values_RS in (("chosen", curves.active_RS), ("at random", curves.random_RS)):
            sizes_S = curves.batch * np.arange(1, values_RS.shape[1] + 1)
            mean_S = 100 * values_RS.mean(0)
            half_S = 196 * values_RS.std(0, ddof=1) / np.sqrt(len(values_RS))
            axes.plot(sizes_S, mean_S, label=name)
            axes.fill_between(sizes_S, mean_S - half_S, mean_S + half_S, alpha=0.2)
        axes.set_xlabel(f"pairs judged, {curves.batch} at a time")
        axes.grid(alpha=0.3)
    both[0].set_ylabel("held-out accuracy, %")
    both[0].legend()
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


if __name__ == "__main__":
    main()

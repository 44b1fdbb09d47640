"""Pairs chosen to be judged against pairs drawn at random: python benchmarks/active_selection.py

An ensemble of the same reward model (a bag of bigrams under Bradley-Terry, fitted to resamples of
what has been judged so far) says of which pairs the answer would teach it most (BALD); 70 % of each
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
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.arguments import FIRST, TIE, Floats, Ints, Pool, accuracy_Q, fit, read_pool
from plaudit.statistics import Interval
from plaudit.statistics.selection import bald, choose_batch

START = 100
BATCH = 100
LARGEST = 1500
LARGEST_AT_RANDOM = 3000
MEMBERS = 6
RATER_ACCURACY = 0.76
"""How often the corpus's votes agree with its known answers."""
L2 = 10.0
HELD_OUT_PARTS = 4
SIZES = (300, 500, 1000, 1500)


class Curves(NamedTuple):
    """Held-out accuracy at each size, of each run."""

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
    curves = run_all(pool, options.seeds)
    print_table(curves)
    if options.json:
        options.json.write_text(json.dumps({k: v.tolist() for k, v in curves._asdict().items()}))
    if options.plot:
        plot(curves, options.plot)


def run_all(pool: Pool, seeds: int) -> Curves:
    """Every part of the debates held out in turn, with every seed."""
    debates = sorted(set(pool.debate_T))
    active, random = [], []
    for part in range(HELD_OUT_PARTS):
        out_T = np.array([debates.index(d) % HELD_OUT_PARTS == part for d in pool.debate_T])
        for seed in range(seeds):
            began = time.monotonic()
            active.append(learning_curve(pool, out_T, seed, LARGEST, is_active=True))
            random.append(learning_curve(pool, out_T, seed, LARGEST_AT_RANDOM, is_active=False))
            print(f"part {part} seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    return Curves(np.array(active), np.array(random))


def learning_curve(
    pool: Pool, out_T: NDArray[np.bool_], seed: int, largest: int, *, is_active: bool
) -> list[float]:
    """Accuracy on the held-out debates as pairs of the others are judged; both ways begin alike."""
    rng = np.random.default_rng((seed, 43))
    votes_N = np.bincount(pool.pair_V)
    won_N = np.bincount(pool.pair_V, np.where(pool.said_V == FIRST, 1.0, (pool.said_V == TIE) / 2))
    share_N = won_N / votes_N
    candidates = np.flatnonzero(~out_T[pool.topic_N])
    rows_Q = out_T[pool.topic_Q]
    labelled = rng.choice(candidates, START, replace=False)
    found, weights_F = [], None
    while True:
        weights_F = _fitted(pool, labelled, share_N, weights_F)
        found.append(float(accuracy_Q(pool, rows_Q, weights_F).mean()))
        if len(labelled) >= largest:
            return found
        left = np.setdiff1d(candidates, labelled)
        if is_active:
            more = _chosen(pool, labelled, left, share_N, weights_F, rng)
        else:
            more = rng.choice(left, BATCH, replace=False)
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
    seed = int(rng.integers(2**31))
    return left[choose_batch(gains_N, BATCH, embeddings_ND=embedding_ND, seed=seed).chosen_B]


def saving(active_S: Floats, random_S: Floats, size: int) -> float:
    """The share of labels spared at a size, by mean curves that are made to rise.

    1 - size / n, where random choice first reaches with n labels what the selection has there;
    where it never does, n is the most that were tried.
    """
    rising_S = np.maximum.accumulate(random_S)
    reached = np.maximum.accumulate(active_S)[(size - START) // BATCH]
    sizes_S = START + BATCH * np.arange(len(rising_S))
    if reached > rising_S[-1]:
        return 1 - size / sizes_S[-1]
    at = int(np.argmax(rising_S >= reached))
    if at == 0:
        return 1 - size / sizes_S[0]
    span = rising_S[at] - rising_S[at - 1]
    n = sizes_S[at - 1] + BATCH * (reached - rising_S[at - 1]) / span
    return float(1 - size / n)


def over_runs(curves: Curves, size: int) -> tuple[Interval, Interval]:
    """Gain in accuracy and saving at a size, under resampling of runs."""
    rng = np.random.default_rng(0)
    step, runs = (size - START) // BATCH, len(curves.active_RS)
    gain_R = curves.active_RS[:, step] - curves.random_RS[:, step]
    gains, savings = [], []
    for _ in range(2000):
        drawn = rng.integers(runs, size=runs)
        gains.append(gain_R[drawn].mean())
        means = curves.active_RS[drawn].mean(0), curves.random_RS[drawn].mean(0)
        savings.append(saving(*means, size))
    points = gain_R.mean(), saving(curves.active_RS.mean(0), curves.random_RS.mean(0), size)
    bounds = [np.quantile(values, [0.025, 0.975]) for values in (gains, savings)]
    found = [
        Interval(float(b[0]), float(p), float(b[1])) for p, b in zip(points, bounds, strict=True)
    ]
    return found[0], found[1]


def print_table(curves: Curves) -> None:
    print("labelled   random   chosen   gain, points            labels spared")
    for size in SIZES:
        step = (size - START) // BATCH
        random, active = curves.random_RS[:, step].mean(), curves.active_RS[:, step].mean()
        gain, spared = over_runs(curves, size)
        low, point, high = (100 * value for value in gain)
        gained = f"{point:+.2f} [{low:+.2f}, {high:+.2f}]"
        low, point, high = (100 * value for value in spared)
        print(
            f"{size:8}  {100 * random:6.2f}%  {100 * active:6.2f}%  {gained:22}"
            f"  {point:+.0f} % [{low:+.0f}, {high:+.0f}]"
        )


def plot(curves: Curves, file: Path) -> None:
    """Mean curves with 95 % bands over runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for name, values_RS in (("chosen", curves.active_RS), ("at random", curves.random_RS)):
        sizes_S = START + BATCH * np.arange(values_RS.shape[1])
        mean_S = 100 * values_RS.mean(0)
        half_S = 196 * values_RS.std(0, ddof=1) / np.sqrt(len(values_RS))
        axes.plot(sizes_S, mean_S, label=name)
        axes.fill_between(sizes_S, mean_S - half_S, mean_S + half_S, alpha=0.2)
    axes.set_xlabel("pairs judged")
    axes.set_ylabel("held-out accuracy, %")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


if __name__ == "__main__":
    main()

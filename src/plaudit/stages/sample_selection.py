"""Which of a prompt's scored responses are kept: pure functions of their scores.

Shapes: K responses of a prompt. Numbers of responses come back in the order they were sampled,
``rejection_sample``'s in the order they were accepted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def best(scores_K: ArrayLike) -> list[int]:
    """The highest, the first of equals: RAFT (Dong et al. 2023, arXiv:2304.06767)."""
    return [int(np.argmax(np.asarray(scores_K)))]


def above(scores_K: ArrayLike, threshold: float) -> list[int]:
    """Those of at least ``threshold``: ReST raises it from round to round (Gulcehre et al. 2023,
    arXiv:2308.08998); with a verdict's 1 it is STaR's filter (Zelikman et al. 2022)."""
    return [int(k) for k in np.flatnonzero(np.asarray(scores_K) >= threshold)]


def acceptance(scores_K: ArrayLike, beta: float) -> NDArray[np.float64]:
    """``exp((r_k - max_j r_j) / beta)``, the chance with which response k is accepted: [K].

    Accepted responses follow ``p(y) exp(r(y) / beta)`` up to a constant, where ``p`` is what they
    were sampled from, up to the maximum being that of the sample (Liu et al. 2024, RSO,
    arXiv:2309.06657, algorithm 1).
    """
    scores = np.asarray(scores_K, float)
    return np.exp((scores - scores.max()) / beta)


def accepted(scores_K: ArrayLike, beta: float, uniform_K: ArrayLike) -> list[int]:
    """Those whose uniform number in [0, 1) is below their ``acceptance``; the best always is."""
    return [int(k) for k in np.flatnonzero(np.asarray(uniform_K) < acceptance(scores_K, beta))]


def rejection_sample(
    scores_K: ArrayLike, *, beta: float, keep: int, rng: np.random.Generator
) -> list[int]:
    """``keep`` responses in passes over those not yet ``accepted`` (RSO, algorithm 1)."""
    scores = np.asarray(scores_K, float)
    found: list[int] = []
    left = list(range(len(scores)))
    while left and len(found) < keep:
        now = [left[i] for i in accepted(scores[left], beta, rng.random(len(left)))]
        found += now[: keep - len(found)]
        left = [k for k in left if k not in now]
    return found


def best_and_worst(scores_K: ArrayLike) -> list[tuple[int, int]]:
    """The highest over the lowest, each the first of equals; no pair where all are equal."""
    scores = np.asarray(scores_K)
    better, worse = int(np.argmax(scores)), int(np.argmin(scores))
    return [(better, worse)] if scores[better] > scores[worse] else []


def neighbours(scores_K: ArrayLike) -> list[tuple[int, int]]:
    """Each two that follow one another, the higher first; equal ones make no pair (RSO's first
    round of ranking)."""
    scores = np.asarray(scores_K)
    pairs = [(k, k + 1) for k in range(0, len(scores) - 1, 2) if scores[k] != scores[k + 1]]
    return [(a, b) if scores[a] > scores[b] else (b, a) for a, b in pairs]

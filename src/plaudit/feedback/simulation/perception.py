"""What a rater sees of the candidates' utilities: the one model behind every simulated answer.

``seen_k = u_k + place_k + length_k + noise (1 + fatigue n / 100) e_k`` for candidate k, with

    place_k   left_bias (1/2 - k / (K - 1))
    length_k  length_bias (log2 characters_k - mean log2 characters)
    e_k       standard normal (Thurstone 1927, case V) or Gumbel (Luce 1959)

One of two candidates is then seen above the other with probability ``Phi(d / (noise sqrt 2))``, or
``sigma(d / noise)``. What raters see who never look says nothing of ``u``.

Shapes: Q judgments, K candidates in the order they are shown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from plaudit.feedback.simulation.kinds import RaterKind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def seen_utilities(
    kind: RaterKind,
    utilities_QK: ArrayLike,
    characters_QK: ArrayLike,
    before_Q: ArrayLike,
    rng: np.random.Generator,
) -> Floats:
    """The candidates' utilities as the rater sees them, [Q, K]; equal ones mean a tie.

    Args:
        characters_QK: length of each candidate.
        before_Q: judgments the rater gave before in the same session.
    """
    utilities = np.asarray(utilities_QK, dtype=float)
    characters = np.asarray(characters_QK, dtype=float)
    before_Q1 = np.asarray(before_Q, dtype=float)[:, None]
    if kind.strategy == "honest":
        seen = utilities + _leanings(kind, characters)
        seen += kind.noise * (1 + kind.fatigue * before_Q1 / 100) * _errors(kind, seen.shape, rng)
        lapsed_Q = rng.random(len(seen)) < kind.lapse
        seen[lapsed_Q] = _guesses(kind, seen[lapsed_Q].shape, rng)
    else:
        seen = _unlooked(kind, characters, before_Q1, rng)
    seen[rng.random(len(seen)) < kind.lazy_ties] = 0.0
    return seen


def strengths(kind: RaterKind, seen_Q2: ArrayLike) -> Ints:
    """The pairwise answers, [Q], -3..3: below 0 the first candidate is better, 0 is a tie."""
    seen = np.asarray(seen_Q2, dtype=float)
    gap = seen[:, 1] - seen[:, 0]
    size = np.minimum(1 + np.abs(gap) // kind.strength_step, 3)
    is_tie = (np.abs(gap) < kind.tie_band) | (gap == 0)
    return np.where(is_tie, 0, np.sign(gap) * size).astype(np.int64)


def _leanings(kind: RaterKind, characters_QK: Floats) -> Floats:
    count = characters_QK.shape[1]
    place_K = kind.left_bias * (0.5 - np.arange(count) / max(count - 1, 1))
    length_QK = np.log2(np.maximum(characters_QK, 1))
    return place_K + kind.length_bias * (length_QK - length_QK.mean(axis=1, keepdims=True))


def _unlooked(
    kind: RaterKind, characters_QK: Floats, before_Q1: Floats, rng: np.random.Generator
) -> Floats:
    """Of one who never looks: by place or length, plain preferences 1.5 steps apart."""
    places = np.broadcast_to(np.arange(characters_QK.shape[1], dtype=float), characters_QK.shape)
    match kind.strategy:
        case "random":
            return _guesses(kind, characters_QK.shape, rng)
        case "first":
            found = -places
        case "last":
            found = places
        case "alternating":
            found = np.where(before_Q1 % 2 == 0, -places, places)
        case "longest":
            found = rankdata(characters_QK, axis=1)
        case _:
            found = np.zeros(characters_QK.shape)
    return 1.5 * kind.strength_step * found


def _errors(kind: RaterKind, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    if kind.model == "thurstone":
        return rng.standard_normal(shape)
    return rng.gumbel(size=shape)


def _guesses(kind: RaterKind, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    return rng.normal(0, 2 * kind.strength_step, shape)

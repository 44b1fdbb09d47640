"""Which pairs to have judged next: those whose answer would teach an ensemble most.

Selected pairs are no sample of anything: evaluate on the random part of a batch only, and report
what selection gained against random choice, for at times it loses.

Shapes: M members of an ensemble, N pairs, D of an embedding, B of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from plaudit.statistics.votes import Floats, Integers

RANDOM_SHARE = 0.3
"""Of a batch, drawn at random and kept apart for evaluation."""


def bald(probabilities_MN: ArrayLike, rater_accuracy: float = 1.0) -> Floats:
    """``H(mean_m p_m) - mean_m H(p_m)`` in nats, [N], of what a rater would answer.

    The mutual information of the answer and the model (Houlsby et al. 2011): high where members
    are each sure and disagree, 0 where all are unsure. A rater who errs answers with ``p' = a p +
    (1 - a) (1 - p)``, from which there is less to learn.

    Raises:
        ValueError: fewer than two members, a probability outside [0, 1], or an accuracy outside
            [0.5, 1].
    """
    p_MN = np.asarray(probabilities_MN, dtype=float)
    if p_MN.ndim != 2 or len(p_MN) < 2:
        raise ValueError(f"probabilities of shape {p_MN.shape}; expected two members or more")
    if not ((p_MN >= 0) & (p_MN <= 1)).all():
        raise ValueError("a probability is NaN or outside [0, 1]; leave failed pairs out")
    if not 0.5 <= rater_accuracy <= 1:
        raise ValueError(f"rater_accuracy is {rater_accuracy}; expected 0.5 (a coin) to 1")
    said_MN = rater_accuracy * p_MN + (1 - rater_accuracy) * (1 - p_MN)
    of_mean_N = _entropy(said_MN.mean(axis=0))
    return np.maximum(of_mean_N - _entropy(said_MN).mean(axis=0), 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The pairs that were chosen, in the order of choice."""

    chosen_B: Integers
    is_random_B: NDArray[np.bool_]
    """Drawn at random from all pairs: those to evaluate on."""


def choose_batch(
    gains_N: ArrayLike,
    size: int,
    *,
    embeddings_ND: ArrayLike | None = None,
    random_share: float = RANDOM_SHARE,
    seed: int = 0,
) -> Batch:
    """A batch for judging: a random part first, then greedily by gain and distance.

    Each next pair maximises ``gain_n min(d_n / median d, 1)``, ``d_n`` the Euclidean distance to
    the nearest pair already chosen, so that a batch is not one question asked many times; the
    median is over all pairs' distances to the first chosen one. Without embeddings, by gain alone.
    ``ceil(share size)`` pairs are random.

    Raises:
        ValueError: more pairs are asked for than there are, a share outside [0, 1], a gain that is
            not finite or below 0, or not one embedding for each pair.
    """
    gains = np.asarray(gains_N, dtype=float)
    if not 0 < size <= len(gains):
        raise ValueError(f"a batch of {size} from {len(gains)} pairs; expected 1 to {len(gains)}")
    if not 0 <= random_share <= 1:
        raise ValueError(f"random_share is {random_share}; expected 0 to 1")
    if not (np.isfinite(gains) & (gains >= 0)).all():
        raise ValueError("a gain is below 0 or not finite; leave failed pairs out")
    random_count = int(np.ceil(random_share * size))
    chosen = np.random.default_rng(seed).permutation(len(gains))[:random_count].tolist()
    if embeddings_ND is None:
        taken = set(chosen)
        by_gain = [n for n in np.argsort(-gains, kind="stable").tolist() if n not in taken]
        chosen += by_gain[: size - random_count]
    else:
        chosen = _greedy(gains, _embedded(embeddings_ND, len(gains)), chosen, size)
    return Batch(
        chosen_B=np.array(chosen, dtype=np.intp),
        is_random_B=np.arange(size) < random_count,
    )


def _greedy(gains_N: Floats, embeddings_ND: Floats, chosen: list[int], size: int) -> list[int]:
    chosen = chosen or [int(gains_N.argmax())]
    from_first_N = _distance(embeddings_ND, chosen[0])
    unit = float(np.median(from_first_N)) or 1.0
    nearest_N = np.min([_distance(embeddings_ND, n) for n in chosen], axis=0)
    while len(chosen) < size:
        worth_N = gains_N * np.minimum(nearest_N / unit, 1.0)
        worth_N[chosen] = -1.0
        chosen.append(int(worth_N.argmax()))
        nearest_N = np.minimum(nearest_N, _distance(embeddings_ND, chosen[-1]))
    return chosen


def _distance(embeddings_ND: Floats, n: int) -> Floats:
    return np.linalg.norm(embeddings_ND - embeddings_ND[n], axis=1)


def _embedded(embeddings_ND: ArrayLike, size: int) -> Floats:
    embeddings = np.asarray(embeddings_ND, dtype=float)
    if embeddings.ndim != 2 or len(embeddings) != size or not np.isfinite(embeddings).all():
        raise ValueError(f"embeddings of shape {embeddings.shape}; expected {size} finite rows")
    return embeddings


def _entropy(p: Floats) -> Floats:
    return entr(p) + entr(1 - p)

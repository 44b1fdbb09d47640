"""Best-of-n: what the best of n samples is worth, and how far it is from one sample.

Shapes: N samples of a prompt.
"""

from __future__ import annotations

from math import comb, log

import numpy as np
from numpy.typing import ArrayLike


def best_of_n(scores_N: ArrayLike, values_N: ArrayLike, n: int) -> float:
    """The expected value of the highest scored of n samples drawn without replacement.

    ``sum_(i >= n) C(i - 1, n - 1) / C(N, n) value_(i)`` with samples by rising score: unbiased for
    n fresh samples (Nakano et al. 2021, appendix I). Among equal scores each is as likely.

    Raises:
        ValueError: n is not between 1 and N, or a score is NaN.
    """
    scores, values = np.asarray(scores_N, float), np.asarray(values_N, float)
    size = len(scores)
    if len(values) != size or not 1 <= n <= size:
        raise ValueError(f"best of {n} from {size} scores and {len(values)} values")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; leave such samples out and count them")
    _, tied_N = np.unique(scores, return_inverse=True)
    mean_N = (np.bincount(tied_N, values) / np.bincount(tied_N))[tied_N]
    weight_N = np.array([comb(i, n - 1) / comb(size, n) for i in range(size)])
    return float(weight_N @ mean_N[np.argsort(scores, kind="stable")])


def best_of_n_kl(n: int) -> float:
    """``log n - (n - 1) / n`` nats: an upper bound on KL(best-of-n || one sample) (Stiennon et al.
    2020, appendix G.3; Beirami et al. 2024)."""
    return log(n) - (n - 1) / n

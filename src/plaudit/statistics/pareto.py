"""Pareto fronts.

Shapes: N points, D quantities, all of which had better be large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(points_ND: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other betters: none is as large in every quantity and larger in one, [N]."""
    points = np.asarray(points_ND, dtype=np.float64)
    as_large_NN = (points[None] >= points[:, None]).all(-1)
    larger_NN = (points[None] > points[:, None]).any(-1)
    return np.asarray(~np.logical_and(as_large_NN, larger_NN).any(-1), dtype=np.bool_)

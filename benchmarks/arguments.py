"""Votes on pairs of arguments with known answers (UKPConvArg1, Habernal & Gurevych 2016).

Which of two arguments on one side of a debate convinces more? About five people voted on each
pair, and a cleaned selection of pairs has an answer taken to be right (CC BY 4.0). ``read_pool``
reads both; ``fit`` is the reward model of ``plaudit.statistics.fit_bigram_bradley_terry``, made
fast for hundreds of fits. It is a test of the labels that models learn from, not of models.

Shapes: A arguments, N pairs, V votes, Q pairs with a known answer, T topics.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from plaudit.statistics.floors import bigram_features, bigram_vocabulary

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]

FIRST, TIE, SECOND = 0, 1, 2
SAID = {"a1": FIRST, "equal": TIE, "a2": SECOND}
EMBEDDING = 32
# One file of answers is named otherwise than its file of votes.
RENAMED = {"_advancing-the-commond-good": "_advancing-the-common-good"}


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All pairs, who voted for what, and the answers that are known."""

    texts: tuple[str, ...]
    topics: tuple[str, ...]
    first_N: Ints
    second_N: Ints
    topic_N: Ints
    pair_V: Ints
    rater_V: Ints
    said_V: Ints
    """``FIRST``, ``TIE`` or ``SECOND``."""
    better_Q: Ints
    worse_Q: Ints
    topic_Q: Ints
    features_AF: Floats = field(repr=False)
    """Coordinates whose inner products are those of the arguments' bags of bigrams."""

    @property
    def embedding_AD(self) -> Floats:
        """The coordinates in which arguments differ most, for distances between pairs."""
        return self.features_AF[:, -EMBEDDING:]

    @property
    def debate_T(self) -> list[str]:
        """Of each topic, which is one side of a debate."""
        return [topic.rpartition("_")[0] for topic in self.topics]


def read_pool(folder: Path) -> Pool:
    """Read ``UKPConvArgCrowd-CSV`` and ``UKPConvArg1Strict-CSV`` below a folder.

    Raises:
        ValueError: the files are not there.
    """
    votes = list(_rows(folder / "UKPConvArgCrowd-CSV", 5))
    known = list(_rows(folder / "UKPConvArg1Strict-CSV", 4))
    texts = _Numbers()
    topics, raters, pairs = _Numbers(), _Numbers(), _Numbers()
    sides: list[tuple[int, int, int]] = []
    cast: list[tuple[int, int, int]] = []
    for topic, (pair, rater, said, first, second) in votes:
        number = pairs.of((topic, pair))
        if number == len(sides):
            sides.append((texts.of(first), texts.of(second), topics.of(topic)))
        worker = hashlib.sha256(rater.encode()).hexdigest()
        cast.append((number, raters.of(worker), SAID[said]))
    answers = [
        (*(texts.of(t) for t in ((a, b) if label == "a1" else (b, a))), topics.of(topic))
        for topic, (_, label, a, b) in known
    ]
    names = tuple(map(str, texts))
    features = bigram_features(names, bigram_vocabulary(names))
    columns = [
        np.array(column) for rows in (sides, cast, answers) for column in zip(*rows, strict=True)
    ]
    keys = ("first_N", "second_N", "topic_N", "pair_V", "rater_V", "said_V", "better_Q", "worse_Q",
            "topic_Q")  # fmt: skip
    return Pool(
        texts=names,
        topics=tuple(map(str, topics)),
        features_AF=_coordinates((features @ features.T).toarray()),
        **dict(zip(keys, columns, strict=True)),
    )


def fit(
    features_AF: Floats,
    first_N: Ints,
    second_N: Ints,
    label_N: Floats,
    weight_N: Floats,
    *,
    l2: float,
    begin_F: Floats | None = None,
) -> Floats:
    """Coefficients of Bradley-Terry, [F]: the optimum of ``fit_bigram_bradley_terry``.

    ``sum_n w_n (log(1 + e^z_n) - y_n z_n) + l2 |c|^2 / 2`` with ``z = c . (x_first - x_second)``.
    Every argument is multiplied once and not once a pair; coordinates of the arguments' span stand
    for the grams, which changes no inner product and so no score.
    """
    ends = len(features_AF)

    def loss(c_F: Floats) -> tuple[float, Floats]:
        score_A = features_AF @ c_F
        z_N = score_A[first_N] - score_A[second_N]
        error_N = weight_N * (expit(z_N) - label_N)
        slope_A = np.bincount(first_N, error_N, ends) - np.bincount(second_N, error_N, ends)
        value = weight_N @ (np.logaddexp(0, z_N) - label_N * z_N) + l2 * (c_F @ c_F) / 2
        return float(value), features_AF.T @ slope_A + l2 * c_F

    start_F = np.zeros(features_AF.shape[1]) if begin_F is None else begin_F
    options = {"maxiter": 2000, "ftol": 1e-10, "gtol": 1e-4}
    return minimize(loss, start_F, jac=True, method="L-BFGS-B", options=options).x


def accuracy_Q(pool: Pool, rows: NDArray[np.bool_], coefficients_F: Floats) -> Floats:
    """1, 0.5 or 0 for each of the chosen pairs with a known answer."""
    score_A = pool.features_AF @ coefficients_F
    gap_Q = score_A[pool.better_Q[rows]] - score_A[pool.worse_Q[rows]]
    return (np.sign(gap_Q) + 1) / 2


class _Numbers(dict):
    """Numbers from 0 in the order things are first met."""

    def of(self, key: object) -> int:
        return self.setdefault(key, len(self))


def _coordinates(kernel_AA: Floats) -> Floats:
    """``F`` with ``F F^T`` the kernel."""
    value_A, vector_AA = np.linalg.eigh(kernel_AA)
    kept = value_A > 1e-9 * value_A.max()
    return vector_AA[:, kept] * np.sqrt(value_A[kept])


def _rows(folder: Path, columns: int) -> Iterator[tuple[str, Sequence[str]]]:
    files = sorted(folder.glob("*.csv*"))
    if not files:
        raise ValueError(f"{folder}: no .csv files; expected those of UKPConvArg1")
    for file in files:
        topic = file.name.partition(".csv")[0]
        for wrong, right in RENAMED.items():
            topic = topic.replace(wrong, right)
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                cells = line.rstrip("\n").split("\t")
                if not line.startswith("#") and len(cells) == columns:
                    yield topic, cells

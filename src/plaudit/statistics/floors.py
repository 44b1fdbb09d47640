"""Floors: what any reward model must beat on the same split.

A reward model that does no better than these has learned surface, or nothing: the longer response,
the more common label, and the words alone (a bag of unigrams and bigrams of the response, blind to
its prompt). Fit on the training texts, score the held-out ones, compare by ``pair_accuracy`` or
``auc`` with clustered intervals.

Shapes: N texts, Q pairs, V grams of the vocabulary (one more column where there is an intercept).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from scipy.special import expit

from plaudit.statistics.ranking import pair_accuracy

L2 = 1.0
"""The precision of a standard normal prior on each coefficient: one gram said once (a feature of
0.69) is expected to move the log-odds by about 0.7. On the coffee-bar ratings all values from 0.3
to 3 do equally well within noise, for pairs and for single ratings."""
TOKEN = re.compile(r"\w+|[^\w\s]")

Floats = NDArray[np.float64]


def longer_wins(better_texts: Sequence[str], worse_texts: Sequence[str]) -> Floats:
    """Pair accuracy of the length in characters: 1, 0.5 or 0 for each pair, [Q]."""
    return pair_accuracy([len(t) for t in better_texts], [len(t) for t in worse_texts])


def majority_rate(labels_N: ArrayLike, weights_N: ArrayLike | None = None) -> float:
    """The accuracy of always saying the more common label: ``max(p, 1 - p)``, ``p`` the mean label.

    Raises:
        ValueError: there are no labels, or one lies outside [0, 1].
    """
    labels, weights = _labels(labels_N, weights_N)
    good, bad = float(weights @ labels), float(weights @ (1 - labels))
    return max(good, bad) / (good + bad)


def grams(text: str) -> list[str]:
    """Its words and punctuation marks, lower-cased, and each two that follow one another."""
    tokens = TOKEN.findall(text.lower())
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def bigram_vocabulary(texts: Sequence[str]) -> dict[str, int]:
    """Every gram of the training texts and its column."""
    found = dict.fromkeys(gram for text in texts for gram in grams(text))
    return {gram: column for column, gram in enumerate(found)}


def bigram_features(texts: Sequence[str], vocabulary: Mapping[str, int]) -> csr_array:
    """``log(1 + count)`` of each gram in each text, [N, V], of those in the vocabulary."""
    counts = [Counter(gram for gram in grams(text) if gram in vocabulary) for text in texts]
    columns = [vocabulary[gram] for count in counts for gram in count]
    values = np.log1p([n for count in counts for n in count.values()], dtype=float)
    ends = np.cumsum([0] + [len(count) for count in counts])
    return csr_array((values, columns, ends), shape=(len(texts), len(vocabulary)))


@dataclass(frozen=True, kw_only=True, slots=True)
class BigramModel:
    """A linear score of a text's grams, in log-odds."""

    vocabulary: Mapping[str, int]
    coefficients_V: Floats
    intercept: float = 0.0
    """0 for Bradley-Terry, where only differences have a meaning."""

    def score(self, texts: Sequence[str]) -> Floats:
        """One score a text, [N]: higher is better."""
        return bigram_features(texts, self.vocabulary) @ self.coefficients_V + self.intercept


def fit_bigram_bradley_terry(
    better_texts: Sequence[str],
    worse_texts: Sequence[str],
    weights_Q: ArrayLike | None = None,
    l2: float = L2,
) -> BigramModel:
    """Bradley-Terry on the grams: ``P(better wins) = sigma(c . (x_better - x_worse))``.

    Minimises ``sum_q w_q log(1 + e^-z_q) + l2 |c|^2 / 2``.

    Raises:
        ValueError: there are no pairs, or lengths differ.
    """
    if len(better_texts) != len(worse_texts):
        raise ValueError(f"{len(better_texts)} better texts but {len(worse_texts)} worse ones")
    won_Q, weights = _labels(np.ones(len(better_texts)), weights_Q)
    vocabulary = bigram_vocabulary([*better_texts, *worse_texts])
    better_QV = bigram_features(better_texts, vocabulary)
    difference_QV = better_QV - bigram_features(worse_texts, vocabulary)
    coefficients_V = _fit(difference_QV, won_Q, weights, np.full(len(vocabulary), l2))
    return BigramModel(vocabulary=vocabulary, coefficients_V=coefficients_V)


def fit_bigram_classifier(
    texts: Sequence[str],
    labels_N: ArrayLike,
    weights_N: ArrayLike | None = None,
    l2: float = L2,
) -> BigramModel:
    """Logistic regression of single ratings on the grams: ``P(good) = sigma(b + c . x)``.

    Minimises ``sum_n w_n (log(1 + e^z_n) - y_n z_n) + l2 |c|^2 / 2``; the intercept is not
    penalised. A label between 0 and 1 is a mean of ratings.

    Raises:
        ValueError: lengths differ, a label lies outside [0, 1], or all are of one class.
    """
    labels, weights = _labels(labels_N, weights_N)
    if len(texts) != len(labels):
        raise ValueError(f"{len(texts)} texts but {len(labels)} labels")
    if not (weights @ labels and weights @ (1 - labels)):
        raise ValueError("all ratings are of one class; a classifier needs good and bad ones")
    vocabulary = bigram_vocabulary(texts)
    ones_N1 = csr_array(np.ones((len(texts), 1)))
    features_NV = csr_array(hstack([bigram_features(texts, vocabulary), ones_N1]))
    found_V = _fit(features_NV, labels, weights, np.append(np.full(len(vocabulary), l2), 0.0))
    return BigramModel(
        vocabulary=vocabulary, coefficients_V=found_V[:-1], intercept=float(found_V[-1])
    )


def logistic_loss(
    coefficients_V: Floats,
    features_NV: csr_array,
    labels_N: Floats,
    weights_N: Floats,
    l2_V: Floats,
) -> tuple[float, Floats]:
    """``sum_n w_n (log(1 + e^z_n) - y_n z_n) + l2 . c^2 / 2`` with ``z = features c``.

    Returns:
        the loss, in nats, and its gradient, [V].
    """
    z_N = features_NV @ coefficients_V
    loss = weights_N @ (np.logaddexp(0, z_N) - labels_N * z_N) + l2_V @ coefficients_V**2 / 2
    error_N = weights_N * (expit(z_N) - labels_N)
    return float(loss), features_NV.T @ error_N + l2_V * coefficients_V


def _fit(features_NV: csr_array, labels_N: Floats, weights_N: Floats, l2_V: Floats) -> Floats:
    found = minimize(
        logistic_loss,
        np.zeros(len(l2_V)),
        args=(features_NV, labels_N, weights_N, l2_V),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "gtol": 1e-6},
    )
    if not found.success:
        raise RuntimeError(f"L-BFGS stopped before its optimum ({found.message}); raise l2")
    return found.x


def _labels(labels_N: ArrayLike, weights_N: ArrayLike | None) -> tuple[Floats, Floats]:
    labels = np.asarray(labels_N, dtype=float)
    weights = np.ones(len(labels)) if weights_N is None else np.asarray(weights_N, dtype=float)
    if not len(labels) == len(weights) > 0:
        raise ValueError(
            f"{len(labels)} labels and {len(weights)} weights; expected as many, at least one"
        )
    if not ((labels >= 0) & (labels <= 1)).all():
        raise ValueError("labels lie outside [0, 1]; expected 1 for good and 0 for bad")
    return labels, weights

"""What a reward model is worth on judgments it never saw, beside what simple rules reach there.

Shapes: N responses, Q pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.records import Judged, Preference
from plaudit.statistics import (
    Interval,
    auc,
    cluster_bootstrap,
    fit_bigram_bradley_terry,
    fit_bigram_classifier,
    longer_wins,
    majority_rate,
    pair_accuracy,
)
from plaudit.text import plain_text


def rows(judged: Sequence[Judged], scores: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """One row a prompt: texts, scores, ratings and pairs, as ``held_out.jsonl`` has them."""
    return [
        {
            "prompt": j.prompt.id,
            "conversation": j.prompt.conversation,
            "responses": [plain_text(r.content) for r in j.responses],
            "scores": [float(s) for s in scores_K],
            "ratings": [[r.response, r.value, r.weight] for r in j.ratings],
            "pairs": [_ordered(p) for p in j.preferences if p.probability != 0.5],
        }
        for j, scores_K in zip(judged, scores, strict=True)
    ]


def _ordered(preference: Preference) -> list[int]:
    """The likelier winner first; a tie has none and is left out."""
    sides = [preference.better, preference.worse]
    return sides if preference.probability > 0.5 else sides[::-1]


def measure(
    found: Sequence[dict[str, Any]], train: Sequence[Judged], *, good_above: float = 0.0
) -> dict[str, Any]:
    """Pair accuracy and AUC with intervals clustered by conversation, beside the floors.

    ``accuracy`` counts every prompt once (its pairs share its weight), as training does;
    ``accuracy_per_pair`` counts every pair once, so that a few prompts with many pairs decide it.
    A kind of judgment the data lacks is left out. A score above ``good_above`` says a good rating.
    """
    measured: dict[str, Any] = {}
    if any(row["pairs"] for row in found):
        measured |= _on_pairs(found, train)
    if any(row["ratings"] for row in found):
        measured |= _on_ratings(found, train, good_above)
    return measured


def _on_pairs(found: Sequence[dict[str, Any]], train: Sequence[Judged]) -> dict[str, Any]:
    pairs = [(row, b, w) for row in found for b, w in row["pairs"]]
    clusters = [row["conversation"] for row, _, _ in pairs]
    share_Q = np.array([1 / len(row["pairs"]) for row, _, _ in pairs])
    better = [row["responses"][b] for row, b, _ in pairs]
    worse = [row["responses"][w] for row, _, w in pairs]
    right_Q = pair_accuracy(
        [row["scores"][b] for row, b, _ in pairs], [row["scores"][w] for row, _, w in pairs]
    )
    right = {
        "model": right_Q,
        "longer_wins": longer_wins(better, worse),
        **_bigram_pairs(train, better, worse),
    }
    chance = {"majority": Interval(0.5, 0.5, 0.5)}
    return {
        name: {
            who: cluster_bootstrap(_weighted_mean, clusters, weight_Q, right_Q)
            for who, right_Q in right.items()
        }
        | chance
        for name, weight_Q in (
            ("accuracy", share_Q),
            ("accuracy_per_pair", np.ones(len(pairs))),
        )
    }


def _on_ratings(
    found: Sequence[dict[str, Any]], train: Sequence[Judged], good_above: float
) -> dict[str, Any]:
    rated = [(row, *rating) for row in found for rating in row["ratings"]]
    clusters = [row["conversation"] for row, *_ in rated]
    scores_N = np.array([row["scores"][k] for row, k, _, _ in rated])
    label_N = np.array([value for *_, value, _ in rated])
    weight_N = np.array([weight for *_, weight in rated])
    texts = [row["responses"][k] for row, k, _, _ in rated]
    scored = {"model": scores_N, "longer_wins": np.array([len(t) for t in texts], float)}
    learned = [(plain_text(j.responses[r.response].content), r) for j in train for r in j.ratings]
    if len({r.value > 0.5 for _, r in learned}) == 2:
        model = fit_bigram_classifier(
            [text for text, _ in learned],
            [r.value for _, r in learned],
            [r.weight for _, r in learned],
        )
        scored["bigrams"] = model.score(texts)
    said_good_N = (scores_N > good_above).astype(float)
    right_N = said_good_N * label_N + (1 - said_good_N) * (1 - label_N)
    return {
        "auc": {
            who: cluster_bootstrap(_auc, clusters, weight_N, values_N, label_N)
            for who, values_N in scored.items()
        }
        | {"majority": Interval(0.5, 0.5, 0.5)},
        "rating_accuracy": {
            "model": cluster_bootstrap(_weighted_mean, clusters, weight_N, right_N),
            "majority": majority_rate(label_N, weight_N),
        },
    }


def _bigram_pairs(
    train: Sequence[Judged], better: Sequence[str], worse: Sequence[str]
) -> dict[str, np.ndarray]:
    pairs = [(j, _ordered(p)) for j in train for p in j.preferences if p.probability != 0.5]
    if not pairs:
        return {}
    model = fit_bigram_bradley_terry(
        [plain_text(j.responses[winner].content) for j, (winner, _) in pairs],
        [plain_text(j.responses[loser].content) for j, (_, loser) in pairs],
    )
    return {"bigrams": pair_accuracy(model.score(better), model.score(worse))}


def _weighted_mean(draws_N: np.ndarray, weight_N: np.ndarray, values_N: np.ndarray) -> float:
    return float((draws_N * weight_N) @ values_N / (draws_N @ weight_N))


def _auc(
    draws_N: np.ndarray, weight_N: np.ndarray, scores_N: np.ndarray, labels_N: np.ndarray
) -> float:
    return auc(scores_N, labels_N, draws_N * weight_N)

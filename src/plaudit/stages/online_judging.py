"""From judged responses to the trees of a step.

Shapes: K responses (branches) of a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy.special import expit

from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring import rollout_trees
from plaudit.text import Tree


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two responses to a prompt, the better first, and how sure the judge is."""

    better: Rollout
    worse: Rollout
    probability: float
    margin: float
    """The difference of scores."""


def compared(
    rollouts: Sequence[Rollout],
    scores: Sequence[Score | Invalid],
    *,
    soft: bool,
    keep_ties: bool,
) -> tuple[list[Comparison], Counter[str]]:
    """Of each prompt's responses the best against the worst; what gave no comparison, by reason.

    Args:
        soft: the better wins with the Bradley-Terry probability of the difference of scores.
        keep_ties: equal scores are a comparison with probability 1/2.
    """
    found: list[Comparison] = []
    left_out: Counter[str] = Counter()
    pairs = zip(rollouts, scores, strict=True)
    for _, same in groupby(pairs, key=lambda pair: id(pair[0].prompt)):
        group = list(same)
        left_out.update(score.reason for _, score in group if isinstance(score, Invalid))
        ranked = [(s.value, r) for r, s in group if isinstance(s, Score)]
        ranked.sort(key=lambda scored: -scored[0])  # stable: of equals the first sampled is first
        if len(ranked) < 2:
            left_out["fewer than 2 responses of a prompt were scored"] += 1
        elif ranked[0][0] == ranked[-1][0] and not keep_ties:
            left_out["equal scores"] += 1
        else:
            found.append(_comparison(*ranked[0], *ranked[-1], soft=soft))
    return found, left_out


def _comparison(
    high: float, better: Rollout, low: float, worse: Rollout, *, soft: bool
) -> Comparison:
    margin = high - low
    probability = float(expit(margin)) if soft else (1.0 if margin > 0 else 0.5)
    return Comparison(better=better, worse=worse, probability=probability, margin=margin)


def pair_tree(comparison: Comparison, opponents: Collection[int]) -> Tree:
    """A tree of two branches, the better first, with the labels of its judgment.

    On pairs ``better``, ``worse``, ``probability``, ``margin`` and ``weight``; on branches ``own``
    (1 where the policy wrote it, 0 where an opponent did) and ``advantage``, the probability of
    winning less one half.

    Args:
        opponents: the index of each of a prompt's responses that an opponent wrote.
    """
    sides = (comparison.better, comparison.worse)
    tree = rollout_trees(sides)[0]
    ones = np.ones(1, np.float32)
    gain = comparison.probability - 0.5
    return tree.with_pair_labels(
        better=np.array([0]),
        worse=np.array([1]),
        probability=comparison.probability * ones,
        margin=comparison.margin * ones,
        weight=ones,
    ).with_branch_labels(
        own=np.array([side.index not in opponents for side in sides], np.float32),
        advantage=np.array([gain, -gain], np.float32),
    )


def with_weights(trees: Sequence[Tree]) -> list[Tree]:
    """Every prompt of the update weighs the same."""
    share = np.float32(1 / len(trees))
    return [
        tree.with_pair_labels(weight=tree.pair["weight"] * share).with_branch_labels(
            weight=tree.branch["own"] * share, explore=(1 - tree.branch["own"]) * share
        )
        for tree in trees
    ]

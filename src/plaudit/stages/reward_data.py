"""Judgments as the reward stage learns from them: trees with the labels its losses read.

Shapes: K responses of a prompt, Q pairs of them, C levels of a rating.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from plaudit.formats import Portion, load_judged, load_judgments, merge
from plaudit.learning import Learner
from plaudit.objectives.reward import ComparisonLoss
from plaudit.objectives.reward_length import HEADS as LENGTH_HEADS
from plaudit.objectives.reward_length import length_slopes
from plaudit.objectives.reward_losses import ordinal_thresholds
from plaudit.records import Judged
from plaudit.scoring import with_rule
from plaudit.stages.reward_options import RewardConfig
from plaudit.stages.setup import within_length
from plaudit.text import Renderer, Tree, judged_trees

CHOICES = ("plackett_luce", "top_1")


@dataclass(frozen=True, kw_only=True)
class Data:
    """The judged prompts of a portion that are short enough, as trees and as they were read."""

    trees: list[Tree]
    judged: list[Judged]
    heads: list[int]
    """Which head each prompt's judgments are for."""
    rules: tuple[str, ...] = ()
    """The rules stated in the prompts."""


def head_names(config: RewardConfig) -> tuple[str, ...]:
    if config.length_coefficient:
        return LENGTH_HEADS
    return tuple(config.criteria) or ("reward",)


def read_data(config: RewardConfig, portion: Portion, renderer: Renderer) -> Data:
    """Read a portion, check that its judgments are such as the loss can use, and label its trees.

    Raises:
        ValueError: a row lacks its criterion or rule, or has a judgment of another kind.
    """
    by_head = list(_by_head(config, portion))
    judged = [one for group in by_head for one in group]
    for one in judged:
        _check(config, one)
    heads = [head for head, group in enumerate(by_head) for _ in group]
    read = judged_trees(judged, renderer)
    trees = [_labelled(config, tree, head) for tree, head in zip(read, heads, strict=True)]
    kept, _ = within_length(trees, config.max_length)
    fits = {id(tree) for tree in kept}
    places = [place for place, tree in enumerate(trees) if id(tree) in fits]
    stated = {str(one.prompt.columns[config.rule_column]) for one in judged if config.rule_column}
    return Data(
        trees=kept,
        judged=[judged[place] for place in places],
        heads=[heads[place] for place in places],
        rules=tuple(sorted(stated)),
    )


def weighed(trees: Sequence[Tree], loss: ComparisonLoss = "bradley_terry") -> list[Tree]:
    """Prompts with pairs share the pairs' loss evenly, ratings share theirs by their weights.

    A prompt's share is divided among its pairs by their weights; for losses of choices evenly
    among its choices. ``share`` is every response's share of the mean squared score.
    """
    with_pairs = sum(bool(len(tree.pair["weight"])) for tree in trees)
    ratings = sum(float(tree.branch["rating_weight"].sum()) for tree in trees)
    responses = sum(len(tree.branches) for tree in trees)
    found = []
    for tree in trees:
        weight_Q = _choice_weights(tree) if loss in CHOICES else tree.pair["weight"]
        share_K = np.full(len(tree.branches), 1 / responses, np.float32)
        found.append(
            tree.with_pair_labels(
                weight=weight_Q / max(1e-9, weight_Q.sum()) / max(1, with_pairs)
            ).with_branch_labels(
                weight=tree.branch["rating_weight"] / max(1e-9, ratings), share=share_K
            )
        )
    return found


def with_length_slopes(learner: Learner, trees: Sequence[Tree]) -> list[Tree]:
    """What ODIN's length loss wants of the scores, as they are before the update."""
    outputs = learner.forward(trees, ["reward.head_scores"])
    scores_SH = torch.as_tensor(np.concatenate([o["reward.head_scores"] for o in outputs]))
    lengths = np.concatenate([tree.tokens_per_branch_K for tree in trees])
    lengths_S = torch.as_tensor(lengths, dtype=torch.float64)
    slopes = length_slopes(scores_SH[:, 0], scores_SH[:, 1], lengths_S)
    cuts = np.cumsum([len(tree.branches) for tree in trees])[:-1]
    parts = (np.split(slope_S.numpy(), cuts) for slope_S in slopes[:2])
    return [
        tree.with_branch_labels(
            quality_slope=quality_K,
            length_slope=length_K,
            length_correlation=np.full(len(quality_K), slopes.correlation, np.float32),
        )
        for tree, quality_K, length_K in zip(trees, *parts, strict=True)
    ]


def thresholds(trees: Sequence[Tree], levels: int) -> tuple[float, ...]:
    """The borders between levels, from how many ratings each has (and half a rating more).

    Raises:
        ValueError: there are no ratings.
    """
    counts = [
        sum(float(t.branch[f"level_{c}"] @ t.branch["rating_weight"]) for t in trees)
        for c in range(levels)
    ]
    if not sum(counts):
        raise ValueError("rating_loss=ordinal: the data holds no ratings")
    return tuple(ordinal_thresholds(torch.tensor(counts, dtype=torch.float64) + 0.5).tolist())


def shuffled(trees: Sequence[Tree], seed: int) -> list[Tree]:
    """Ratings dealt out anew over all rated responses; every pair turned by a coin."""
    rng = np.random.default_rng(seed)
    names = ["rating", *sorted(n for n in trees[0].branch if n.startswith("level_"))]
    rated = [tree.branch["rating_weight"] > 0 for tree in trees]
    ratings = {
        name: np.concatenate([t.branch[name][r] for t, r in zip(trees, rated, strict=True)])
        for name in names
    }
    dealt = iter(rng.permutation(len(ratings["rating"])))
    found = []
    for tree, rated_K in zip(trees, rated, strict=True):
        from_K = np.array([next(dealt) if r else -1 for r in rated_K])
        labels = {
            name: np.where(rated_K, ratings[name][from_K] if len(ratings[name]) else 0, 0).astype(
                np.float32
            )
            for name in names
        }
        turn = rng.random(len(tree.pair["better"])) < 0.5
        better = np.where(turn, tree.pair["worse"], tree.pair["better"])
        worse = np.where(turn, tree.pair["better"], tree.pair["worse"])
        found.append(tree.with_branch_labels(**labels).with_pair_labels(better=better, worse=worse))
    return found


def _by_head(config: RewardConfig, portion: Portion) -> Iterator[list[Judged]]:
    """The portion's judgments, for each head; rows merge only where prompt and head are equal."""
    if config.criteria:
        column = config.criterion_column or "criterion"
        named: dict[str, list[Judged]] = {name: [] for name in config.criteria}
        for one in load_judgments(config.dataset, portion=portion):
            name = _column(one, column)
            if name not in named:
                raise ValueError(
                    f"{one.prompt.id}: its {column} is {name!r}, none of the criteria "
                    f"{', '.join(named)}"
                )
            named[name].append(one)
        yield from (merge(judged) for judged in named.values())
    elif config.rule_column:
        rows = load_judgments(config.dataset, portion=portion)
        yield merge(_stated(one, _column(one, config.rule_column)) for one in rows)
    else:
        yield load_judged(config.dataset, portion=portion)


def _column(judged: Judged, column: str) -> str:
    value = judged.prompt.columns.get(column)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{judged.prompt.id}: no text in the column {column}")
    return value


def _stated(judged: Judged, rule: str) -> Judged:
    return judged.model_copy(update={"prompt": with_rule(judged.prompt, rule)})


def _check(config: RewardConfig, judged: Judged) -> None:
    for p in judged.preferences:
        if p.margin and config.loss != "bradley_terry":
            raise ValueError(
                f"{judged.prompt.id}: a preference has a margin, which loss={config.loss} cannot "
                "use; choose bradley_terry, or leave margins out"
            )
        if p.probability != 1 and config.loss in CHOICES:
            raise ValueError(
                f"{judged.prompt.id}: a preference is sure by {p.probability} only, but "
                f"loss={config.loss} needs rankings without doubt or ties; choose "
                f"{' or '.join(('bradley_terry', 'davidson', 'rao_kupper'))}"
            )


def _labelled(config: RewardConfig, tree: Tree, head: int) -> Tree:
    """With the labels that only some losses read."""
    labels: dict[str, np.ndarray] = {}
    if config.criteria:
        labels["head"] = np.full(len(tree.branches), head, np.int64)
    if config.rating_levels:
        labels |= _levels(tree, config.rating_levels)
    if config.loss == "top_1":
        tree = _best_alone(tree)
    return tree.with_branch_labels(**labels)


def _levels(tree: Tree, levels: int) -> Mapping[str, np.ndarray]:
    """1 at the nearest level of each response's (mean) rating."""
    level_K = np.rint(tree.branch["rating"] * (levels - 1)).astype(int)
    rated_K = tree.branch["rating_weight"] > 0
    return {f"level_{c}": ((level_K == c) & rated_K).astype(np.float32) for c in range(levels)}


def _best_alone(tree: Tree) -> Tree:
    """Only the pairs won by responses that lost none."""
    kept_Q = ~np.isin(tree.pair["better"], tree.pair["worse"])
    return tree.with_pair_labels(**{name: values[kept_Q] for name, values in tree.pair.items()})


def _choice_weights(tree: Tree) -> np.ndarray:
    """A choice's pairs share its weight, and all choices of a prompt weigh the same."""
    better = tree.pair["better"]
    counts_K = np.bincount(better, minlength=len(tree.branches))
    return (1 / counts_K[better]).astype(np.float32) if len(better) else tree.pair["weight"]

"""What the preference stage learns from: trees of pairs, of rated responses, or of rankings.

Shapes: K branches (responses) of a tree, Q pairs of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plaudit.formats import load_judged
from plaudit.objectives import PreferenceTerm
from plaudit.stages.preference_options import PreferenceConfig
from plaudit.text import Renderer, Tokens, Tree, judged_trees


def read_trees(config: PreferenceConfig, renderer: Renderer) -> list[Tree]:
    """The judged prompts that the losses can read, with the responses they read.

    Raises:
        ValueError: there are none; a label is soft and a loss takes hard labels only; or a loss of
            rankings finds preferences that are none.
    """
    judged = load_judged(config.dataset, portion=config.portion)
    trees = list(judged_trees(judged, renderer))
    units = {term.row.unit for term in config.terms}
    if units == {"response"}:
        kept = [_rated(tree) for tree in trees if len(tree.pair["better"]) or _has_ratings(tree)]
    else:
        kept = [tree for tree in trees if len(tree.pair["better"])]
        if not kept:
            raise ValueError(
                f"{config.dataset}: holds ratings but no preferences; the preference stage needs "
                "pairs (or loss=kto, loss=bco)"
            )
        kept = [_rated(tree) if "response" in units else _only_paired(tree) for tree in kept]
    for term in config.terms:
        check_labels(term, kept, config.dataset)
    return [_ranked(tree) for tree in kept] if "ranking" in units else kept


def equal_prompt_weights(trees: Sequence[Tree]) -> list[Tree]:
    """Every prompt of the update weighs the same; its pairs share that (Ouyang et al. 2022)."""
    paired = max(1, sum(bool(len(tree.pair["weight"])) for tree in trees))
    return [
        tree.with_pair_labels(weight=_normalised(tree.pair["weight"]) / paired) for tree in trees
    ]


def weighed(trees: Sequence[Tree]) -> list[Tree]:
    """Weights of an update: of pairs and rankings by prompt, of rated responses by rating."""
    ratings = sum(float(tree.branch["rating_weight"].sum()) for tree in trees)
    found = []
    for tree in equal_prompt_weights(trees):
        share_K = tree.branch["rating_weight"] / max(1e-9, ratings)
        ranking_K = np.full(len(tree.branches), 1 / len(trees), np.float32)
        found.append(
            tree.with_branch_labels(weight=share_K.astype(np.float32), ranking_weight=ranking_K)
        )
    return found


def mismatched(trees: Sequence[Tree], max_length: int) -> list[Tree]:
    """Each prompt with the next prompt's responses, cut where they exceed ``max_length`` tokens.

    Raises:
        ValueError: there is one prompt only.
    """
    if len(trees) < 2:
        raise ValueError("kto: needs 2 prompts at least, to see one with another's responses")
    following = [*trees[1:], trees[0]]
    return [
        Tree(
            id=tree.id,
            prompt_P=tree.prompt_P,
            branches=tuple(_cut(b, max_length - len(tree.prompt_P)) for b in other.branches),
        )
        for tree, other in zip(trees, following, strict=True)
    ]


def _cut(branch: Tokens, tokens: int) -> Tokens:
    return Tokens(ids=branch.ids[:tokens], mask=branch.mask[:tokens])


def _normalised(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


def _has_ratings(tree: Tree) -> bool:
    return bool(tree.branch["rating_weight"].any())


def _only_paired(tree: Tree) -> Tree:
    return _with_branches(tree, np.unique([tree.pair["better"], tree.pair["worse"]]))


def _rated(tree: Tree) -> Tree:
    """The responses that are rated; where none is, a pair rates its better one good, the other bad.

    A pair's probability is what its responses' labels are worth; a response of several pairs has
    their mean.
    """
    if not _has_ratings(tree):
        pair, total, weight = tree.pair, *np.zeros((2, len(tree.branches)), np.float32)
        np.add.at(
            weight, np.concatenate([pair["better"], pair["worse"]]), np.tile(pair["weight"], 2)
        )
        np.add.at(total, pair["better"], pair["weight"] * pair["probability"])
        np.add.at(total, pair["worse"], pair["weight"] * (1 - pair["probability"]))
        rating = total / np.where(weight > 0, weight, 1)
        tree = tree.with_branch_labels(rating=rating, rating_weight=weight)
    paired = np.concatenate([tree.pair["better"], tree.pair["worse"]])
    rated = np.flatnonzero(tree.branch["rating_weight"])
    return _with_branches(tree, np.union1d(paired, rated).astype(np.int64))


def _with_branches(tree: Tree, used: np.ndarray) -> Tree:
    pair = {
        name: np.searchsorted(used, values) if name in ("better", "worse") else values
        for name, values in tree.pair.items()
    }
    branch = {name: values[used] for name, values in tree.branch.items()}
    return replace(tree, branches=tuple(tree.branches[k] for k in used), branch=branch, pair=pair)


def check_labels(term: PreferenceTerm, trees: Sequence[Tree], dataset: str) -> None:
    """Refuse soft labels where the loss reads hard ones only.

    Raises:
        ValueError: a preference's probability is below 1.
    """
    if term.row.labels != "hard":
        return
    for tree in trees:
        soft = tree.pair["probability"][tree.pair["probability"] < 1]
        if len(soft):
            raise ValueError(
                f"{dataset}: {tree.id} has a preference of probability {soft[0]:.3g}, but "
                f"loss={term.name} takes hard labels only; choose one that takes soft labels, "
                "such as dpo or sppo"
            )


def _ranked(tree: Tree) -> Tree:
    """With every pair that the preferences imply.

    Raises:
        ValueError: they contradict each other, or leave the order of two responses open.
    """
    count = len(tree.branches)
    above_KK = np.zeros((count, count), bool)
    above_KK[tree.pair["better"], tree.pair["worse"]] = True
    for k in range(count):
        above_KK |= above_KK[:, k : k + 1] & above_KK[k]
    if not (above_KK ^ above_KK.T)[~np.eye(count, dtype=bool)].all() or above_KK.diagonal().any():
        raise ValueError(
            f"{tree.id}: its preferences are no ranking of its {count} responses (they contradict "
            "each other, or leave two unordered); loss=dpo takes such pairs as they stand"
        )
    better, worse = np.nonzero(above_KK)
    ones = np.ones(len(better), np.float32)
    return tree.with_pair_labels(
        better=better, worse=worse, probability=ones, margin=0 * ones, weight=ones
    )

"""Roles, learners and trees with every label an objective may read.

Shapes: N policy tokens, K branches, Q pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from plaudit.learning import Learner, Objective, Optimiser, OptimiserSettings
from plaudit.models import AdapterRoles, Roles, SeparateRoles
from plaudit.models.loading import Precision, as_dtype
from plaudit.objectives import (
    DirectPreference,
    LanguageModelling,
    PolicyOptimisation,
    RewardModelling,
)
from plaudit.text import Tree
from tests.tiny import random_tree, tiny_language_model, tiny_scalar_model

OBJECTIVES: Mapping[str, Objective] = {
    "language": LanguageModelling(),
    "pairs": DirectPreference(nll_coefficient=0.5),
    "reward": RewardModelling(pointwise_coefficient=0.5),
    "policy": PolicyOptimisation(critic=True, kl_coefficient=0.1),
}
SHAPES = [(5, [4, 7, 1]), (9, [3, 3]), (1, [2, 9, 4, 5]), (12, [6]), (3, [8, 2])]


def separate_roles(precision: Precision = "float32") -> SeparateRoles:
    """A policy, its reference, a critic and a reward model, each with its own weights."""
    models = {
        "policy": tiny_language_model(seed=1),
        "reference": tiny_language_model(seed=1),
        "critic": tiny_scalar_model(seed=2),
        "reward": tiny_scalar_model(seed=3),
    }
    for model in models.values():
        as_dtype(model, precision)
    return SeparateRoles(models, trained=["policy", "critic", "reward"])


def adapter_roles(precision: Precision = "float32", *, r: int = 4, alpha: int = 8) -> AdapterRoles:
    base = tiny_language_model(seed=1)
    as_dtype(base, precision)
    return AdapterRoles(base, ["policy", "critic", "reward"], r=r, alpha=alpha, seed=0)


def optimiser_for(roles: Roles, *, learning_rate: float = 1e-3, **options) -> Optimiser:
    settings = OptimiserSettings(
        learning_rates=dict.fromkeys(roles.trained, learning_rate),
        **{"total_steps": 100, "schedule": "constant", **options},
    )
    return Optimiser({role: roles.parameters(role) for role in roles.trained}, settings)


def learner_for(
    roles: Roles, *, token_budget: int = 64, failures: Path = Path("."), **options
) -> Learner:
    return Learner(
        roles, optimiser_for(roles, **options), token_budget=token_budget, failures=failures
    )


def labelled_trees(seed: int = 0, shapes: Sequence[tuple[int, list[int]]] = SHAPES) -> list[Tree]:
    """Trees of all sizes whose weights sum to one; one has no pair, and the last no rating."""
    rng = np.random.default_rng(seed)
    trees = [_labelled(random_tree(rng, prompt=p, branches=b), rng) for p, b in shapes]
    unrated = np.zeros_like(trees[-1].branch["weight"])
    trees[-1] = trees[-1].with_branch_labels(weight=unrated)
    totals = {
        kind: sum(getattr(tree, kind)["weight"].sum() for tree in trees)
        for kind in ("token", "branch", "pair")
    }
    return [
        tree.with_token_labels(weight=tree.token["weight"] / totals["token"])
        .with_branch_labels(weight=tree.branch["weight"] / totals["branch"])
        .with_pair_labels(weight=tree.pair["weight"] / totals["pair"])
        for tree in trees
    ]


def _labelled(tree: Tree, rng: np.random.Generator) -> Tree:
    n, k = int(tree.tokens_per_branch_K.sum()), len(tree.branches)
    normal = lambda size: rng.normal(size=size).astype(np.float32)  # noqa: E731
    share = lambda size: rng.uniform(0.2, 1.0, size).astype(np.float32)  # noqa: E731
    logprob_N = -4.0 + 0.5 * normal(n)
    better, worse = np.arange(1, k), np.zeros(k - 1, np.int64)
    return (
        tree.with_token_labels(**{
            "weight": share(n), "advantage": normal(n), "old": logprob_N,
            "reference": logprob_N + 0.1 * normal(n), "old_value": normal(n), "return": normal(n),
        })
        .with_branch_labels(
            weight=share(k), rating=share(k), tokens=tree.tokens_per_branch_K.astype(np.float32)
        )
        .with_pair_labels(
            better=better, worse=worse, probability=share(k - 1), margin=share(k - 1),
            weight=share(k - 1),
        )
    )  # fmt: skip


def weights_of(roles: Roles) -> dict[str, torch.Tensor]:
    """A copy of every learned weight, by role and name."""
    return {
        f"{role}/{name}": parameter.detach().clone()
        for role in roles.trained
        for name, parameter in roles.parameters(role).items()
    }

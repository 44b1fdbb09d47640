"""What a preference loss asks of the whole update, found before it is cut into micro-batches.

All of it is without gradient, and given to the loss as labels:

- ``kto_z0`` on branches: the mean log-ratio of prompts with other prompts' responses, at least 0;
- ``bco_mean`` on branches: the mean log-ratio of every response so far, this update's included;
- ``sorted_reference`` on pairs: the reference's margin at the rank of the policy's (AOT).

Shapes: K branches of a tree, Q pairs of an update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from plaudit.learning import Learner
from plaudit.learning.moments import RunningMoments
from plaudit.objectives import PreferenceTerm
from plaudit.text import Tree


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateLabels:
    """Finds the labels the losses ask for, and remembers BCO's running mean."""

    wanted: frozenset[str]
    log_ratios: RunningMoments = field(default_factory=RunningMoments)

    @staticmethod
    def of(terms: Sequence[PreferenceTerm], saved: dict[str, Any]) -> UpdateLabels:
        """Those of the losses, from where a checkpoint left them (or from nothing)."""
        wanted = frozenset(name for term in terms for name in term.row.update_labels)
        return UpdateLabels(wanted=wanted, log_ratios=RunningMoments(**saved.get("bco", {})))

    def as_dict(self) -> dict[str, Any]:
        return {"bco": self.log_ratios.as_dict()}

    def label(
        self, trees: Sequence[Tree], strangers: Sequence[Tree], learner: Learner
    ) -> tuple[list[Tree], UpdateLabels]:
        """The trees of an update with these labels, and what is remembered after it.

        Args:
            strangers: prompts with other prompts' responses, for ``kto_z0``.
        """
        labelled, after = list(trees), self
        if "kto_z0" in self.wanted:
            ratios = np.concatenate([logs - refs for logs, refs in _sums(strangers, learner)])
            labelled = [_everywhere(t, "kto_z0", max(0.0, ratios.mean())) for t in labelled]
        if not self.wanted & {"bco_mean", "sorted_reference"}:
            return labelled, after
        sums = _sums(labelled, learner)
        if "bco_mean" in self.wanted:
            ratios = np.concatenate([logs - refs for logs, refs in sums])
            after = replace(self, log_ratios=self.log_ratios.with_values(ratios.tolist()))
            labelled = [_everywhere(t, "bco_mean", after.log_ratios.mean) for t in labelled]
        if "sorted_reference" in self.wanted:
            labelled = with_sorted_reference(labelled, sums)
        return labelled, after


def with_sorted_reference(
    trees: Sequence[Tree], sums: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[Tree]:
    """Each pair with the reference's margin that has the rank of the policy's, over all pairs.

    Args:
        sums: of each tree, the log-probabilities of its responses under policy and reference.
    """
    policy, reference = (
        np.concatenate([_margins(tree, pair[i]) for tree, pair in zip(trees, sums, strict=True)])
        for i in (0, 1)
    )
    matched_Q = np.empty_like(reference)
    matched_Q[np.argsort(policy, kind="stable")] = np.sort(reference)
    cuts = np.cumsum([len(tree.pair["better"]) for tree in trees])[:-1]
    return [
        tree.with_pair_labels(sorted_reference=part)
        for tree, part in zip(trees, np.split(matched_Q, cuts), strict=True)
    ]


def _margins(tree: Tree, logprob_K: np.ndarray) -> np.ndarray:
    return logprob_K[tree.pair["better"]] - logprob_K[tree.pair["worse"]]


def _sums(trees: Sequence[Tree], learner: Learner) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each tree, every response's log-probability under the policy and the reference."""
    outputs = learner.forward(trees, ["policy.logprobs"])
    return [
        (_by_branch(tree, found["policy.logprobs"]), _by_branch(tree, tree.token["reference"]))
        for tree, found in zip(trees, outputs, strict=True)
    ]


def _by_branch(tree: Tree, values_N: np.ndarray) -> np.ndarray:
    parts = np.split(values_N, np.cumsum(tree.tokens_per_branch_K)[:-1])
    return np.array([part.sum() for part in parts], np.float32)


def _everywhere(tree: Tree, name: str, value: float) -> Tree:
    return tree.with_branch_labels(**{name: np.full(len(tree.branches), value, np.float32)})

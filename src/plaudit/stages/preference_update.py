"""What a preference loss asks of the whole update, found before it is cut into micro-batches.

All of it is without gradient, and given to the loss as labels:

- ``kto_z0`` on branches: the mean log-ratio of prompts with other prompts' responses, at least 0;
- ``bco_mean`` on branches: the mean log-ratio of every response so far, this update's included;
- ``sorted_reference`` on pairs: the reference's margin at the rank of the policy's (AOT);
- ``matched_chosen``, ``matched_rejected`` on pairs: the better response's log-ratio at the rank of
  this pair's worse one, and the worse one's at the rank of its better one (AOT, unpaired).

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

Sums = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of each tree, the log-probabilities of its responses under policy and reference."""


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
        if not self.wanted & {"bco_mean", "sorted_reference", "matched_chosen"}:
            return labelled, after
        sums = _sums(labelled, learner)
        if "bco_mean" in self.wanted:
            ratios = np.concatenate([logs - refs for logs, refs in sums])
            after = replace(self, log_ratios=self.log_ratios.with_values(ratios.tolist()))
            labelled = [_everywhere(t, "bco_mean", after.log_ratios.mean) for t in labelled]
        if "sorted_reference" in self.wanted:
            labelled = with_sorted_reference(labelled, sums)
        if "matched_chosen" in self.wanted:
            labelled = with_matched_sides(labelled, sums)
        return labelled, after


def with_sorted_reference(trees: Sequence[Tree], sums: Sums) -> list[Tree]:
    """Each pair with the reference's margin that has the rank of the policy's, over all pairs."""
    policy, reference = zip(*sums, strict=True)
    matched_Q = _at_ranks(_margins(trees, policy), _margins(trees, reference))
    return _with_pair_values(trees, sorted_reference=matched_Q)


def with_matched_sides(trees: Sequence[Tree], sums: Sums) -> list[Tree]:
    """Each pair with the log-ratios of the other side that have the ranks of its own."""
    ratios = [logs - refs for logs, refs in sums]
    chosen_Q, rejected_Q = _side(trees, ratios, "better"), _side(trees, ratios, "worse")
    return _with_pair_values(
        trees,
        matched_chosen=_at_ranks(rejected_Q, chosen_Q),
        matched_rejected=_at_ranks(chosen_Q, rejected_Q),
    )


def _margins(trees: Sequence[Tree], values: Sequence[np.ndarray]) -> np.ndarray:
    return _side(trees, values, "better") - _side(trees, values, "worse")


def _side(trees: Sequence[Tree], values: Sequence[np.ndarray], side: str) -> np.ndarray:
    """What one side of every pair has, of values of each tree's responses."""
    return np.concatenate(
        [values_K[tree.pair[side]] for tree, values_K in zip(trees, values, strict=True)]
    )


def _at_ranks(ranked_Q: np.ndarray, values_Q: np.ndarray) -> np.ndarray:
    """The values, each put where ``ranked_Q`` has its rank."""
    found_Q = np.empty_like(values_Q)
    found_Q[np.argsort(ranked_Q, kind="stable")] = np.sort(values_Q)
    return found_Q


def _with_pair_values(trees: Sequence[Tree], **values_Q: np.ndarray) -> list[Tree]:
    cuts = np.cumsum([len(tree.pair["better"]) for tree in trees])[:-1]
    parts = {name: np.split(values, cuts) for name, values in values_Q.items()}
    return [
        tree.with_pair_labels(**{name: part[i] for name, part in parts.items()})
        for i, tree in enumerate(trees)
    ]


def _sums(trees: Sequence[Tree], learner: Learner) -> Sums:
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

"""Preference optimisation: losses of the table, alone or several with weights.

Shapes: N policy tokens, M branches (responses), Q pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, counted, right_order, weighted_mean_of
from plaudit.objectives.preference_inputs import (
    BranchSums,
    Pairs,
    Rated,
    branch_sums,
    pairs_of,
)
from plaudit.objectives.preference_table import PREFERENCE_LOSSES, PreferenceLoss


@dataclass(frozen=True, kw_only=True)
class PreferenceTerm:
    """One loss with its weight in the sum; ``settings`` replace the published ones."""

    name: str
    row: PreferenceLoss
    coefficient: float = 1.0
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unread = self.settings.keys() - self.row.settings.keys()
        assert not unread, f"{self.name} does not read {sorted(unread)}"

    @property
    def resolved(self) -> dict[str, float]:
        """All its settings: those said, and the published ones of the rest."""
        return {**self.row.settings, **self.settings}


@dataclass(frozen=True, kw_only=True)
class PreferenceOptimisation:
    """``sum_k coefficient_k sum_i w_i loss_k,i`` over the terms ``k`` and their units ``i``.

    Labels. On tokens ``reference`` (log-probabilities) where a term has one. For pair losses on
    pairs ``better``, ``worse``, ``probability``, ``weight`` and, where said, ``margin``; for
    response losses on branches ``rating`` and ``weight``; for rankings on branches
    ``ranking_weight``, the pairs being all that the rankings imply. What needs the whole update
    (``kto_z0`` and ``bco_mean`` on branches; on pairs ``sorted_reference``, ``matched_chosen`` and
    ``matched_rejected``) is a label too, given before the update is cut into micro-batches.

    Metrics: ``loss`` of the first term, those of the others under their names; ``accuracy`` (over
    pairs whose probability is not one half; equal rewards are half right) and ``margin`` of the
    first term's implicit rewards; ``chosen_logprob`` and
    ``rejected_logprob``, nats a response (many losses lower both); over ratings
    ``desirable_reward`` and ``undesirable_reward``. What an update has none of has no metrics.
    """

    terms: tuple[PreferenceTerm, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        further = [quantity for term in self.terms for quantity in term.row.needs]
        return tuple(dict.fromkeys(["policy.logprobs", *further]))

    @property
    def has_reference(self) -> bool:
        return any(term.row.reference for term in self.terms)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        sums = branch_sums(outputs["policy.logprobs"], batch, reference=self.has_reference)
        totals: list[Tensor] = []
        metrics: dict[str, Mean] = {}
        for i, term in enumerate(self.terms):
            loss, weight = _unit_losses(term, sums, outputs, batch)
            totals.append(term.coefficient * (weight * loss).sum())
            metrics[f"{term.name}_loss" if i else "loss"] = weighted_mean_of(loss, weight)
        if "better" in batch.pair:
            metrics |= _pair_metrics(self.terms[0], pairs_of(sums, batch), batch)
        if any(term.row.unit == "response" for term in self.terms):
            metrics |= _response_metrics(self.terms[0], sums, batch)
        return torch.stack(totals).sum(), counted(**metrics)


def _unit_losses(
    term: PreferenceTerm, sums: BranchSums, outputs: Mapping[str, Tensor], batch: Labelled
) -> tuple[Tensor, Tensor]:
    """The loss of every unit (pair, response, ranked response), and the units' weights."""
    row, settings = term.row, term.resolved
    smoothing = settings.pop("label_smoothing", 0.0)
    arguments = settings | {name: find(outputs, batch) for name, find in row.reads.items()}
    if row.unit == "response":
        rated = Rated(log_ratio_M=sums.log_ratio_M, label_M=batch.branch["rating"])
        return row.loss(rated, **arguments), batch.branch["weight"]
    if row.unit == "ranking":
        better, worse = batch.pair["better"], batch.pair["worse"]
        loss_M = row.loss(sums.log_ratio_M, better, worse, **arguments)
        return loss_M, batch.branch["ranking_weight"]
    pairs = pairs_of(sums, batch, label_smoothing=smoothing, debiased=row.labels == "debiased")
    return row.loss(pairs, **arguments), batch.pair["weight"]


def _pair_metrics(term: PreferenceTerm, pairs: Pairs, batch: Labelled) -> dict[str, Mean]:
    reward = pairs.log_ratio if term.row.reward == "log_ratio" else pairs.logprob
    difference_Q = (reward.per(pairs.tokens) if term.row.per_token else reward).difference_Q
    weight_Q, beta = batch.pair["weight"], term.resolved.get("beta", 1.0)
    side_Q = (pairs.probability_Q - 0.5).sign()
    return {
        "accuracy": weighted_mean_of(right_order(side_Q * difference_Q), weight_Q * side_Q.abs()),
        "margin": weighted_mean_of(beta * difference_Q, weight_Q),
        "chosen_logprob": weighted_mean_of(pairs.logprob.chosen_Q, weight_Q),
        "rejected_logprob": weighted_mean_of(pairs.logprob.rejected_Q, weight_Q),
    }


def _response_metrics(term: PreferenceTerm, sums: BranchSums, batch: Labelled) -> dict[str, Mean]:
    reward_M = term.resolved.get("beta", 1.0) * sums.log_ratio_M
    weight_M, label_M = batch.branch["weight"], batch.branch["rating"]
    return {
        "desirable_reward": weighted_mean_of(reward_M, weight_M * label_M),
        "undesirable_reward": weighted_mean_of(reward_M, weight_M * (1.0 - label_M)),
    }


@dataclass(frozen=True, kw_only=True)
class DirectPreference:
    """DPO with an optional likelihood term on the better response (Pang et al. 2024).

    ``PreferenceOptimisation`` of ``dpo`` and ``nll_coefficient`` times ``nll``.
    """

    beta: float = 0.1
    nll_coefficient: float = 0.0
    needs = ("policy.logprobs",)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        dpo, nll = PREFERENCE_LOSSES["dpo"], PREFERENCE_LOSSES["nll"]
        terms = (PreferenceTerm(name="dpo", row=dpo, settings={"beta": self.beta}),)
        if self.nll_coefficient:
            terms += (PreferenceTerm(name="nll", row=nll, coefficient=self.nll_coefficient),)
        return PreferenceOptimisation(terms=terms)(outputs, batch)

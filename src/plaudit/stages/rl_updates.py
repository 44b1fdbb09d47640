"""The optimiser's steps of one step of reinforcement learning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from plaudit.formats import load_demonstrations
from plaudit.learning import Learner, Order
from plaudit.learning.experience import Correction, weigh
from plaudit.objectives import LanguageModelling, Mean, PolicyOptimisation
from plaudit.stages.rl_coefficients import Coefficients
from plaudit.stages.rl_groups import PtxOptions
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.setup import equal_token_weights, within_length
from plaudit.text import Renderer, Tree, demonstration_trees


@dataclass(frozen=True, kw_only=True)
class PretrainingMix:
    """Demonstrations whose likelihood is raised beside every update (InstructGPT, equation 2).

    ``- coefficient x mean_t log pi(token_t)`` over the tokens of a batch of its own.
    """

    trees: Sequence[Tree] = field(repr=False)
    order: Order
    coefficient: float

    @classmethod
    def open(cls, options: PtxOptions, renderer: Renderer, *, seed: int) -> PretrainingMix:
        demonstrations = load_demonstrations(options.dataset, portion=options.portion)
        trees = list(demonstration_trees(demonstrations, renderer))
        kept, _ = within_length(trees, options.max_length)
        order = Order(rows=len(kept), batch_size=options.batch_size, epochs=1, seed=seed)
        return cls(trees=kept, order=order, coefficient=options.coefficient)

    def accumulate(self, learner: Learner, update: int) -> dict[str, Mean]:
        """Add its gradient to that of update number ``update`` (from 0)."""
        batch = equal_token_weights([self.trees[row] for row in self.order.batch(update)])
        weighed = [
            tree.with_token_labels(weight=np.float32(self.coefficient) * tree.token["weight"])
            for tree in batch
        ]
        return {"ptx_loss": learner.accumulate(weighed, LanguageModelling())["loss"]}


def objective_of(config: RLConfig, coefficients: Coefficients, step: int) -> PolicyOptimisation:
    """The objective of a step, with the coefficients as they stand."""
    row, critic = config.row, config.critic
    assert row.kl_in_reward or row.kl_estimator != "k1", "the config's validator refuses it"
    return PolicyOptimisation(
        critic=critic is not None,
        train_policy=critic is None or step >= critic.warmup_steps,
        surrogate=row.surrogate,
        kl_coefficient=coefficients.kl_in_loss,
        kl_estimator="k3" if row.kl_estimator == "k1" else row.kl_estimator,
        entropy_coefficient=coefficients.entropy_bonus,
        nll_coefficient=config.positive_nll_coefficient or 0.0,
        off_policy_mask_threshold=config.off_policy_mask_threshold,
        **({"vf_coefficient": critic.vf_coef} if critic else {}),
        **({"cliprange_value": critic.cliprange_value} if critic else {}),
    )


def correction_of(config: RLConfig) -> Correction | None:
    said = config.correction
    if said is None:
        return None
    cap = math.inf if said.cap is None else said.cap
    return Correction(kind=said.kind, level=said.level, cap=cap, floor=said.floor or 0.0)


def correction_metrics(trees: Sequence[Tree]) -> dict[str, float]:
    """The mean importance weight of a token, and the share of tokens that weigh nothing."""
    weights = [tree.token["importance"] for tree in trees if "importance" in tree.token]
    if not weights:
        return {}
    importance_N = np.concatenate(weights)
    return {
        "importance": float(importance_N.mean()),
        "importance_cut": float((importance_N == 0).mean()),
    }


def update(
    config: RLConfig,
    learner: Learner,
    trees: Sequence[Tree],
    objective: PolicyOptimisation,
    mix: PretrainingMix | None,
    step: int,
) -> dict[str, float]:
    """The step's optimiser steps; metrics are their means."""
    rng = np.random.default_rng((config.seed, step))
    found: list[dict[str, float]] = []
    for epoch in range(config.num_ppo_epochs):
        parts = np.array_split(rng.permutation(len(trees)), config.num_mini_batches)
        for number, rows in enumerate(parts):
            if not len(rows):
                continue
            weighed = weigh(
                [trees[row] for row in rows],
                config.row,
                max_tokens=config.max_completion_length,
                mask_truncated=config.mask_truncated_completions,
                with_nll=objective.nll_coefficient > 0,
            )
            totals = learner.accumulate(weighed, objective)
            if mix is not None and objective.train_policy:
                done = (step * config.num_ppo_epochs + epoch) * config.num_mini_batches + number
                totals |= mix.accumulate(learner, done)
            found.append(learner.step(totals, weighed))
    names = {name for metrics in found for name in metrics}
    return {n: float(np.mean([m[n] for m in found if n in m])) for n in sorted(names)}

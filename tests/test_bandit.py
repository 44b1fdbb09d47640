"""The bandit whose optimum is known, learned by the real path: assemble, weigh, Learner, objective.

One prompt, two responses of one token, a uniform reference, rewards of 1 and 0: the optimum of
reward less ``beta`` KL gives the better one ``sigma(1 / beta)``. Each update sees every group of
two responses, weighted by how likely the policy draws it, so that the gradient is exact.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import transformers as hf

from plaudit.learning import Learner, Optimiser, OptimiserSettings
from plaudit.learning.experience import Group, Shaping, assemble, weigh
from plaudit.models import SeparateRoles
from plaudit.objectives import ALGORITHMS, Algorithm, PolicyOptimisation, optimal_value
from plaudit.objectives.kl import LossEstimator
from plaudit.objectives.surrogates import AdvantageRegression
from plaudit.records import Prompt, Rollout, Score, Scored

REWARDS = (1.0, 0.0)
PROMPT = Prompt(id="p", conversation="p", content="?")
SIZES = {
    "vocab_size": 2, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 1, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip


def learner_of(*, critic: bool, learning_rate: float) -> Learner:
    models = {}
    for role in ("policy", "reference"):
        torch.manual_seed(0)
        models[role] = hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES)).eval()
        torch.nn.init.zeros_(models[role].lm_head.weight)  # uniform
    if critic:
        config = hf.LlamaConfig(**SIZES, num_labels=1)
        models["critic"] = hf.LlamaForSequenceClassification(config).eval()
    trained = ["policy", "critic"] if critic else ["policy"]
    roles = SeparateRoles(models, trained=trained)
    settings = OptimiserSettings(
        learning_rates=dict.fromkeys(trained, learning_rate), total_steps=10**6,
        schedule="constant", betas=(0.5, 0.9), epsilon=0.1,
    )  # fmt: skip
    optimiser = Optimiser({role: roles.parameters(role) for role in trained}, settings)
    return Learner(roles, optimiser, token_budget=10**6)


def log_policy(learner: Learner) -> np.ndarray:
    with torch.no_grad():
        logits_V = learner.roles.model("policy")(torch.tensor([[0]])).logits[0, -1]
    return logits_V.log_softmax(-1).numpy()


def groups_of(logprobs: np.ndarray, baseline: float | None) -> list[Group]:
    """All four groups of two responses."""

    def scored(action: int, index: int) -> Scored:
        rollout = Rollout(
            prompt=PROMPT, prompt_ids=np.array([0], np.int32), ids=np.array([action], np.int32),
            logprobs=logprobs[[action]], text="", finish_reason="stop", policy_version=0,
            index=index,
        )  # fmt: skip
        return Scored(rollout=rollout, score=Score(value=REWARDS[action]))

    return [
        Group(members=(scored(i, 0), scored(j, 1)), baseline=baseline)
        for i, j in product(range(2), repeat=2)
    ]


def learned(
    row: Algorithm,
    beta: float,
    *,
    estimator: LossEstimator = "k3",
    baseline: float | None = None,
    steps: int = 60,
) -> float:
    """The probability of the better response after learning."""
    # Steps shrink with the curvature, that of the regression or of the KL.
    regression = row.surrogate if isinstance(row.surrogate, AdvantageRegression) else None
    curvature = 2 * regression.regression_beta**2 if regression else beta
    learner = learner_of(critic=row.has_critic, learning_rate=0.015 / curvature)
    in_reward = row.kl_in_reward
    objective = PolicyOptimisation(
        critic=row.has_critic,
        surrogate=row.surrogate,
        kl_coefficient=0.0 if in_reward else beta,
        kl_estimator=estimator,
    )
    shaping = Shaping(kl_coefficient=beta if in_reward else 0.0, whiten_advantages=False)
    for _ in range(steps):
        logprobs = log_policy(learner)
        trees = assemble(groups_of(logprobs, baseline), learner, row, shaping)
        trees = weigh(trees, row, max_tokens=1)
        likely = [np.exp(logprobs[i] + logprobs[j]) for i, j in product(range(2), repeat=2)]
        exact = [
            tree.with_token_labels(weight=np.float32(4 * p) * tree.token["weight"])
            for tree, p in zip(trees, likely, strict=True)
        ]
        learner.update(exact, objective)
    return float(np.exp(log_policy(learner)[0]))


@pytest.mark.parametrize(("beta", "optimum"), [(0.5, 0.881), (2.0, 0.622)])
@pytest.mark.parametrize("name", ["reinforce", "rloo", "remax", "ppo"])
def test_a_kl_in_the_reward_ends_at_the_known_optimum(name: str, beta: float, optimum: float):
    baseline = 1.0 if name == "remax" else None
    found = learned(ALGORITHMS[name], beta, baseline=baseline)
    assert found == pytest.approx(optimum, abs=1e-3)


@pytest.mark.parametrize("estimator", ["k2", "k3", "full"])
def test_a_kl_in_the_loss_ends_at_the_known_optimum(estimator: LossEstimator):
    """A group's mean holds a response's own reward, so of two responses half the reward is left."""
    row = ALGORITHMS["dr_grpo"]
    assert learned(row, 0.25, estimator=estimator) == pytest.approx(0.881, abs=1e-3)
    whole = replace(row, advantage="leave_one_out")
    assert learned(whole, 0.5, estimator=estimator) == pytest.approx(0.881, abs=1e-3)


@pytest.mark.parametrize(("beta", "optimum"), [(0.5, 0.881), (2.0, 0.622)])
def test_a_star_po_ends_at_the_known_optimum(beta: float, optimum: float):
    row = replace(ALGORITHMS["a_star_po"], surrogate=AdvantageRegression(regression_beta=beta))
    value = float(optimal_value(torch.tensor(REWARDS, dtype=torch.float64), beta=beta))
    found = learned(row, 0.0, baseline=value)
    assert found == pytest.approx(optimum, abs=1e-3)

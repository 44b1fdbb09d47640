"""Advantages of a step's trees, by a row of the algorithm table.

Shapes: K branches (responses) of a tree, N policy tokens, S responses of the step, T tokens of the
longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plaudit.objectives import (
    Algorithm,
    deviation,
    gae,
    group_advantages,
    group_mean_advantages,
    leave_one_out_advantages,
    length_adaptive_lambda,
    rewards_to_go,
    whiten,
)
from plaudit.text import Tree


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """How scores become token rewards and advantages."""

    kl_coefficient: float
    """Of the KL in the reward."""
    gamma: float = 1.0
    lam: float = 0.95
    value_lam: float | None = None
    """GAE's lambda of the critic's returns (decoupled GAE, VAPO); None: ``lam``."""
    length_adaptive_alpha: float | None = None
    """Let the policy's lambda follow a response's length (VAPO) in place of ``lam``."""
    whiten_advantages: bool = True
    """Of GAE, over all tokens of the step."""


def with_advantages(
    trees: Sequence[Tree], values: Sequence[np.ndarray], algorithm: Algorithm, shaping: Shaping
) -> list[Tree]:
    """Label tokens with ``advantage`` and, with a critic, ``return`` and ``old_value``.

    Args:
        trees: with labels ``kl`` on tokens and ``reward``, ``kl`` (and ``baseline``, where the
            row has one) on branches.
        values: the critic's, [N] of each tree; empty without one.
    """
    if algorithm.has_critic:
        return _with_gae(trees, values, shaping)
    rewards = [_rewards_K(tree, algorithm, shaping) for tree in trees]
    advantages = [_by_response(tree, r, algorithm) for tree, r in zip(trees, rewards, strict=True)]
    if algorithm.scale_rewards == "batch":
        scale = deviation(torch.cat(rewards)) + 1e-6
        advantages = [advantages_K / scale for advantages_K in advantages]
    labelled = [
        tree.with_token_labels(advantage=_by_token(tree, a, algorithm, shaping))
        for tree, a in zip(trees, advantages, strict=True)
    ]
    return _whitened(labelled) if algorithm.scale_rewards == "tokens" else labelled


def by_branch(tree: Tree, values_N: np.ndarray) -> list[np.ndarray]:
    return np.split(values_N, np.cumsum(tree.tokens_per_branch_K)[:-1])


def _rewards_K(tree: Tree, algorithm: Algorithm, shaping: Shaping) -> Tensor:
    rewards_K = tree.branch["reward"]
    if algorithm.kl == "sequence_reward":
        rewards_K = rewards_K - shaping.kl_coefficient * tree.branch["kl"]
    return torch.as_tensor(rewards_K)


def _by_response(tree: Tree, rewards_K: Tensor, algorithm: Algorithm) -> Tensor:
    match algorithm.advantage:
        case "group_mean":
            by_group = algorithm.scale_rewards == "group"
            return (group_advantages if by_group else group_mean_advantages)(rewards_K)
        case "leave_one_out":
            return leave_one_out_advantages(rewards_K)
        case "greedy" | "optimal_value":
            return rewards_K - torch.as_tensor(tree.branch["baseline"])
        case _:
            return rewards_K


def _by_token(
    tree: Tree, advantages_K: Tensor, algorithm: Algorithm, shaping: Shaping
) -> np.ndarray:
    advantage_N = np.repeat(advantages_K.numpy().astype(np.float32), tree.tokens_per_branch_K)
    if algorithm.kl != "token_reward":
        return advantage_N
    parts = [rewards_to_go(torch.as_tensor(kl)).numpy() for kl in by_branch(tree, tree.token["kl"])]
    return advantage_N - np.float32(shaping.kl_coefficient) * np.concatenate(parts)


def _whitened(trees: Sequence[Tree]) -> list[Tree]:
    """With the advantages of all tokens of the step at mean 0 and deviation 1."""
    advantage_N = whiten(torch.as_tensor(np.concatenate([t.token["advantage"] for t in trees])))
    parts = _by_tree(trees, advantage_N)
    return [tree.with_token_labels(advantage=a) for tree, a in zip(trees, parts, strict=True)]


def _with_gae(trees: Sequence[Tree], values: Sequence[np.ndarray], shaping: Shaping) -> list[Tree]:
    """Rewards token by token: the KL penalty everywhere, those of steps where they end, and the
    rest of the score at the last token.

    A slot is a token the policy wrote: what stood between two of them (a tool's answer) takes
    none, so GAE goes from the one before it to the one after.
    """
    tokens_S = torch.as_tensor(np.concatenate([tree.tokens_per_branch_K for tree in trees]))
    mask_ST = torch.arange(int(tokens_S.max()))[None] < tokens_S[:, None]
    reward_ST = _token_rewards(trees, tokens_S, mask_ST, shaping)
    value_ST = torch.zeros(mask_ST.shape)
    value_ST[mask_ST] = torch.as_tensor(np.concatenate(values)).float()
    lam, value_lam = shaping.lam, shaping.value_lam
    if shaping.length_adaptive_alpha is not None:
        lam = length_adaptive_lambda(tokens_S, alpha=shaping.length_adaptive_alpha)
        value_lam = shaping.lam if value_lam is None else value_lam
    advantage_ST, return_ST = gae(reward_ST, value_ST, mask_ST, gamma=shaping.gamma, lam=lam)
    if value_lam is not None:
        _, return_ST = gae(reward_ST, value_ST, mask_ST, gamma=shaping.gamma, lam=value_lam)
    advantage_N = advantage_ST[mask_ST]
    if shaping.whiten_advantages:
        advantage_N = whiten(advantage_N)
    parts = [_by_tree(trees, x) for x in (advantage_N, return_ST[mask_ST])]
    return [
        tree.with_token_labels(**{"advantage": a, "return": r, "old_value": v})
        for tree, a, r, v in zip(trees, *parts, values, strict=True)
    ]


def _token_rewards(
    trees: Sequence[Tree], tokens_S: Tensor, mask_ST: Tensor, shaping: Shaping
) -> Tensor:
    reward_ST = torch.zeros(mask_ST.shape)
    kl_N = torch.as_tensor(np.concatenate([tree.token["kl"] for tree in trees]))
    reward_ST[mask_ST] = -shaping.kl_coefficient * kl_N.float()
    step_ST = torch.zeros(mask_ST.shape)
    step_ST[mask_ST] = torch.as_tensor(np.concatenate([_step_rewards(tree) for tree in trees]))
    # A reward holds those of its steps already.
    score_S = torch.as_tensor(np.concatenate([tree.branch["reward"] for tree in trees]))
    rest_S = score_S.float() - step_ST.sum(1)
    reward_ST[torch.arange(len(tokens_S)), tokens_S - 1] += rest_S
    return reward_ST + step_ST


def _step_rewards(tree: Tree) -> np.ndarray:
    return tree.token.get("step_reward", np.zeros_like(tree.token["kl"], np.float32))


def _by_tree(trees: Sequence[Tree], values_N: Tensor) -> list[np.ndarray]:
    cuts = np.cumsum([int(tree.tokens_per_branch_K.sum()) for tree in trees])[:-1]
    return np.split(values_N.numpy(), cuts)

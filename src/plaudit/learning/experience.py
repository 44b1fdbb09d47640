"""From scored rollouts to trees with advantages: the path of a step of reinforcement learning.

Shapes: K branches (responses) of a tree, N policy tokens, S responses of the step, T tokens of the
longest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from plaudit.learning.learner import Learner
from plaudit.objectives import (
    Algorithm,
    gae,
    group_advantages,
    group_mean_advantages,
    k1,
    leave_one_out_advantages,
    sequence_weights,
    whiten,
)
from plaudit.records import Invalid, Rollout, Score, Scored
from plaudit.scoring import rollout_trees
from plaudit.text import Tree

_GROUP_ADVANTAGES = {
    "group": group_advantages,
    "group_mean": group_mean_advantages,
    "leave_one_out": leave_one_out_advantages,
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """The scored responses of one prompt."""

    members: tuple[Scored, ...]

    @property
    def rewards_K(self) -> np.ndarray:
        return np.array([member.score.value for member in self.members])


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """How scores become token rewards and advantages."""

    kl_coefficient: float
    """Of the KL in the reward."""
    gamma: float = 1.0
    lam: float = 0.95
    whiten_advantages: bool = True
    """Of GAE, over all tokens of the step."""


def group_scores(
    rollouts: Sequence[Rollout], scores: Sequence[Score | Invalid], *, least: int
) -> tuple[list[Group], Counter[str]]:
    """Gather each prompt's scored responses; those without a score are counted by reason.

    Args:
        least: responses a prompt must have left to be learned from (2 where the others of its
            group are the baseline).
    """
    invalid: Counter[str] = Counter()
    groups = []
    pairs = list(zip(rollouts, scores, strict=True))
    for _, same in groupby(pairs, key=lambda pair: id(pair[0].prompt)):
        members = []
        for rollout, score in same:
            if isinstance(score, Invalid):
                invalid[score.reason] += 1
            else:
                members.append(Scored(rollout=rollout, score=score))
        if len(members) >= least:
            groups.append(Group(members=tuple(members)))
        elif members:
            invalid["too few of its prompt's responses were scored"] += len(members)
    return groups, invalid


def assemble(
    groups: Sequence[Group], learner: Learner, algorithm: Algorithm, shaping: Shaping
) -> list[Tree]:
    """Trees labelled ``old``, ``reference``, ``advantage`` and, with a critic, ``return`` and
    ``old_value``; each [N]. On branches: ``reward`` and ``kl`` (of the sequence, in nats)."""
    trees = [rollout_trees([m.rollout for m in group.members])[0] for group in groups]
    names = ["reference.logprobs"] + (["critic.values"] if algorithm.has_critic else [])
    found = learner.forward(trees, names)
    labelled = []
    for tree, group, quantities in zip(trees, groups, found, strict=True):
        reference = quantities["reference.logprobs"]
        kl = k1(torch.as_tensor(tree.token["old"] - reference)).numpy()
        tree = tree.with_token_labels(reference=reference, kl=kl)
        kl_K = np.array([part.sum() for part in _by_branch(tree, kl)])
        labelled.append(tree.with_branch_labels(reward=group.rewards_K, kl=kl_K))
    if algorithm.has_critic:
        values = [quantities["critic.values"] for quantities in found]
        return _with_gae(labelled, values, shaping)
    return [_with_group_advantages(tree, algorithm, shaping) for tree in labelled]


def weigh(trees: Sequence[Tree], algorithm: Algorithm, *, max_tokens: int) -> list[Tree]:
    """Give every token its weight in an update over just these trees."""
    lengths = [int(n) for tree in trees for n in tree.tokens_per_branch_K]
    weights = iter(sequence_weights(lengths, algorithm.aggregation, max_tokens=max_tokens))
    return [
        tree.with_token_labels(
            weight=np.concatenate(
                [np.full(int(n), next(weights), np.float32) for n in tree.tokens_per_branch_K]
            )
        )
        for tree in trees
    ]


def _with_group_advantages(tree: Tree, algorithm: Algorithm, shaping: Shaping) -> Tree:
    rewards_K = tree.branch["reward"]
    if algorithm.kl == "sequence_reward":
        rewards_K = rewards_K - shaping.kl_coefficient * tree.branch["kl"]
    advantage = _GROUP_ADVANTAGES[algorithm.advantage]
    advantages_K = advantage(torch.as_tensor(rewards_K)).numpy().astype(np.float32)
    return tree.with_token_labels(advantage=np.repeat(advantages_K, tree.tokens_per_branch_K))


def _with_gae(trees: Sequence[Tree], values: Sequence[np.ndarray], shaping: Shaping) -> list[Tree]:
    """Rewards token by token: the KL penalty everywhere, the score at the last token."""
    lengths = [int(n) for tree in trees for n in tree.tokens_per_branch_K]
    mask_ST = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    reward_ST, value_ST = torch.zeros(mask_ST.shape), torch.zeros(mask_ST.shape)
    kl_N = torch.as_tensor(np.concatenate([tree.token["kl"] for tree in trees]))
    reward_ST[mask_ST] = -shaping.kl_coefficient * kl_N.float()
    value_ST[mask_ST] = torch.as_tensor(np.concatenate(values)).float()
    score_S = torch.as_tensor(np.concatenate([tree.branch["reward"] for tree in trees]))
    reward_ST[torch.arange(len(lengths)), torch.tensor(lengths) - 1] += score_S.float()
    advantage_ST, return_ST = gae(
        reward_ST, value_ST, mask_ST, gamma=shaping.gamma, lam=shaping.lam
    )
    advantage_N = advantage_ST[mask_ST]
    if shaping.whiten_advantages:
        advantage_N = whiten(advantage_N)
    cuts = np.cumsum([int(tree.tokens_per_branch_K.sum()) for tree in trees])[:-1]
    parts = [np.split(x.numpy(), cuts) for x in (advantage_N, return_ST[mask_ST])]
    return [
        tree.with_token_labels(**{"advantage": a, "return": r, "old_value": v})
        for tree, a, r, v in zip(trees, *parts, values, strict=True)
    ]


def _by_branch(tree: Tree, values_N: np.ndarray) -> list[np.ndarray]:
    return np.split(values_N, np.cumsum(tree.tokens_per_branch_K)[:-1])

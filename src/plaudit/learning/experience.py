"""From scored rollouts to trees with advantages: the path of a step of reinforcement learning.

Shapes: K branches (responses) of a tree, N policy tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from plaudit.learning.advantage_rows import Shaping, by_branch, with_advantages
from plaudit.learning.learner import Learner
from plaudit.objectives import Algorithm, importance_weights, k1, sequence_weights
from plaudit.objectives.corrections import CorrectionKind, CorrectionLevel
from plaudit.records import Invalid, Rollout, Score, Scored
from plaudit.scoring import rollout_trees
from plaudit.text import Tree


@dataclass(frozen=True, kw_only=True)
class Group:
    """The scored responses of one prompt."""

    members: tuple[Scored, ...]
    baseline: float | None = None
    """What other samples say the prompt is worth, where the algorithm asks for some."""

    @property
    def rewards_K(self) -> np.ndarray:
        return np.array([member.score.value for member in self.members])


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Importance weights for samples of a policy other than the learner's own."""

    kind: CorrectionKind
    level: CorrectionLevel
    cap: float
    floor: float


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
    groups: Sequence[Group],
    learner: Learner,
    algorithm: Algorithm,
    shaping: Shaping,
    correction: Correction | None = None,
) -> list[Tree]:
    """Trees labelled ``old``, ``reference``, ``advantage`` and, with a critic, ``return`` and
    ``old_value``; each [N]. On branches: ``reward``, ``kl`` (of the sequence, in nats) and
    ``truncated``. With a correction ``old`` is the learner's own log-probability and ``sampled``
    the sampler's."""
    if not groups:
        return []
    trees = [rollout_trees([m.rollout for m in group.members])[0] for group in groups]
    names = ["reference.logprobs"] + (["critic.values"] if algorithm.has_critic else [])
    names += ["policy.logprobs"] if correction is not None else []
    found = learner.forward(trees, names)
    labelled = [
        _with_kl(_with_rewards(tree, group), quantities["reference.logprobs"])
        for tree, group, quantities in zip(trees, groups, found, strict=True)
    ]
    values = [quantities["critic.values"] for quantities in found] if algorithm.has_critic else []
    labelled = with_advantages(labelled, values, algorithm, shaping)
    if correction is None:
        return labelled
    return [
        _corrected(tree, quantities["policy.logprobs"], correction)
        for tree, quantities in zip(labelled, found, strict=True)
    ]


def weigh(
    trees: Sequence[Tree],
    algorithm: Algorithm,
    *,
    max_tokens: int,
    mask_truncated: bool = False,
    with_nll: bool = False,
) -> list[Tree]:
    """Give every token its weight in an update over just these trees.

    Args:
        mask_truncated: responses cut at the length limit weigh nothing.
        with_nll: label ``nll_weight`` too, one over the tokens of all responses of a positive
            reward on those, else 0 (VAPO).
    """
    tokens = [int(n) for tree in trees for n in tree.tokens_per_branch_K]
    cut = _branch_labels(trees, "truncated") if mask_truncated else [False] * len(tokens)
    lengths = [0 if c else n for n, c in zip(tokens, cut, strict=True)]
    weights = sequence_weights(lengths, algorithm.aggregation, max_tokens=max_tokens)
    weighed = _with_token_weights(trees, "weight", weights)
    if not with_nll:
        return weighed
    good = [n if r > 0 else 0 for n, r in zip(tokens, _branch_labels(trees, "reward"), strict=True)]
    return _with_token_weights(weighed, "nll_weight", sequence_weights(good, "token"))


def _with_rewards(tree: Tree, group: Group) -> Tree:
    members = group.members
    labels = {
        "reward": group.rewards_K,
        "truncated": np.array([m.rollout.finish_reason == "length" for m in members]),
    }
    if group.baseline is not None:
        labels["baseline"] = np.full(len(members), group.baseline)
    return _with_steps(tree.with_branch_labels(**labels), group)


def _with_steps(tree: Tree, group: Group) -> Tree:
    """With the part of each reward that belongs to a step, at the token that ends it."""
    if not any(member.score.steps for member in group.members):
        return tree
    tokens_K = tree.tokens_per_branch_K
    reward_N = np.zeros(int(tokens_K.sum()), np.float32)
    for member, end in zip(group.members, np.cumsum(tokens_K), strict=True):
        begin = end - int(member.rollout.written.sum())
        for place, reward in member.score.steps:
            reward_N[begin + place] += reward
    return tree.with_token_labels(step_reward=reward_N)


def _with_kl(tree: Tree, reference: np.ndarray) -> Tree:
    kl = k1(torch.as_tensor(tree.token["old"] - reference)).numpy()
    kl_K = np.array([part.sum() for part in by_branch(tree, kl)])
    return tree.with_token_labels(reference=reference, kl=kl).with_branch_labels(kl=kl_K)


def _corrected(tree: Tree, proximal: np.ndarray, correction: Correction) -> Tree:
    """Ratios are taken to the learner's policy; advantages make up for who sampled."""
    sampled = tree.token["old"]
    weights = [
        importance_weights(
            torch.as_tensor(log_ratio),
            kind=correction.kind,
            level=correction.level,
            cap=correction.cap,
            floor=correction.floor,
        ).numpy()
        for log_ratio in by_branch(tree, proximal - sampled)
    ]
    importance = np.concatenate(weights)
    return tree.with_token_labels(
        old=proximal,
        sampled=sampled,
        importance=importance,
        advantage=tree.token["advantage"] * importance,
    )


def _with_token_weights(trees: Sequence[Tree], name: str, weights: Sequence[float]) -> list[Tree]:
    """Every token of a response gets the response's weight."""
    left = iter(weights)
    return [
        tree.with_token_labels(
            **{
                name: np.concatenate(
                    [np.full(int(n), next(left), np.float32) for n in tree.tokens_per_branch_K]
                )
            }
        )
        for tree in trees
    ]


def _branch_labels(trees: Sequence[Tree], name: str) -> list[float]:
    return [float(value) for tree in trees for value in tree.branch[name]]

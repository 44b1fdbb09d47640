"""Scores from a reward model: of whole responses, by one head or several, or by stated rules.

Shapes: M responses, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from plaudit.models import Roles, collate, micro_batches_of, per_branch
from plaudit.records import Invalid, Rollout, Score
from plaudit.scoring.protocol import Scorer
from plaudit.scoring.reading import Reading, read_tokens, under_rule
from plaudit.scoring.reference import Head, Reference
from plaudit.text import Tree

Read = Callable[[Sequence[Rollout]], Reading]
NOT_FINITE = Invalid(reason="the reward model's score is not finite")


class RewardModelScorer:
    """Scores responses with a model, ``sum_h w_h (r_h - mean_h) / std_h`` over its heads.

    The responses of one prompt are one tree, so the prompt is computed once. The raw number of
    every head is a part of the score.

    Args:
        roles: holds the role ``reward``.
        reference: of each head on its reference responses; the raw number where not said.
        read: what the model reads of rollouts; the policy's tokens where not said.
        token_budget: tokens (padding included) in one forward pass.
    """

    def __init__(
        self,
        roles: Roles,
        *,
        reference: Reference | None = None,
        read: Read = read_tokens,
        token_budget: int = 8192,
    ) -> None:
        self._roles = roles
        self._heads = (reference or Reference(heads={"reward_model": Head()})).heads
        self._read = read
        self._token_budget = token_budget

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``."""
        reading = self._read(rollouts)
        by_tree = role_outputs(self._roles, reading.trees, "reward.head_scores", self._token_budget)
        raw_H = (row for tree in by_tree for row in tree)
        return [
            reading.invalid[place] if place in reading.invalid else self._score(next(raw_H))
            for place in range(len(rollouts))
        ]

    def _score(self, raw_H: np.ndarray) -> Score | Invalid:
        if not np.isfinite(raw_H).all():
            return NOT_FINITE
        parts = dict(zip(self._heads, map(float, raw_H), strict=True))
        value = sum(h.weight * (parts[n] - h.mean) / h.std for n, h in self._heads.items())
        return Score(value=float(value), parts=parts)


class RuleScorer:
    """The mean probability that stated rules are kept (Sparrow, Glaese et al. 2022).

    Args:
        inner: a model of the log-odds that the rule stated in the prompt is kept.
        rules: each is judged by itself; a part of the score is named by its rule.
    """

    def __init__(self, inner: Scorer, rules: Sequence[str]) -> None:
        self._inner = inner
        self._rules = tuple(rules)

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        """As ``Scorer.score``."""
        by_rule = [self._inner.score(under_rule(rollouts, rule)) for rule in self._rules]
        return [self._joined(scores) for scores in zip(*by_rule, strict=True)]

    def _joined(self, scores: Sequence[Score | Invalid]) -> Score | Invalid:
        kept: dict[str, float] = {}
        for rule, score in zip(self._rules, scores, strict=True):
            if isinstance(score, Invalid):
                return score
            kept[rule] = _probability(score.value)
        return Score(value=float(np.mean(list(kept.values()))), parts=kept)


def _probability(log_odds: float) -> float:
    return float(torch.sigmoid(torch.tensor(log_odds, dtype=torch.float64)))


@torch.no_grad()
def role_outputs(
    roles: Roles, trees: Sequence[Tree], name: str, token_budget: int
) -> list[np.ndarray]:
    """A quantity of every tree, an entry a branch or a policy token, micro-batch by micro-batch."""
    found: list[np.ndarray] = [np.zeros(0)] * len(trees)
    for rows in micro_batches_of(trees, roles.layout, token_budget):
        chosen = [trees[row] for row in rows]
        batch = collate(chosen, layout=roles.layout, device=roles.device)
        values = roles.outputs(batch, [name], temperature=1.0)[name].float().cpu().numpy()
        sizes = [
            len(t.branches) if per_branch(name) else int(t.tokens_per_branch_K.sum())
            for t in chosen
        ]
        for row, part in zip(rows, np.split(values, np.cumsum(sizes)[:-1]), strict=True):
            found[row] = part
    return found

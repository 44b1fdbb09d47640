"""Scores from a reward model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from plaudit.models import (
    Roles,
    SeparateRoles,
    collate,
    is_scalar_model,
    load_scalar_model,
    model_path,
    row_tokens,
)
from plaudit.models.loading import Precision
from plaudit.records import Invalid, Rollout, Score
from plaudit.text import Tokens, Tree, load_tokenizer, micro_batches


class RewardModelScorer:
    """Scores responses with a model that shares the policy's tokenizer.

    The responses of one prompt are one tree, so the prompt is computed once. A score is
    ``(r - mean) / std`` with the reference statistics the reward model was saved with.

    Args:
        roles: holds the role ``reward``.
        mean, std: of the model's raw scores on its reference responses.
        token_budget: tokens (padding included) in one forward pass.
    """

    def __init__(
        self, roles: Roles, *, mean: float = 0.0, std: float = 1.0, token_budget: int = 8192
    ) -> None:
        self._roles = roles
        self._mean, self._std = mean, std
        self._token_budget = token_budget

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        raw = self.raw_scores(rollout_trees(rollouts))
        return [
            Score(value=(float(r) - self._mean) / self._std, parts={"reward_model": float(r)})
            if np.isfinite(r)
            else Invalid(reason="the reward model's score is not finite")
            for scores in raw
            for r in scores
        ]

    @torch.no_grad()
    def raw_scores(self, trees: Sequence[Tree]) -> list[np.ndarray]:
        """The model's own numbers, one array [K] a tree."""
        layout = self._roles.layout
        scores: list[np.ndarray] = [np.zeros(0)] * len(trees)
        lengths = [row_tokens(tree, layout) for tree in trees]
        for rows in micro_batches(lengths, self._token_budget):
            batch = collate([trees[row] for row in rows], layout=layout, device=self._roles.device)
            score_M = self._roles.outputs(batch, ["reward.scores"], temperature=1.0)
            found = score_M["reward.scores"].float().cpu().numpy()
            cuts = np.cumsum([len(trees[row].branches) for row in rows])[:-1]
            for row, part in zip(rows, np.split(found, cuts), strict=True):
                scores[row] = part
        return scores


def open_reward_model(
    name: str,
    *,
    policy_tokenizer: PreTrainedTokenizerBase,
    precision: Precision,
    standardised: bool,
    token_budget: int = 8192,
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> RewardModelScorer:
    """Load a reward model to score a policy's tokens with.

    Args:
        standardised: bring scores to mean 0 and deviation 1 by the model's ``reward.json``.

    Raises:
        ValueError: it is no reward model, its tokenizer differs from the policy's, or it has no
            ``reward.json`` (that can be read) to standardise by.
    """
    if not is_scalar_model(name, trust_remote_code=trust_remote_code):
        raise ValueError(
            f"{name}: a language model, not a reward model (train one: plaudit reward)"
        )
    tokenizer = load_tokenizer(model_path(name), trust_remote_code=trust_remote_code)
    if tokenizer.get_vocab() != policy_tokenizer.get_vocab():
        raise ValueError(f"{name}: its tokenizer is not the policy's, so it cannot read its tokens")
    model = load_scalar_model(
        name, precision=precision, seed=0, device=device, trust_remote_code=trust_remote_code
    )
    mean, std = _reference(name) if standardised else (0.0, 1.0)
    roles = SeparateRoles({"reward": model}, trained=[])
    return RewardModelScorer(roles, mean=mean, std=std, token_budget=token_budget)


def _reference(name: str) -> tuple[float, float]:
    file = Path(model_path(name)) / "reward.json"
    if not file.is_file():
        raise ValueError(f"{file}: missing, so scores cannot be standardised by a reference")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return float(found["mean"]), float(found["std"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: expected mean and std as JSON ({error})") from error


def rollout_trees(rollouts: Sequence[Rollout]) -> list[Tree]:
    """Neighbouring rollouts of one prompt as a tree, with label ``old``: the logprobs sampled."""
    trees = []
    for _, same in groupby(rollouts, key=lambda r: id(r.prompt)):
        group = list(same)
        tree = Tree(
            id=group[0].prompt.id,
            prompt_P=group[0].prompt_ids,
            branches=tuple(Tokens(ids=r.ids, mask=r.written) for r in group),
        )
        old = np.concatenate([r.logprobs[r.written] for r in group])
        trees.append(tree.with_token_labels(old=old))
    return trees

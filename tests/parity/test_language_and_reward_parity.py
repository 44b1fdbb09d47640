"""Fine-tuning and reward models beside TRL's ``SFTTrainer`` and ``RewardTrainer``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.models import SeparateRoles
from plaudit.objectives import LanguageModelling, RewardModelling
from plaudit.text import Tree
from tests.learning_trees import learner_for
from tests.parity.data import Asked, asked, pair_trees, tree_of, word_tokenizer, words
from tests.parity.steps import TOKEN_BUDGET, assert_same, learner_of, our_step, settings, trl_step
from tests.tiny import tiny_language_model, tiny_scalar_model

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

TOLD = asked([2, 1, 3])
"""TRL has a row for each response; with us those of one prompt share a tree."""


def weighted(data: Sequence[Asked]) -> list[Tree]:
    trees = [tree_of(one) for one in data]
    total = sum(int(tree.tokens_per_branch_K.sum()) for tree in trees)
    return [
        tree.with_token_labels(
            weight=np.full(int(tree.tokens_per_branch_K.sum()), 1 / total, np.float32)
        )
        for tree in trees
    ]


def sft_trainer(directory: Path, **options: Any) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [
        {"prompt": words(one.prompt) + " ", "completion": words(ids)}
        for one in TOLD
        for ids in one.responses
    ]
    return SFTTrainer(
        model=tiny_language_model(seed=1),
        args=SFTConfig(**settings(directory, rows=len(rows), **options)),
        train_dataset=Dataset.from_list(rows),
        processing_class=word_tokenizer(),
    )


@pytest.mark.parametrize("loss_type", ["nll", "chunked_nll"])
def test_a_step_of_fine_tuning(loss_type: str, tmp_path: Path):
    learner = learner_of({"policy": tiny_language_model(seed=1)})
    ours = our_step(learner, weighted(TOLD), LanguageModelling())
    assert_same(ours, trl_step(sft_trainer(tmp_path, loss_type=loss_type)))


def test_three_steps_of_fine_tuning_end_in_the_same_weights(tmp_path: Path):
    """Schedule, clipping and AdamW are the same too, given TRL's betas."""
    roles = SeparateRoles({"policy": tiny_language_model(seed=1)}, trained=["policy"])
    learner = learner_for(
        roles, token_budget=TOKEN_BUDGET, total_steps=3, schedule="linear", betas=(0.9, 0.999)
    )
    for _ in range(3):
        learner.update(weighted(TOLD), LanguageModelling())
    trainer = sft_trainer(tmp_path, max_steps=3, learning_rate=1e-3)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    moved = 0.0
    for name, parameter in trainer.model.named_parameters():
        torch.testing.assert_close(roles.parameters("policy")[name], parameter, atol=2e-5, rtol=0)
        moved = max(moved, float((parameter - before[name]).abs().max()))
    assert moved > 1e-3


@pytest.mark.parametrize(("margin", "centre"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.01), (0.3, 0.1)])
def test_a_step_of_a_reward_model(margin: float, centre: float, tmp_path: Path):
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    data = asked([2, 2, 2, 2], seed=3)
    rows = [
        {
            "prompt": words(one.prompt) + " ",
            "chosen": words(one.responses[0]),
            "rejected": words(one.responses[1]),
            "margin": margin,
        }
        for one in data
    ]
    options = settings(tmp_path, rows=len(rows), center_rewards_coefficient=centre or None)
    trainer = RewardTrainer(
        model=tiny_scalar_model(seed=3),
        args=RewardConfig(**options),
        train_dataset=Dataset.from_list(rows),
        processing_class=word_tokenizer(),
    )
    nothing = np.zeros(2, np.float32)
    trees = [
        tree.with_branch_labels(rating=nothing, weight=nothing)
        for tree in pair_trees(data, margin=margin)
    ]
    learner = learner_of({"reward": tiny_scalar_model(seed=3)}, trained="reward")
    ours = our_step(learner, trees, RewardModelling(center_coefficient=centre))
    assert_same(ours, trl_step(trainer))

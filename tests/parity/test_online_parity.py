"""Online preference optimisation beside TRL's ``OnlineDPOTrainer``.

Shapes: S responses, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plaudit.objectives import (
    PREFERENCE_LOSSES,
    PreferenceOptimisation,
    PreferenceTerm,
)
from tests.parity.data import asked, pair_trees, word_tokenizer, words
from tests.parity.steps import (
    assert_same,
    learner_of,
    our_step,
    policy_models,
    settings,
    trl_step,
    with_reference,
)

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

DATA = asked([2, 2, 2, 2], seed=13)
DPO = PreferenceOptimisation(
    terms=(PreferenceTerm(name="dpo", row=PREFERENCE_LOSSES["dpo"], settings={"beta": 0.1}),)
)


def online_trainer(directory: Path) -> Any:
    from datasets import Dataset
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    models = policy_models()
    return OnlineDPOTrainer(
        model=models["policy"],
        ref_model=models["reference"],
        reward_funcs=first_is_better,
        args=OnlineDPOConfig(**settings(directory, rows=len(DATA), beta=0.1)),
        train_dataset=Dataset.from_list([{"prompt": words(one.prompt)} for one in DATA]),
        processing_class=word_tokenizer(),
    )


def first_is_better(completion_ids: Sequence[list[int]], **_: Any) -> list[float]:
    """TRL has all first responses before all second ones."""
    half = len(completion_ids) // 2
    return [1.0] * half + [0.0] * half


def test_a_step_of_online_dpo(tmp_path: Path):
    """On both sides the loss is DPO's, of the pairs that the rewards make."""
    trainer = online_trainer(tmp_path)
    trainer._generate = lambda model, prompts, images=None: _generated(prompts)
    learner = learner_of(policy_models())
    mine = our_step(learner, with_reference(pair_trees(DATA), learner), DPO)
    assert_same(mine, trl_step(trainer))


def _generated(prompts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
    """Prompts twice, padded at the left; all first responses, then all second, at the right."""
    known = {words(one.prompt): one for one in DATA}
    rows = [known[prompt] for prompt in prompts]
    prompt_ST = _padded([one.prompt for one in rows] * 2, left=True)
    ids = [one.responses[side] for side in (0, 1) for one in rows]
    response_ST = _padded(ids, left=False)
    return prompt_ST, (prompt_ST != 0).long(), response_ST, (response_ST != 0).long(), None


def _padded(rows: Sequence[list[int]], *, left: bool) -> Tensor:
    longest = max(len(ids) for ids in rows)
    gaps = [[0] * (longest - len(ids)) for ids in rows]
    return torch.tensor(
        [gap + ids if left else ids + gap for ids, gap in zip(rows, gaps, strict=True)]
    )

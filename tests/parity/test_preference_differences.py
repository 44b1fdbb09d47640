"""Where our preference losses and ``DPOTrainer``'s differ on purpose, and how they relate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from plaudit.objectives import LanguageModelling
from plaudit.text import Tree
from tests.parity.data import END, Asked, asked, tree_of
from tests.parity.steps import assert_same, distance, learner_of, our_step, policy_models
from tests.parity.test_preference_parity import BETA, SMOOTHED, ours, theirs

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_smoothed_labels_change_dpo_with_us_alone(tmp_path: Path):
    """TRL takes ``label_smoothing`` beside ``sigmoid`` and does not read it."""
    ignored = theirs(tmp_path, loss_type="sigmoid", label_smoothing=0.1)
    assert_same(ours([("dpo", 1, BETA)]), ignored)
    assert distance(ours([("cdpo", 1, SMOOTHED)]), ignored) > 0.02


def test_ipo_is_summed_over_tokens_in_the_paper_and_averaged_in_trl(tmp_path: Path):
    """With all responses of L tokens, TRL's at beta is the paper's at beta / L, divided by L^2."""
    length, rng = 5, np.random.default_rng(2)
    data = [
        Asked(
            prompt=one.prompt,
            responses=tuple([*rng.integers(3, 60, length - 1).tolist(), END] for _ in range(2)),
        )
        for one in asked([2, 2, 2])
    ]
    paper = ours([("ipo", 1, {"beta": 0.1 / length})], data)
    assert_same(paper, theirs(tmp_path, data, loss_type="ipo"), factor=length**2)


def test_the_likelihood_of_better_responses_is_averaged_over_tokens_in_trl(tmp_path: Path):
    """Theirs is fine-tuning on all better responses; our ``nll`` gives each response one vote."""
    data = asked([2, 2, 2, 2])
    found = theirs(tmp_path, data, loss_type="sft")
    learner = learner_of(policy_models())
    assert_same(our_step(learner, _better(data), LanguageModelling()), found)
    assert distance(ours([("nll", 1, {})], data), found) > 0.02


def _better(data: Sequence[Asked]) -> list[Tree]:
    trees = [tree_of(Asked(prompt=one.prompt, responses=one.responses[:1])) for one in data]
    total = sum(len(one.responses[0]) for one in data)
    return [
        tree.with_token_labels(weight=np.full(len(tree.branches[0].ids), 1 / total, np.float32))
        for tree in trees
    ]

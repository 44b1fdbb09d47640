"""Losses on single responses beside TRL's ``KTOTrainer``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.learning import Learner
from plaudit.objectives import PREFERENCE_LOSSES, PreferenceOptimisation, PreferenceTerm
from plaudit.stages.preference_update import UpdateLabels
from plaudit.text import Tree
from tests.parity.data import Asked, asked, tree_of, word_tokenizer, words
from tests.parity.steps import (
    Step,
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

DATA = asked([1, 1, 1, 1, 1], seed=7)
GOOD = (True, False, True, True, False)
SEEDS = (2, 3, 4, 5)
"""Of the reference."""


def strangers(data: Sequence[Asked]) -> list[Asked]:
    """Each prompt with the response of the one before it, as TRL turns them round a batch."""
    turned = [data[-1], *data[:-1]]
    return [
        Asked(prompt=own.prompt, responses=other.responses)
        for own, other in zip(data, turned, strict=True)
    ]


def rated_trees() -> list[Tree]:
    share = np.full(1, 1 / len(DATA), np.float32)
    return [
        tree_of(one).with_branch_labels(rating=np.array([float(good)], np.float32), weight=share)
        for one, good in zip(DATA, GOOD, strict=True)
    ]


def labelled(learner: Learner, term: PreferenceTerm) -> list[Tree]:
    trees = with_reference(rated_trees(), learner)
    others = with_reference([tree_of(one) for one in strangers(DATA)], learner)
    return UpdateLabels.of([term], {}).label(trees, others, learner)[0]


def kto(**said: float) -> PreferenceTerm:
    return PreferenceTerm(name="kto", row=PREFERENCE_LOSSES["kto"], settings={"beta": 0.1, **said})


def ours(reference_seed: int, **said: float) -> Step:
    learner, term = learner_of(policy_models(reference_seed=reference_seed)), kto(**said)
    return our_step(learner, labelled(learner, term), PreferenceOptimisation(terms=(term,)))


def theirs(directory: Path, reference_seed: int, **options: Any) -> Step:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    rows = [
        {"prompt": words(one.prompt) + " ", "completion": words(one.responses[0]), "label": good}
        for one, good in zip(DATA, GOOD, strict=True)
    ]
    models = policy_models(reference_seed=reference_seed)
    return trl_step(
        KTOTrainer(
            model=models["policy"],
            ref_model=models["reference"],
            args=KTOConfig(**settings(directory, rows=len(DATA), **{"beta": 0.1, **options})),
            train_dataset=Dataset.from_list(rows),
            processing_class=word_tokenizer(),
        )
    )


@pytest.mark.parametrize("reference_seed", SEEDS)
def test_a_step_of_kto(reference_seed: int, tmp_path: Path):
    weights = {"desirable_weight": 1.0, "undesirable_weight": 1.5}
    assert_same(ours(reference_seed, **weights), theirs(tmp_path, reference_seed, **weights))


def test_z0_is_above_0_with_one_reference_and_held_there_with_another():
    learners = [learner_of(policy_models(reference_seed=seed)) for seed in SEEDS]
    z0 = [float(labelled(learner, kto())[0].branch["kto_z0"][0]) for learner in learners]
    assert min(z0) == 0.0 < max(z0)

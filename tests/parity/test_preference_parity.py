"""Preference losses and TRL's ``DPOTrainer``: one step of a tiny model, and random logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plaudit.learning import Learner
from plaudit.objectives import PREFERENCE_LOSSES, PreferenceOptimisation, PreferenceTerm
from plaudit.stages.preference_update import UpdateLabels
from plaudit.text import Tree
from tests.parity.data import END, Asked, asked, pair_trees, word_tokenizer, words
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

DATA = asked([2, 2, 2, 2])
Terms = Sequence[tuple[str, float, Mapping[str, float]]]
"""Losses of our table, each with its coefficient and settings."""

BETA = {"beta": 0.1}
SMOOTHED = {"beta": 0.1, "label_smoothing": 0.1}
SAME: Mapping[str, tuple[dict[str, Any], Terms]] = {
    "sigmoid": ({}, [("dpo", 1, BETA)]),
    "hinge": ({}, [("hinge", 1, BETA)]),
    "ipo": ({}, [("ipo_mean", 1, BETA)]),
    "exo_pair": ({"label_smoothing": 0.1}, [("exo", 1, SMOOTHED)]),
    "nca_pair": ({}, [("nca", 1, BETA)]),
    "robust": ({"label_smoothing": 0.1}, [("robust", 1, SMOOTHED)]),
    "bco_pair": ({}, [("bco_pair", 1, BETA)]),
    "sppo_hard": ({}, [("sppo", 1, BETA)]),
    "aot": ({}, [("aot", 1, BETA)]),
    "aot_unpaired": ({}, [("aot_unpaired", 1, BETA)]),
    "apo_zero": ({}, [("apo_zero", 1, BETA)]),
    "apo_down": ({}, [("apo_down", 1, BETA)]),
    "discopop": ({}, [("discopop", 1, {"beta": 0.1, "discopop_tau": 0.05})]),
    "sigmoid_norm": ({}, [("dpo_norm", 1, BETA)]),
}
VARIANTS: Mapping[str, tuple[dict[str, Any], Terms]] = {
    "forward_kl": ({"f_divergence_type": "forward_kl"}, [("f_dpo_forward_kl", 1, BETA)]),
    "js": ({"f_divergence_type": "js_divergence"}, [("f_dpo_js", 1, BETA)]),
    # TRL's alpha is 1 less ours.
    "alpha": (
        {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.3},
        [("f_dpo_alpha", 1, {"beta": 0.1, "f_alpha": 0.7})],
    ),
    "ld_alpha": ({"ld_alpha": 0.4}, [("ld_dpo", 1, {"beta": 0.1, "ld_alpha": 0.4})]),
    "mixed": (
        {"loss_type": ["sigmoid", "hinge", "sppo_hard"], "loss_weights": [0.8, 0.2, 0.01]},
        [("dpo", 0.8, BETA), ("hinge", 0.2, BETA), ("sppo", 0.01, BETA)],
    ),
}


def objective_of(terms: Terms) -> PreferenceOptimisation:
    return PreferenceOptimisation(
        terms=tuple(
            PreferenceTerm(name=name, row=PREFERENCE_LOSSES[name], coefficient=c, settings=s)
            for name, c, s in terms
        )
    )


def labelled(
    objective: PreferenceOptimisation, learner: Learner, data: Sequence[Asked]
) -> list[Tree]:
    """With what the losses ask of the whole update; BCO's running mean stays at TRL's 0."""
    trees = with_reference(pair_trees(data), learner)
    labels = UpdateLabels.of(objective.terms, {})
    if labels.wanted == {"bco_mean"}:
        return [tree.with_branch_labels(bco_mean=np.zeros(2, np.float32)) for tree in trees]
    return labels.label(trees, [], learner)[0]


def ours(terms: Terms, data: Sequence[Asked] = DATA) -> Step:
    learner, objective = learner_of(policy_models()), objective_of(terms)
    return our_step(learner, labelled(objective, learner, data), objective)


def theirs(directory: Path, data: Sequence[Asked] = DATA, **options: Any) -> Step:
    return trl_step(dpo_trainer(directory, data, **options))


def dpo_trainer(directory: Path, data: Sequence[Asked] = DATA, **options: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = [
        {
            "prompt": words(one.prompt) + " ",
            "chosen": words(one.responses[0]),
            "rejected": words(one.responses[1]),
        }
        for one in data
    ]
    models = policy_models()
    return DPOTrainer(
        model=models["policy"],
        ref_model=models["reference"],
        args=DPOConfig(**settings(directory, rows=len(data), **{"beta": 0.1, **options})),
        train_dataset=Dataset.from_list(rows),
        processing_class=word_tokenizer(),
    )


@pytest.mark.parametrize("name", SAME)
def test_a_step_of_every_loss_type(name: str, tmp_path: Path):
    options, terms = SAME[name]
    assert_same(ours(terms), theirs(tmp_path, loss_type=name, **options))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_of_divergences_lengths_and_mixtures(name: str, tmp_path: Path):
    options, terms = VARIANTS[name]
    assert_same(ours(terms), theirs(tmp_path, **options))


def likely(prompt: Sequence[int], tokens: int) -> list[int]:
    """What the policy itself would write."""
    model, ids = policy_models()["policy"], list(prompt)
    for _ in range(tokens):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return [*ids[len(prompt) :], END]


@pytest.mark.parametrize("own", [False, True])
def test_the_weight_of_wpo(own: bool, tmp_path: Path):
    """Below 1 on any tokens, above on what the policy itself would write."""
    (one,) = asked([2], seed=1)
    if own:
        one = replace(one, responses=(likely(one.prompt, 8), likely(one.prompt, 12)))
    found = theirs(tmp_path, [one], use_weighting=True)
    assert (found.loss > ours([("dpo", 1, BETA)], [one]).loss) == own
    assert_same(ours([("wpo", 1, BETA)], [one]), found)

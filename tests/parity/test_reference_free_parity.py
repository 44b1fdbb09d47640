"""ORPO, CPO and SimPO beside TRL's ``ORPOTrainer`` and ``CPOTrainer``, and where they differ.

Our trees are made of the rows that TRL tokenised, since these trainers choose tokens of their own.

Shapes: Q pairs, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from plaudit.objectives import PREFERENCE_LOSSES, PreferenceOptimisation, PreferenceTerm
from tests.parity.data import Asked, asked, pair_trees, word_tokenizer, words
from tests.parity.steps import (
    Step,
    assert_same,
    learner_of,
    norm_of,
    our_step,
    settings,
    trl_step,
)
from tests.tiny import tiny_language_model

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

DATA = asked([2, 2, 2, 2], seed=11)


def trainer_of(kind: str, directory: Path, **options: Any) -> Any:
    from datasets import Dataset

    config, trainer = _classes(kind)
    rows = [
        {
            "prompt": words(one.prompt) + " ",
            "chosen": words(one.responses[0]),
            "rejected": words(one.responses[1]),
        }
        for one in DATA
    ]
    return trainer(
        model=tiny_language_model(seed=1),
        args=config(**settings(directory, rows=len(DATA), max_length=64, **options)),
        train_dataset=Dataset.from_list(rows),
        processing_class=word_tokenizer(),
    )


def _classes(kind: str) -> tuple[Any, Any]:
    if kind == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOConfig, ORPOTrainer
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return CPOConfig, CPOTrainer


def rows_of(trainer: Any) -> list[Asked]:
    """What TRL made of the text: the prompt's tokens are those without a label."""
    rows = []
    for row in trainer.train_dataset:
        sides = []
        for side in ("chosen", "rejected"):
            ids, labels = row[f"{side}_input_ids"], row[f"{side}_labels"]
            begin = sum(label == -100 for label in labels)
            sides.append((ids[:begin], ids[begin:]))
        (prompt, chosen), (same, rejected) = sides
        assert prompt == same
        rows.append(Asked(prompt=prompt, responses=(chosen, rejected)))
    return rows


def ours(rows: Sequence[Asked], *terms: tuple[str, float, dict[str, float]]) -> Step:
    objective = PreferenceOptimisation(
        terms=tuple(
            PreferenceTerm(name=name, row=PREFERENCE_LOSSES[name], coefficient=c, settings=s)
            for name, c, s in terms
        )
    )
    learner = learner_of({"policy": tiny_language_model(seed=1)})
    return our_step(learner, pair_trees(rows), objective)


def test_simpo(tmp_path: Path):
    options = {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0}
    trainer = trainer_of("cpo", tmp_path, **options)
    mine = ours(rows_of(trainer), ("simpo", 1, {"beta": 2.0, "simpo_gamma": 1.0}))
    assert_same(mine, trl_step(trainer))


def test_the_preference_of_cpo(tmp_path: Path):
    trainer = trainer_of("cpo", tmp_path, loss_type="sigmoid", beta=0.1, cpo_alpha=0.0)
    mine = ours(rows_of(trainer), ("cpo", 1, {"beta": 0.1, "cpo_alpha": 0.0}))
    assert_same(mine, trl_step(trainer))


def test_the_likelihood_of_cpo_is_a_mean_over_the_batch_s_tokens_in_trl(tmp_path: Path):
    """Ours is the paper's sum over each response; of one pair theirs is ours by its tokens."""
    trainer = trainer_of("cpo", tmp_path, loss_type="sigmoid", beta=0.1, cpo_alpha=1.0)
    rows = rows_of(trainer)
    tokens = sum(len(row.responses[0]) for row in rows)
    mine = ours(rows, ("cpo", 1, {"beta": 0.1, "cpo_alpha": len(rows) / tokens}))
    assert_same(mine, trl_step(trainer))


def test_the_likelihood_of_orpo_reads_the_prompt_too_in_trl(tmp_path: Path):
    """Their loss less the likelihood of prompt and response, plus the paper's, is ours."""
    trainer = trainer_of("orpo", tmp_path, beta=0.1)
    rows = rows_of(trainer)
    mine = ours(rows, ("orpo", 1, {"orpo_lambda": 0.1}))
    likelihood = ours(rows, ("nll", 1, {}))
    whole = _step_of(_mean_loss_with_prompt(rows))
    assert_same(_sum(_sum(mine, likelihood, -1.0), whole, 1.0), trl_step(trainer))


def _mean_loss_with_prompt(rows: Sequence[Asked]) -> tuple[Any, torch.Tensor]:
    """The mean over all tokens of prompts and better responses, written from the formula."""
    model = tiny_language_model(seed=1)
    losses = []
    for row in rows:
        ids_T = torch.tensor(row.prompt + row.responses[0])
        logits = model(ids_T[None]).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, ids_T[1:], reduction="none"))
    return model, torch.cat(losses).mean()


def _step_of(found: tuple[Any, torch.Tensor]) -> Step:
    model, loss = found
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return Step(float(loss), gradients, norm_of(gradients))


def _sum(first: Step, second: Step, coefficient: float) -> Step:
    gradients = {n: g + coefficient * second.gradients[n] for n, g in first.gradients.items()}
    return Step(first.loss + coefficient * second.loss, gradients, norm_of(gradients))

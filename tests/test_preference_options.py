"""Options of the preference stage: what is refused, what a loss is given, whose loss it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from plaudit.config import make_config
from plaudit.objectives import PREFERENCE_LOSSES, PreferenceLoss
from plaudit.objectives.preference_inputs import Pairs
from plaudit.stages.preference_data import check_labels
from plaudit.stages.preference_options import LossOptions, PreferenceConfig
from plaudit.text import Tree
from tests.tiny import random_tree

OTHERS = {"model": "m", "dataset": "d.jsonl"}


def config(**said: object) -> PreferenceConfig:
    return make_config(PreferenceConfig, {**OTHERS, **said}, "preference")


REFUSED = {
    "a name nearly right": ({"loss": "simp"}, "loss: simp is not known; did you mean simpo?"),
    "TRL's name": ({"loss": "sigmoid"}, "loss: TRL's sigmoid is called dpo here"),
    "an option of another loss": (
        {"loss": "simpo", "ld_alpha": 0.3},
        "ld_alpha: simpo does not read it; it reads beta, label_smoothing, simpo_gamma",
    ),
    "TRL's name for ORPO's lambda": (
        {"loss": "orpo", "beta": 0.1}, "beta: orpo does not read it; it reads label_smoothing, or"
    ),
    "smoothing of hard labels": ({"loss": "dpop", "label_smoothing": 0.1}, "label_smoothing: dpop"),
    "an option none reads": (
        {"loss": {"dpo": 1, "nll": 0.2}, "simpo_gamma": 1}, "simpo_gamma: dpo, nll does not read it"
    ),
    "likelihood twice": ({"loss": {"dpo": 1, "nll": 1}, "rpo_alpha": 1}, "rpo_alpha: nll is among"),
    "no loss": ({"loss": {}}, "loss: expected at least one"),
    "a loss of no weight": ({"loss": {"dpo": 0}}, "greater than 0"),
    "exo without smoothing": ({"loss": "exo", "label_smoothing": 0}, "label_smoothing: exo is inf"),
    "a cache of nothing": ({"loss": "cpo", "reference_cache": "c"}, "reference_cache: cpo has no"),
    "two references": (
        {"reference_cache": "c", "moving_reference": {}}, "a moving reference is not kept"
    ),
    "moving adapters": ({"moving_reference": {}, "lora_r": 4}, "expected lora_r=0"),
    "no such module": ({"loss": "nowhere:LOSS"}, "loss: nowhere:LOSS cannot be imported"),
    "no such row": ({"loss": "tests.small:LOSS"}, "loss: tests.small:LOSS cannot be imported"),
    "not a row": ({"loss": "tests.small:DIALOGUES"}, "is a str; expected a PreferenceLoss"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_options_that_do_not_apply_are_refused(fault: str):
    said, message = REFUSED[fault]
    with pytest.raises(ValueError) as caught:
        config(**said)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_stage_can_be_told_every_setting_of_every_loss():
    settings = {name for row in PREFERENCE_LOSSES.values() for name in row.settings}
    assert settings == LossOptions.model_fields.keys() - {"loss", "rpo_alpha"}


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_every_setting_reaches_its_loss(name: str):
    said = dict.fromkeys(PREFERENCE_LOSSES[name].settings, 0.25)
    (term,) = config(loss=name, **said).terms
    assert term.resolved == said
    assert config(loss=name).terms[0].resolved == PREFERENCE_LOSSES[name].settings


def test_the_old_options_are_a_sum_of_two_losses():
    dpo, nll = config(beta=0.2, label_smoothing=0.1, rpo_alpha=0.5).terms
    assert (dpo.name, dpo.resolved) == ("dpo", {"beta": 0.2, "label_smoothing": 0.1})
    assert (nll.name, nll.coefficient, nll.resolved) == ("nll", 0.5, {})


def test_a_resolved_config_reads_back_as_itself():
    first = config(loss={"kto": 1.0, "simpo": 0.5}, beta=0.3)
    assert make_config(PreferenceConfig, first.model_dump(mode="json"), "again") == first


def half(pairs: Pairs, *, beta: float) -> Tensor:
    return 0.5 * beta * pairs.log_ratio.difference_Q


OWN = PreferenceLoss(half, {"beta": 0.7}, labels="hard")


def test_a_loss_of_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert config(loss=f"{__name__}:OWN").terms[0].row is OWN
    (tmp_path / "just_here.py").write_text(f"from {__name__} import OWN\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != ""])
    assert config(loss="just_here:OWN").terms[0].resolved == {"beta": 0.7}


def soft_tree(probability: float) -> Tree:
    tree = random_tree(np.random.default_rng(0), prompt=3, branches=[2, 2])
    return tree.with_pair_labels(probability=np.array([1.0, probability], np.float32))


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_soft_labels_are_refused_by_losses_of_hard_ones_alone(name: str):
    (term,) = config(loss=name).terms
    check_labels(term, [soft_tree(1.0)], "d.jsonl")
    if term.row.labels != "hard":
        check_labels(term, [soft_tree(0.7)], "d.jsonl")
        return
    with pytest.raises(ValueError, match=f"d.jsonl: random has a .* 0.7, but loss={name} takes"):
        check_labels(term, [soft_tree(0.7)], "d.jsonl")

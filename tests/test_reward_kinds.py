"""Reward models of several kinds: how each is trained, and that it learns what its data says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from plaudit.learning import read_metrics
from plaudit.records import Message, Score
from tests.scored import opened, rollout, small_renderer
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows

FAST = {"learning_rate": 3e-3, "batch_size": 8, "num_train_epochs": 6, "max_length": 256}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


def test_criteria_have_a_head_each(base: str, tmp_path: Path):
    """Of the same answers one criterion likes the polite, the other the rude."""
    rows = [row | {"criterion": "polite"} for row in polite_pairs(32)]
    rows += [
        row | {"criterion": "curt", "chosen": row["rejected"], "rejected": row["chosen"]}
        for row in polite_pairs(32)
    ]
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        portion=[0, 0.6], eval_portion=[0.6, 1], criteria={"polite": 1.0, "curt": 0.25}, **FAST,
    )  # fmt: skip
    for criterion in ("polite", "curt"):
        assert artifact.metrics["held_out"]["criteria"][criterion]["accuracy"]["model"][1] > 0.9
    heads = json.loads((artifact.path / "model" / "reward.json").read_text())["heads"]
    assert {name: head["weight"] for name, head in heads.items()} == {"polite": 1.0, "curt": 0.25}
    renderer = small_renderer(base)
    asked = (Message(role="user", content="one latte number 3"),)
    texts = ["sure, a latte, thank you!", "no latte for you"]
    scored = opened(artifact.path, renderer, standardised=True).score(
        [rollout(asked, text, renderer) for text in texts]
    )
    kind, rude = (score for score in scored if isinstance(score, Score))
    assert kind.parts["polite"] > rude.parts["polite"] and kind.parts["curt"] < rude.parts["curt"]
    expected = sum(h["weight"] * (kind.parts[n] - h["mean"]) / h["std"] for n, h in heads.items())
    assert kind.value == pytest.approx(expected, abs=1e-6)
    row = {**rows[0], "criterion": "honest"}
    with pytest.raises(ValueError, match="its criterion is 'honest', none of the criteria polite"):
        run_stage(
            "reward", tmp_path / "other", model=base, criteria={"polite": 1.0},
            dataset=write_rows(tmp_path / "e.jsonl", [row]),
        )  # fmt: skip


@pytest.mark.parametrize("lora_r", [0, 4])
def test_a_length_head_leaves_the_score_to_the_other(base: str, tmp_path: Path, lora_r: int):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, lora_r=lora_r,
        dataset=write_rows(tmp_path / "d.jsonl", polite_pairs(32)), length_coefficient=1.0,
        **FAST,
    )  # fmt: skip
    heads = json.loads((artifact.path / "model" / "reward.json").read_text())["heads"]
    assert {name: head["weight"] for name, head in heads.items()} == {"quality": 1.0, "length": 0.0}
    weight = load_file(artifact.path / "model" / "model.safetensors")["score.weight"]
    assert weight.shape == (2, 48)
    renderer = small_renderer(base)
    asked = [rollout((Message(role="user", content="one tea"),), "sure, a tea", renderer)]
    (score,) = opened(artifact.path, renderer).score(asked)
    assert isinstance(score, Score) and score.value == score.parts["quality"]


RATED = [
    {"prompt": f"cup {i}?\n", "responses": ["bad tea", "fair tea", "good tea"],
     "ratings": [{"response": k, "value": k / 2} for k in range(3)]}
    for i in range(32)
]  # fmt: skip
RANKED = [{"prompt": row["prompt"], "responses": row["responses"], "ranking": [2, 1, 0]}
          for row in RATED]  # fmt: skip
TIED = [
    {"prompt": row["prompt"], "responses": ["good tea", "good cup", "bad tea"],
     "preferences": [{"better": 0, "worse": 1, "probability": 0.5}, {"better": 0, "worse": 2},
                     {"better": 1, "worse": 2}]}
    for row in RATED
]  # fmt: skip


@pytest.mark.parametrize("probability", [0.2, 0.8])
def test_a_difference_of_scores_is_the_log_odds_of_the_label(
    base: str, tmp_path: Path, probability: float
):
    rows = [{"prompt": f"cup {i}?\n", "chosen": "good tea", "rejected": "bad tea",
             "probability": probability} for i in range(16)]  # fmt: skip
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        **{**FAST, "num_train_epochs": 30},
    )  # fmt: skip
    renderer = small_renderer(base)
    asked = [rollout("cup 3?\n", text, renderer) for text in ("good tea", "bad tea")]
    scored = opened(artifact.path, renderer).score(asked)
    good, bad = (score.value for score in scored if isinstance(score, Score))
    assert good - bad == pytest.approx(math.log(probability / (1 - probability)), abs=0.1)
    assert read_metrics(artifact.path)[-1]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (RANKED, {"loss": "plackett_luce"}),
        (RANKED, {"loss": "top_1"}),
        (RANKED, {"label_smoothing": 0.1, "center_rewards_coefficient": 0.01}),
        (TIED, {"loss": "davidson", "score_l2_coefficient": 0.001}),
        (TIED, {"loss": "rao_kupper", "tie_probability": 0.5}),
        (RATED, {"loss": "none", "rating_loss": "regression"}),
        (RATED, {"loss": "none", "rating_loss": "ordinal", "rating_levels": 3}),
        (RATED, {"loss": "none", "rating_loss": "ordinal", "rating_levels": 3,
                 "threshold_learning_rate": 0}),
        (RATED, {"loss": "none", "rating_loss": "logistic"}),
    ],
    ids=lambda value: str(value.get("rating_loss", value.get("loss", "smooth")))
    if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_loss_learns_what_its_data_says(base: str, tmp_path: Path, rows, options):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        portion=[0, 0.6], eval_portion=[0.6, 1], **FAST, **options,
    )  # fmt: skip
    found = [json.loads(line) for line in
             (artifact.path / "held_out.jsonl").read_text().splitlines()]  # fmt: skip
    scores = np.array([row["scores"] for row in found])
    if rows is TIED:
        assert (scores[:, :2].min(1) > scores[:, 2]).all()
        assert (np.abs(scores[:, 0] - scores[:, 1]) < scores[:, 0] - scores[:, 2]).all()
        assert all(len(row["pairs"]) == 2 for row in found)
    else:
        best, rest = scores[:, 2], scores[:, :2]
        assert (best > rest.max(1)).all()
        if options.get("loss") != "top_1":
            assert (scores[:, 1] > scores[:, 0]).all()
    if options.get("rating_loss") == "regression":
        assert np.abs(scores - [0, 0.5, 1]).max() < 0.2
    reference = json.loads((artifact.path / "model" / "reward.json").read_text())
    assert ("thresholds" in reference) == (options.get("rating_loss") == "ordinal")
    if rows is TIED:  # responses of equal worth always tie
        assert reference["tie_probability"] > options.get("tie_probability", 1 / 3) + 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "davidson", "label_smoothing": 0.1}, "label_smoothing: loss=davidson has none"),
        ({"tie_probability": 0.5}, "tie_probability: loss=bradley_terry has no ties"),
        ({"threshold_learning_rate": 0.1}, "threshold_learning_rate: nothing to learn"),
        ({"loss": "top_1", "center_rewards_coefficient": 1}, "center_rewards_coefficient: loss"),
        ({"loss": "none", "pointwise_coefficient": 2}, "pointwise_coefficient: with loss=none"),
        ({"rating_loss": "ordinal"}, "rating_levels: needed by rating_loss=ordinal"),
        ({"rating_levels": 3}, "rating_levels: needed by rating_loss=ordinal"),
        ({"criterion_column": "x"}, "criterion_column: without criteria"),
        ({"criteria": {"a": 1}, "length_coefficient": 1}, "length_coefficient: its two heads"),
        ({"rule_column": "rule"}, "rule_column: a rule is kept or broken; set loss=none"),
    ],
)
def test_options_that_do_not_apply_are_refused(options: dict, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        run_stage("reward", tmp_path / "r", model="m", dataset="d", **options)


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (TIED[0], {"loss": "plackett_luce"}, "sure by 0.5 only, but loss=plackett_luce"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "probability": 0.7}, {"loss": "top_1"},
         "sure by 0.7 only, but loss=top_1"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "margin": 1}, {"loss": "davidson"},
         "has a margin, which loss=davidson cannot use"),
        (RANKED[0], {"rating_loss": "ordinal", "rating_levels": 3}, "holds no ratings"),
        (RANKED[0], {"criteria": {"a": 1}}, "no text in the column criterion"),
    ],
)  # fmt: skip
def test_judgments_that_a_loss_cannot_use_are_refused(
    base: str, tmp_path: Path, row: dict, options: dict, message: str
):
    with pytest.raises(ValueError, match=message):
        run_stage(
            "reward", tmp_path / "r", model=base, dataset=write_rows(tmp_path / "d.jsonl", [row]),
            **options,
        )  # fmt: skip


def test_rules_are_judged_one_by_one(base: str, tmp_path: Path):
    """The same answers keep one rule and break the other."""
    rows = [
        {"prompt": f"cup {i}?\n", "completion": said, "rule": rule, "label": said.startswith(rule)}
        for i in range(32)
        for said in ("sure thing", "no way")
        for rule in ("sure", "no")
    ]
    artifact = run_stage(
        "reward", tmp_path / "rules", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        rule_column="rule", loss="none", **{**FAST, "num_train_epochs": 10},
    )  # fmt: skip
    renderer = small_renderer(base)
    asked = [rollout("cup 77?\n", text, renderer) for text in ("sure thing", "no way")]
    found = opened(artifact.path, renderer).score(asked)
    sure, no = (score for score in found if isinstance(score, Score))
    assert sure.parts["sure"] > 0.8 > 0.2 > sure.parts["no"]
    assert no.parts["no"] > 0.8 > 0.2 > no.parts["sure"]
    assert sure.value == pytest.approx(np.mean(list(sure.parts.values())))

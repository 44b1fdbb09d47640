"""``plaudit preference``: every loss by its name, data of every kind, references, refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from plaudit.learning import read_metrics
from plaudit.objectives import PREFERENCE_LOSSES
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", polite_pairs(24))


# Where the published scale of a loss asks for another size of step than these few updates have.
SCALES = {"sppo": {"beta": 0.1}, "dpop": {"dpop_lambda": 1}, "nca": {"beta": 0.1}}


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_every_loss_learns_what_people_prefer(name: str, base: str, pairs: str, tmp_path: Path):
    made = run_stage(
        "preference", tmp_path / "out", model=base, dataset=pairs, loss=name, batch_size=8,
        num_train_epochs=2, learning_rate=2e-3, lr_scheduler_type="constant",
        **SCALES.get(name, {}),
    )  # fmt: skip
    steps = read_metrics(made.path)
    assert all(math.isfinite(step["loss"]) for step in steps)
    if name != "discopop":  # at margin 0 its slope is upwards: it settles just below
        assert steps[-1]["margin"] > steps[0]["margin"]
    if name not in ("discopop", "cpo", "slic"):  # these two begin far behind, with shorter answers
        assert steps[-1]["accuracy"] > 0.8
    assert made.metrics["losses"][name]["weight"] == 1.0


def doubted(place: Path, probability: float) -> str:
    rows = [{**row, "probability": probability} for row in polite_pairs(6)]
    return write_rows(place / "doubted.jsonl", rows)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_doubt_sets_how_far_a_policy_goes(probability: float, base: str, tmp_path: Path):
    """DPO ends at ``log(p / (1 - p))``; at one half it has nothing to learn, and does not move."""
    made = run_stage(
        "preference", tmp_path / "out", model=base, dataset=doubted(tmp_path, probability),
        beta=1.0, batch_size=6, num_train_epochs=100, learning_rate=1e-3,
    )  # fmt: skip
    last = read_metrics(made.path)[-1]
    odds = math.log(probability / (1 - probability))
    assert last["margin"] == pytest.approx(odds, abs=0.02 if odds else 0)
    entropy = -sum(p * math.log(p) for p in (probability, 1 - probability))
    assert last["loss"] == pytest.approx(entropy, abs=1e-4)
    assert last.get("accuracy") == (1.0 if odds else None)


@pytest.mark.parametrize("name", ["dpop", "aot", "plackett_luce"])
def test_doubt_is_refused_by_losses_of_winners(name: str, base: str, tmp_path: Path):
    data = doubted(tmp_path, 0.9)
    with pytest.raises(ValueError, match=f"doubted.jsonl:1 has .* 0.9, but loss={name} takes hard"):
        run_stage("preference", tmp_path / "out", model=base, dataset=data, loss=name)


def judged_rows(kind: str) -> list[dict[str, Any]]:
    """The polite pairs as ratings, as soft labels, as rankings of three."""
    rows = polite_pairs(24)
    if kind == "ratings":
        return [
            {"prompt": r["prompt"], "completion": r[side], "label": side == "chosen"}
            for r in rows
            for side in ("chosen", "rejected")
        ]
    worst = [{"role": "assistant", "content": "go away"}]
    return [
        {"prompt": r["prompt"], "chosen": r[b] if b else worst, "rejected": r[w] if w else worst}
        for r in rows
        for b, w in (("chosen", "rejected"), ("rejected", None), ("chosen", None))
    ]


@pytest.mark.parametrize("name", ["kto", "bco"])
def test_single_ratings_are_enough_for_losses_on_responses(name: str, base: str, tmp_path: Path):
    """Every prompt has one response with one label: there are no pairs at all."""
    rows = judged_rows("ratings")
    rows = [row for i, row in enumerate(rows) if i % 4 in (0, 3)]
    data = write_rows(tmp_path / "ratings.jsonl", rows)
    made = run_stage(
        "preference", tmp_path / "out", model=base, dataset=data, loss=name, batch_size=8,
        num_train_epochs=6, learning_rate=2e-3, beta=0.1,
    )  # fmt: skip
    steps = read_metrics(made.path)
    assert made.metrics["pairs"] == 0
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["desirable_reward"] > steps[-1]["undesirable_reward"] + 0.1


def test_a_ranking_is_learned_from_all_the_pairs_it_implies(base: str, tmp_path: Path):
    rows = [row for i, row in enumerate(judged_rows("ranking")) if i % 3 != 2]
    data = write_rows(tmp_path / "rankings.jsonl", rows)
    said = {"model": base, "dataset": data, "loss": "plackett_luce", "max_length": 200}
    made = run_stage("preference", tmp_path / "out", batch_size=8, learning_rate=2e-3, **said)
    assert made.metrics["pairs"] == 3 * made.metrics["prompts"]  # two were said, three are implied
    assert read_metrics(made.path)[0]["loss"] == pytest.approx(math.log(6) / 3, abs=1e-5)


def test_preferences_that_are_no_ranking_are_refused(base: str, tmp_path: Path):
    rows = judged_rows("ranking")[:3]
    rows[2] = {**rows[2], "chosen": rows[2]["rejected"], "rejected": rows[2]["chosen"]}
    cycle = write_rows(tmp_path / "cycle.jsonl", rows)
    partial = write_rows(tmp_path / "open.jsonl", judged_rows("ranking")[1:3])
    for data in (cycle, partial):
        with pytest.raises(ValueError, match="no ranking of its 3 responses"):
            run_stage("preference", tmp_path / "o", model=base, dataset=data, loss="plackett_luce")

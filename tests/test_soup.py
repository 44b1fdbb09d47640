"""Soups: sums of weights are what they say, and the front is drawn from what was measured."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from plaudit.models.soups import check_alike, pour, simplex, weights_of
from plaudit.statistics import non_dominated
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows
from tests.tiny import tiny_language_model

RL = {
    "max_steps": 4, "batch_size": 4, "num_generations": 4, "max_completion_length": 8,
    "learning_rate": 2e-2,
}  # fmt: skip
COUNT_E = {"function": "tests.small:count_of_e"}


def test_soups_are_sums_of_weights():
    models = [tiny_language_model(seed=seed) for seed in range(3)]
    weights = [weights_of(model) for model in models]
    soup = tiny_language_model(seed=9)
    pour(soup, weights, (0.5, 0.25, 0.25))
    for name, parameter in soup.named_parameters():
        expected = 0.5 * weights[0][name] + 0.25 * weights[1][name] + 0.25 * weights[2][name]
        torch.testing.assert_close(parameter, expected)
    pour(soup, weights, (0.0, 1.0, 0.0))
    assert all(torch.equal(p, weights[1][name]) for name, p in soup.named_parameters())
    pour(soup, [weights[0]] * 2, (0.5, 0.5))
    assert all(torch.equal(p, weights[0][name]) for name, p in soup.named_parameters())


def test_other_shapes_make_no_soup():
    one, other = (weights_of(tiny_language_model(family)) for family in ("llama", "qwen3"))
    with pytest.raises(ValueError, match="b: its weights are not those of a"):
        check_alike({"a": one, "b": other})
    check_alike({"a": one, "b": dict(one)})


@pytest.mark.parametrize(("corners", "intervals"), [(2, 4), (3, 3), (4, 1)])
def test_the_simplex_is_covered_once(corners: int, intervals: int):
    found = list(simplex(corners, intervals))
    grid = itertools.product(range(intervals + 1), repeat=corners)
    expected = {tuple(k / intervals for k in counts) for counts in grid if sum(counts) == intervals}
    assert set(found) == expected and len(found) == len(expected)
    assert found[0] == (1.0, *[0.0] * (corners - 1))


def test_the_front_holds_what_no_other_betters():
    points = [(0, 3), (1, 2), (1, 1), (2, 2), (3, 0), (3, 0), (0, 0)]
    assert non_dominated(points).tolist() == [True, False, False, True, True, True, False]
    cloud = np.random.default_rng(0).normal(size=(40, 3))
    kept = non_dominated(cloud)
    for i, point in enumerate(cloud):
        bettered = any((other >= point).all() and (other > point).any() for other in cloud)
        assert kept[i] == (not bettered)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("trained")
    base = str(small_checkpoint(place / "base"))
    pairs = write_rows(place / "pairs.jsonl", polite_pairs())
    rewards = {"e": COUNT_E, "brief": {"rule": "length", "weight": -0.2}}
    for name, source in rewards.items():
        run_stage("rl", place / name, model=base, dataset=pairs, rewards={name: source}, **RL)
    return {"base": base, "pairs": pairs, "e": str(place / "e"), "brief": str(place / "brief")}


def soup_options(trained: dict[str, str], **more) -> dict:
    return {
        "policies": {"e": trained["e"], "brief": trained["brief"]},
        "rewards": {"e": COUNT_E, "tokens": {"rule": "length"}},
        "dataset": trained["pairs"],
        "max_completion_length": 8,
        "intervals": 2,
        **more,
    }


def test_a_soup_is_scored_all_along_and_drawn(trained: dict[str, str], tmp_path: Path):
    soup = run_stage(
        "soup", tmp_path / "soup", **soup_options(trained, ancestor=trained["base"]),
        shares={"e": 3, "brief": 1},
    )  # fmt: skip
    found = json.loads((soup.path / "soups.json").read_text())
    assert [row["shares"]["e"] for row in found["soups"]] == [1.0, 0.5, 0.0]
    assert any(row["on_front"] for row in found["soups"])
    for row in (*found["soups"], found["ancestor"]):
        low, point, high = row["rewards"]["tokens"]
        assert low <= point <= high and point == pytest.approx(row["response_tokens"])
        assert row["invalid"] == 0
    weights = [load_file(Path(trained[n]) / "model/model.safetensors") for n in ("e", "brief")]
    kept = load_file(soup.path / "model/model.safetensors")
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, 0.75 * weights[0][name] + 0.25 * weights[1][name])

    front = run_stage("front", tmp_path / "front", soup=str(soup.path), title="e against length")
    assert (front.path / "front.png").read_bytes().startswith(b"\x89PNG")
    drawn = (front.path / "front.svg").read_text()
    assert "e against length" in drawn and "0.5 0.5" in drawn and "ancestor" in drawn
    rows = json.loads((front.path / "front.json").read_text())
    assert rows["axes"] == ["e", "tokens"]
    assert rows["front"] == [row for row in found["soups"] if row["on_front"]]
    with pytest.raises(ValueError, match="not scored under token; did you mean tokens"):
        run_stage("front", tmp_path / "no", soup=str(soup.path), rewards=["e", "token"])
    with pytest.raises(ValueError, match="two axes, but 1 were given"):
        run_stage("front", tmp_path / "no", soup=str(soup.path), rewards=["e"])


def test_the_ends_of_a_soup_answer_as_its_policies_do(trained: dict[str, str], tmp_path: Path):
    both = run_stage("soup", tmp_path / "a", **soup_options(trained, intervals=1))
    swapped = soup_options(trained, intervals=1)
    swapped["policies"] = dict(reversed(swapped["policies"].items()))
    other = run_stage("soup", tmp_path / "b", **swapped)
    ends = [[row["rewards"] for row in run.metrics["soups"]] for run in (both, other)]
    assert ends[0] == ends[1][::-1]


FAULTS = {
    "another ancestor": ({"policies": {"e": "{e}", "stranger": "{stranger}"}}, "from one model"),
    "a share of nobody": (
        {"shares": {"f": 1}},
        "shares: f is none of policies; there are e",
    ),
    "no share": ({"shares": {"e": 0}}, "shares: all are 0"),
    "a weight": ({"rewards": {"e": COUNT_E | {"weight": 2}}}, "rewards.e: soups are shown as"),
    "running": ({"rewards": {"e": COUNT_E | {"normalisation": "running"}}}, "rewards.e: soups"),
    "one policy": ({"policies": {"e": "{e}"}}, "policies: dictionary should have at least 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_soup_that_would_be_none_is_refused(fault: str, trained: dict[str, str], tmp_path: Path):
    options, said = FAULTS[fault]
    if fault == "another ancestor":
        place = tmp_path / "stranger"
        base = str(small_checkpoint(tmp_path / "base", seed=5))
        run_stage("rl", place, model=base, dataset=trained["pairs"], rewards={"e": COUNT_E},
                  **RL | {"max_steps": 1})  # fmt: skip
        options = {"policies": {"e": trained["e"], "stranger": str(place)}}
    elif "policies" in options:
        options = {"policies": {"e": trained["e"]}}
    with pytest.raises(ValueError, match=said):
        run_stage("soup", tmp_path / "soup", **soup_options(trained, **options))
    assert not (tmp_path / "soup").exists()

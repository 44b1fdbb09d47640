"""Best-of-n: the estimator against every possible choice, and the stage on a small model."""

from __future__ import annotations

import json
from itertools import combinations
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from plaudit.statistics.best_of_n import best_of_n, best_of_n_kl
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_estimator_is_the_mean_over_all_choices_of_n(n: int):
    rng = np.random.default_rng(0)
    scores, values = rng.normal(size=5), rng.normal(size=5)
    best = [values[max(chosen, key=lambda i: scores[i])] for chosen in combinations(range(5), n)]
    assert best_of_n(scores, values, n) == pytest.approx(np.mean(best))


def test_equal_scores_are_chosen_alike():
    assert best_of_n([1, 1, 1, 1], [0, 0, 0, 1], 3) == pytest.approx(0.25)
    assert best_of_n([0, 1, 1], [9, 0, 1], 2) == pytest.approx(0.5)
    assert best_of_n([-np.inf, -np.inf, 0], [1, 1, 0], 3) == 0
    for scores, n in (([0.0, np.nan], 1), ([0.0, 1.0], 3), ([0.0, 1.0], 0)):
        with pytest.raises(ValueError):
            best_of_n(scores, [0, 1], n)


@pytest.mark.parametrize(
    ("n", "kl"), [(1, 0), (2, 0.1931), (4, 0.6363), (8, 1.2044), (16, 1.8351), (1000, 5.9088)]
)
def test_the_bound_on_the_kl(n: int, kl: float):
    assert best_of_n_kl(n) == pytest.approx(kl, abs=5e-5)


def test_the_bound_is_the_kl_of_the_best_among_distinct_answers():
    """Of a policy with as many equally likely answers as you like, ranked by score."""
    n, size = 4, 4000
    places = np.arange(1, size + 1) / size
    best = np.diff(np.concatenate([[0], places**n]))
    kl = float((best * (np.log(best) - log(1 / size))).sum())
    assert kl == pytest.approx(best_of_n_kl(n), abs=1e-3) and exp(kl) < n


def test_the_stage_measures_what_a_reward_model_chooses(tmp_path: Path):
    base = str(small_checkpoint(tmp_path / "base"))
    data = write_rows(tmp_path / "pairs.jsonl", polite_pairs(24))
    for seed in (0, 1):
        run_stage("reward", tmp_path / f"r{seed}", model=base, dataset=data, seed=seed,
                  learning_rate=1e-3, batch_size=8)  # fmt: skip
    artifact = run_stage(
        "best_of_n", tmp_path / "best", model=base, dataset=data, num_generations=6,
        scorers={"first": str(tmp_path / "r0"), "second": str(tmp_path / "r1")},
        verifier="tests.small:count_of_e", max_completion_length=8,
    )  # fmt: skip
    found = json.loads((artifact.path / "best_of_n.json").read_text())
    rows = [json.loads(line) for line in (artifact.path / "answers.jsonl").read_text().splitlines()]
    assert list(found["by_scorer"]["first"]) == ["1", "2", "4", "6"] and len(rows) == 24 * 6
    for name in ("first", "second"):
        chosen = [
            max(rows[i : i + 6], key=lambda row: row["scores"][name])["value"]
            for i in range(0, len(rows), 6)
        ]
        assert found["by_scorer"][name]["6"][1] == pytest.approx(np.mean(chosen))
        mean = np.mean([row["value"] for row in rows])
        assert found["by_scorer"][name]["1"][1] == pytest.approx(mean)
    verifier = found["by_scorer"]["verifier"]
    assert verifier["1"][1] < verifier["2"][1] < verifier["6"][1]
    gain = found["by_scorer"]["first"]["6"][1] - found["by_scorer"]["second"]["6"][1]
    assert found["gain_on"]["second"][1] == pytest.approx(gain)
    summary = json.loads((artifact.path / "summary.json").read_text())
    assert summary["before"] == found["by_scorer"]["first"]["1"]
    assert summary["after"] == found["by_scorer"]["first"]["6"] and summary["seconds"] > 0
    assert found["invalid"] == {"first": 0, "second": 0}

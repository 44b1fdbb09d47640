"""measure: a figure before and after, its intervals, and who may not judge."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from plaudit.artifacts import Artifact
from plaudit.evaluation.measure import Side, compare
from plaudit.records import Invalid, Prompt, Rollout, Score
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows

SHORT = {
    "num_generations": 4,
    "max_completion_length": 12,
    "reward_function": "tests.small:count_of_e",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", polite_pairs())


@pytest.fixture(scope="module")
def reward(base: str, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    place = tmp_path_factory.mktemp("reward") / "reward"
    return run_stage("reward", place, model=base, dataset=pairs, learning_rate=1e-3)


def rollouts(conversations: str) -> list[Rollout]:
    return [
        Rollout(
            prompt=Prompt(id=str(i), conversation=name, content="a"),
            prompt_ids=np.array([1]),
            ids=np.array([2]),
            logprobs=np.array([0.0]),
            text="",
            finish_reason="stop",
            policy_version=0,
            index=0,
        )
        for i, name in enumerate(conversations)
    ]


def side(conversations: str, values: list[float | None]) -> Side:
    scores = [Invalid(reason="none") if v is None else Score(value=v) for v in values]
    return Side(rollouts=rollouts(conversations), scores=scores)


def test_the_difference_is_paired():
    # Conversations differ wildly, the models by exactly 1 in each: only pairing can see that.
    before = side("abcdef", [-50.0, 90.0, 3.0, -70.0, 20.0, 7.0])
    after = side("abcdef", [-49.0, 91.0, 4.0, -69.0, 21.0, 8.0])
    found = compare(before, after, seed=0)
    assert found["difference"] == pytest.approx((1.0, 1.0, 1.0))
    assert found["before"].high - found["before"].low > 20
    assert found["after"].point == pytest.approx(1.0)


def test_an_answer_without_a_score_is_left_out_and_counted():
    before = side("aabb", [1.0, None, 3.0, 5.0])
    after = side("aabb", [2.0, 4.0, None, 6.0])
    found = compare(before, after, seed=0)
    assert found["before"].point == pytest.approx(3.0)
    assert found["after"].point == pytest.approx(4.0)
    assert found["difference"].point == pytest.approx(1.0)
    assert before.invalid == {"none": 1}


def test_a_rate_of_one_is_not_certain():
    sure = side("abcd", [1.0, 1.0, 1.0, 1.0])
    found = compare(sure, sure, seed=0)
    assert found["after"].point == 1.0
    assert found["after"].low < 0.6


def test_a_number_goes_up_and_says_so(
    base: str, pairs: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    policy = run_stage(
        "rl", tmp_path / "rl", model=base, dataset=pairs, max_steps=24, batch_size=8,
        learning_rate=1e-2, beta=0.0, **SHORT,
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        measured = run_stage(
            "measure", tmp_path / "measure", before=base, after=str(policy.path), dataset=pairs,
            metric="share of e", stages={"rl": str(policy.path)}, **SHORT,
        )  # fmt: skip
    summary = json.loads((measured.path / "summary.json").read_text())
    assert list(summary) == ["metric", "before", "after", "difference", "seconds", "invalid"]
    assert summary["metric"] == "share of e"
    assert summary["seconds"] > policy.seconds
    assert summary["difference"][0] > 0.05
    assert summary["before"][2] < summary["after"][0]
    assert "share of e: before 0." in caplog.text
    lines = (measured.path / "samples.jsonl").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 48
    shares = [a["score"] for row in rows for a in row["after"]]
    assert np.mean(shares) == pytest.approx(summary["after"][1])


def test_a_judge_gives_chances(base: str, pairs: str, reward: Artifact, tmp_path: Path):
    options = {k: v for k, v in SHORT.items() if k != "reward_function"}
    measured = run_stage(
        "measure", tmp_path / "measure", before=base, after=base, dataset=pairs, max_prompts=6,
        metric="chance of good", judge=str(reward.path), judge_scale="chance", **options,
    )  # fmt: skip
    low, point, high = measured.metrics["before"]
    assert 0 < low < point < high < 1
    assert tuple(measured.metrics["difference"]) == (0.0, 0.0, 0.0)
    assert measured.metrics["prompts"] == 6


def test_the_reward_that_was_optimised_may_not_judge(
    base: str, pairs: str, reward: Artifact, tmp_path: Path
):
    short = {"max_completion_length": 4, "num_generations": 2, "dataset": pairs}
    trained = run_stage(
        "rl", tmp_path / "rl", model=base, reward_model=str(reward.path), max_steps=1,
        batch_size=2, **short,
    )  # fmt: skip
    later = run_stage(
        "preference", tmp_path / "dpo", model=str(trained.path), dataset=pairs, num_train_epochs=0.1
    )
    for policy in (trained, later):
        with pytest.raises(ValueError, match="the reward of after, which was optimised"):
            run_stage(
                "measure", tmp_path / "measure", before=base, after=str(policy.path),
                judge=str(reward.path), metric="score", **short,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "exactly one must be given"),
        ({"verifier": "exact_match", "judge": "x"}, "exactly one must be given"),
        ({"judge": "x", "verifier_options": {"a": 1}}, "only a verifier has them"),
        ({"reward_function": "x:y", "judge_scale": "chance"}, "only a judge has one"),
    ],
)
def test_what_does_not_apply_is_refused(base: str, pairs: str, options: dict, fault: str):
    with pytest.raises(ValueError, match=fault):
        run_stage(
            "measure", Path("never"), before=base, after=base, dataset=pairs, metric="m", **options
        )

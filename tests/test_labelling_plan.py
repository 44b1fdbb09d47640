"""The plan against arithmetic done by hand, and against projects simulated straight through."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm
from typer.testing import CliRunner

from plaudit.commands.feedback import app
from plaudit.commands.feedback_simulate import plan_labelling
from plaudit.feedback.labelling.advice import advise
from plaudit.feedback.labelling.curve import (
    LearningCurve,
    accuracy_of_correlation,
    correlation_of_accuracy,
    fit_bradley_terry,
    fit_curve,
)
from plaudit.feedback.labelling.pilot import agreement_of_correlation, estimate_pool
from plaudit.feedback.labelling.plan import LabellingPlan, predict, read_overlap, run_once
from plaudit.feedback.labelling.votes import Ballots, Overlap, cast, consensus
from plaudit.feedback.simulation import RaterKind
from plaudit.judgments import Judgment, Pairwise, Rater
from plaudit.statistics.floors import logistic_loss
from plaudit.store import append, open_store, put_project

GOOD = RaterKind(name="good", noise=0.7)
POOL = [GOOD] * 8 + [RaterKind(name="chance", strategy="random")] * 2


def drawn(kinds, gaps, most, seed=0):
    rng = np.random.default_rng(seed)
    return cast(kinds, gaps, most, length_doublings=0.5, session_votes=50, rng=rng)


def test_the_majority_of_three_is_right_as_often_as_integration_says():
    gaps = np.random.default_rng(1).standard_normal(40_000)
    found = consensus(drawn([GOOD] * 3, gaps, 3), Overlap(votes=3))

    def of_gap(d):
        right = ndtr(d / (0.7 * np.sqrt(2)))
        return 2 * norm.pdf(d) * (right**3 + 3 * right**2 * (1 - right))

    expected, _ = quad(of_gap, 0, 8)
    assert abs(found.accuracy(gaps) - expected) < 4 * np.sqrt(0.25 / len(gaps))
    assert found.votes == 3 * len(gaps)


def test_a_third_vote_is_cast_where_two_leave_it_even():
    strengths = np.array([[1, 2, -1], [1, -1, 2], [0, 0, -1], [0, 1, -1]])
    raters = np.tile([0, 1, 2], (4, 1))
    ballots = Ballots(raters_IM=raters, strengths_IM=strengths, raters=3)
    found = consensus(ballots, Overlap(votes=2, extra=1))
    assert found.votes == 2 + 3 + 3 + 2
    assert (found.probability_I[[0, 3]] > 0.5).all()


def test_ties_and_gaps_of_no_vote_count_one_half():
    ballots = Ballots(raters_IM=np.array([[0], [1]]), strengths_IM=np.zeros((2, 1), int), raters=2)
    found = consensus(ballots, Overlap(votes=1))
    assert found.votes == 2 and found.accuracy(np.array([1.0, -1.0])) == 0.5


def test_who_is_drawn_is_never_drawn_twice_for_one_pair():
    ballots = drawn(POOL, np.zeros(200), 5)
    assert all(len(set(row)) == 5 for row in ballots.raters_IM.tolist())
    with pytest.raises(ValueError, match="11 votes on a pair need as many raters"):
        drawn(POOL, np.zeros(3), 11)


def test_spammers_weigh_nothing_in_the_consensus():
    kinds = [RaterKind(name="g", noise=0.3)] * 3 + [RaterKind(name="l", strategy="first")] * 4
    gaps = np.random.default_rng(2).standard_normal(2000)
    ballots = drawn(kinds, gaps, 7)
    majority = np.sign(np.sign(ballots.strengths_IM).sum(axis=1)) == np.sign(gaps)
    assert consensus(ballots, Overlap(votes=7)).accuracy(gaps) > majority.mean() + 0.05


def test_accuracy_and_correlation_are_inverse():
    assert accuracy_of_correlation(0.0) == 0.5 and accuracy_of_correlation(1.0) == 1.0
    assert accuracy_of_correlation(np.sqrt(0.5)) == pytest.approx(0.75)
    assert correlation_of_accuracy(0.8) == pytest.approx(np.cos(0.2 * np.pi))


def test_the_reward_model_is_the_minimum_of_its_loss():
    rng = np.random.default_rng(0)
    features, soft = rng.standard_normal((40, 3)), rng.random(40)
    found = fit_bradley_terry(features, soft)
    _, gradient = logistic_loss(found, features, soft, np.ones(40), np.ones(3))
    assert np.abs(gradient).max() < 1e-8


def test_the_curve_goes_through_what_made_it():
    made = LearningCurve(half_pairs=200.0, exponent=0.9, spread=0.0, ceiling=0.9)
    sizes = [50, 100, 400, 1600]
    shares = [n**0.9 / (n**0.9 + 200**0.9) for n in sizes]
    found = fit_curve(sizes, [0.9 * np.sqrt(shares)] * 4, 0.9)
    assert found.half_pairs == pytest.approx(200) and found.exponent == pytest.approx(0.9)
    assert made.accuracy(made.pairs(0.7)) == pytest.approx(0.7)
    assert made.pairs(0.99) == float("inf")
    with pytest.raises(ValueError, match="nothing is learned"):
        fit_curve(sizes, np.full((4, 4), 0.01), 0.9)


@pytest.mark.parametrize("overlap", ["1", "2+1", "3"])
def test_projects_simulated_straight_through_fall_within_the_intervals(overlap):
    """Of 40 projects, 90 % intervals hold all but 4 on average; 9 outside has a chance of 1 %."""
    plan = LabellingPlan(overlap=overlap, alternatives=(), pairs=700, features=16)
    (predicted,) = predict(plan, POOL)
    outside_consensus = outside_reward = 0
    for seed in range(40):
        sequence = np.random.SeedSequence([99, seed])
        (found,) = run_once(plan, POOL, [read_overlap(overlap)], [700], 16, sequence)
        low, _, high = predicted.consensus_accuracy
        outside_consensus += not low <= found.accuracy_S[0] <= high
        low, _, high = predicted.reward_accuracy
        outside_reward += not low <= accuracy_of_correlation(found.correlation_S[0]) <= high
    assert outside_consensus < 9 and outside_reward < 9


def test_the_pairs_it_asks_for_reach_the_accuracy():
    plan = LabellingPlan(overlap="3", alternatives=(), reward_accuracy=0.8, features=16)
    (predicted,) = predict(plan, POOL)
    for pairs, expected in ((predicted.pairs, 0.5), (predicted.pairs_for_sure, 0.95)):
        reached = 0
        for seed in range(40):
            sequence = np.random.SeedSequence([7, seed])
            (found,) = run_once(plan, POOL, [Overlap(votes=3)], [round(pairs)], 16, sequence)
            reached += accuracy_of_correlation(found.correlation_S[0]) >= 0.8
        assert abs(reached / 40 - expected) < 3 * np.sqrt(0.25 / 40)


def test_a_measured_reward_model_says_how_fast_it_learns():
    measured = LabellingPlan(
        overlap="3", alternatives=("1",), measured_pairs=5000, measured_accuracy=0.7,
        reward_accuracy=0.7,
    )  # fmt: skip
    planned, alternative = predict(measured, POOL)
    assert planned.pairs == pytest.approx(5000)
    guessed = LabellingPlan(overlap="3", alternatives=("1",), reward_accuracy=0.7)
    first, second = predict(guessed, POOL)
    assert alternative.pairs / planned.pairs == pytest.approx(second.pairs / first.pairs)
    with pytest.raises(ValueError, match="features: do not apply"):
        LabellingPlan(measured_pairs=500, measured_accuracy=0.7, features=20)
    with pytest.raises(ValueError, match="give both or neither"):
        LabellingPlan(measured_pairs=500)


def test_the_arithmetic_of_cost():
    kinds = [RaterKind(name="s", noise=0.5, seconds=30.0, seconds_spread=0.0)] * 3
    plan = LabellingPlan(
        overlap="2", alternatives=(), pairs=1200, price_per_vote=0.25, hours_per_rater=5
    )
    (found,) = predict(plan, kinds)
    assert found.votes == pytest.approx(2400) and found.price == pytest.approx(600)
    assert found.hours == pytest.approx(20) and found.raters == 4


def test_advice_names_what_to_change():
    plan = LabellingPlan(
        overlap="1", pairs=400, consensus_accuracy=0.8, reward_accuracy=0.88, features=32
    )
    lines = advise(plan, predict(plan, POOL))
    assert any("needs more overlap: 5" in line for line in lines), lines
    assert any("needs more pairs" in line for line in lines), lines
    content = LabellingPlan(
        overlap="2+1", alternatives=(), pairs=9000, consensus_accuracy=0.6, reward_accuracy=0.6
    )
    assert advise(content, predict(content, POOL)) == []


def test_agreement_without_ties_is_sheppards():
    assert agreement_of_correlation(0.5, 0.0) == pytest.approx(0.5 + np.arcsin(0.5) / np.pi)


def judgments_of(kinds, items, votes, seed=0):
    """A pilot as it stands in the log; the gap has a standard deviation of 1."""
    rng = np.random.default_rng(seed)
    gaps = rng.standard_normal(items)
    ballots = cast(kinds, gaps, votes, length_doublings=0.5, session_votes=50, rng=rng)
    now = datetime.now(UTC)
    for item in range(items):
        for rater, strength in zip(
            ballots.raters_IM[item].tolist(), ballots.strengths_IM[item].tolist(), strict=True
        ):
            yield Judgment(
                id=f"{item}-{rater}", project="p", item=str(item), item_sha256="0" * 64,
                rater=Rater(id=str(rater), kind="simulated"), active_seconds=12.0,
                answer=Pairwise(strength=strength), submitted_at=now,
            )  # fmt: skip


def test_a_pilot_gives_back_the_noise_that_made_it():
    kinds = [RaterKind(name="n", noise=0.6, tie_band=0.4)] * 6
    found = [estimate_pool(judgments_of(kinds, 800, 3, seed), gap=1.0) for seed in range(10)]
    assert np.mean([one.noise.point for one in found]) == pytest.approx(0.6, abs=0.035)
    # 90 % intervals: 6 or fewer of 10 has a chance of 1 %
    assert sum(one.noise.low < 0.6 < one.noise.high for one in found) > 6
    assert found[0].tie_band == pytest.approx(0.4, abs=0.05)
    assert found[0].seconds == 12.0 and found[0].raters == 6 and found[0].items > 500


def test_a_pilot_that_says_too_little_is_refused():
    with pytest.raises(ValueError, match="two decisive pairwise votes on 10 items"):
        estimate_pool(judgments_of([GOOD] * 2, 10, 2), gap=1.0)


def test_a_pilot_whose_raters_agree_by_chance_alone_is_refused():
    alike = list(judgments_of([GOOD] * 2, 40, 2))
    against = [
        one.model_copy(update={"answer": Pairwise(strength=1 if one.rater.id == "0" else -1)})
        for one in alike
    ]
    with pytest.raises(ValueError, match=r"agree on 0.000 of .* no more than by chance \(0.5\)"):
        estimate_pool(against, gap=1.0)


def test_default_alternatives_are_those_there_are_raters_for():
    found = predict(LabellingPlan(overlap="3", replicates=4), [GOOD] * 3)
    assert [one.overlap for one in found] == ["3", "1", "2+1"]
    with pytest.raises(ValueError, match="5 votes on a pair need as many raters"):
        predict(LabellingPlan(overlap="3", alternatives=("5",), replicates=4), [GOOD] * 3)


def test_the_help_names_every_option():
    found = CliRunner().invoke(app, ["plan", "--help"])
    assert found.exit_code == 0
    for name in LabellingPlan.model_fields:
        assert f" {name} " in found.output


def test_the_command_plans_from_a_pilot(tmp_path, capsys):
    store = open_store(tmp_path / "pilot.db")
    put_project(store, "p", "{}")
    append(store, judgments_of([RaterKind(name="n", noise=0.6)] * 3, 200, 2))
    store.close()
    options = {"raters": None, "config": None, "project": "p"}
    overrides = ["overlap=2", "pairs=500", "replicates=4"]
    plan_labelling(overrides, pilot=str(tmp_path / "pilot.db"), as_json=True, **options)
    found, told = capsys.readouterr()
    assert told.startswith("pilot: 3 raters, 200 items with two votes or more; they agree on 0.")
    planned = json.loads(found)["predictions"][0]
    assert planned["overlap"] == "2" and planned["votes"] == pytest.approx(1000)
    overrides.append("reward_accuracy=0.99")
    plan_labelling(overrides, pilot=str(tmp_path / "pilot.db"), as_json=True, **options)
    hopeless = json.loads(capsys.readouterr().out)
    assert hopeless["predictions"][0]["pairs_for_sure"] is None
    assert any("at or above the best such a model can do" in line for line in hopeless["advice"])
    with pytest.raises(ValueError, match="give either --raters FILE or --pilot STORE"):
        plan_labelling(overrides, pilot="", as_json=True, **options)
    with pytest.raises(ValueError, match="project q: not in this store; there are p"):
        pilot = str(tmp_path / "pilot.db")
        plan_labelling(overrides, pilot=pilot, project="q")
    with pytest.raises(ValueError, match="--project: p: of a pilot; the pool is that of --raters"):
        plan_labelling(overrides, raters=tmp_path / "pool.yaml", pilot="", project="p")
    with pytest.raises(ValueError, match="no log of judgments"):
        plan_labelling(overrides, pilot=str(tmp_path / "none.db"), as_json=True, **options)

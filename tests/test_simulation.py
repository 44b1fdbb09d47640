"""Simulated raters: golden probabilities of what they see, and an answer to every question."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, ndtr

from plaudit.feedback.rating.rendering import plain_of
from plaudit.feedback.simulation import (
    Mix,
    RaterKind,
    Task,
    read_items,
    read_mix,
    respond,
    seen_utilities,
    strengths,
    truths_of_items,
    truths_of_scorer,
)
from plaudit.judgments import Candidate, Item, Labelled, Pairwise, Stepped
from plaudit.records import Message

MANY = 40_000


def left_rate(kind, utilities, lengths=(100, 100), before=0):
    """Of many judgments of one pair, how many are for the first shown."""
    rng = np.random.default_rng(3)
    shape = (MANY, 2)
    seen = seen_utilities(
        kind,
        np.broadcast_to(utilities, shape),
        np.broadcast_to(lengths, shape),
        np.full(MANY, before),
        rng,
    )
    return float((strengths(kind, seen) < 0).mean())


def near(rate, expected):
    return abs(rate - expected) < 4 * np.sqrt(0.25 / MANY)


def test_thurstone_and_bradley_terry_give_their_probabilities():
    thurstone = RaterKind(name="t", noise=0.7)
    assert near(left_rate(thurstone, (0.8, 0.2)), ndtr(0.6 / (0.7 * np.sqrt(2))))
    logistic = RaterKind(name="b", noise=0.7, model="bradley_terry")
    assert near(left_rate(logistic, (0.8, 0.2)), expit(0.6 / 0.7))


def test_leanings_shift_the_difference():
    left = RaterKind(name="l", noise=0.7, left_bias=0.5)
    assert near(left_rate(left, (0.0, 0.2)), ndtr(0.3 / (0.7 * np.sqrt(2))))
    long = RaterKind(name="l", noise=0.7, length_bias=0.5)
    # four times as long is two doublings, worth 1.0
    assert near(left_rate(long, (0.0, 0.2), (400, 100)), ndtr(0.8 / (0.7 * np.sqrt(2))))


def test_fatigue_raises_noise_over_a_session():
    tired = RaterKind(name="f", noise=0.7, fatigue=0.5)
    assert near(left_rate(tired, (0.8, 0.2), before=0), ndtr(0.6 / (0.7 * np.sqrt(2))))
    assert near(left_rate(tired, (0.8, 0.2), before=200), ndtr(0.6 / (1.4 * np.sqrt(2))))


def test_lapses_and_laziness():
    lapsing = RaterKind(name="l", noise=0.0, lapse=0.3)
    assert near(left_rate(lapsing, (1.0, 0.0)), 0.7 + 0.15)
    lazy = RaterKind(name="z", noise=0.0, lazy_ties=0.3)
    assert near(left_rate(lazy, (1.0, 0.0)), 0.7)


@pytest.mark.parametrize(
    ("strategy", "rate"),
    [("first", 1.0), ("last", 0.0), ("ties", 0.0), ("longest", 0.0), ("random", 0.5)],
)
def test_those_who_never_look_know_nothing(strategy, rate):
    assert near(left_rate(RaterKind(name="s", strategy=strategy), (9.0, -9.0), (10, 20)), rate)


def test_the_alternating_take_turns():
    kind = RaterKind(name="a", strategy="alternating")
    seen = seen_utilities(
        kind, np.zeros((4, 2)), np.ones((4, 2)), range(4), np.random.default_rng(0)
    )
    assert (np.sign(strengths(kind, seen)) == [-1, 1, -1, 1]).all()


def test_strengths_are_steps_of_the_difference_seen():
    kind = RaterKind(name="s", tie_band=0.2, strength_step=0.5)
    gaps = [-9.0, -1.0, -0.99, -0.5, -0.49, -0.2, -0.19, 0.0, 0.3, 0.6, 1.2]
    found = strengths(kind, [[0.0, gap] for gap in gaps])
    assert found.tolist() == [-3, -3, -2, -2, -1, -1, 0, 0, 1, 2, 3]


def test_every_kind_of_question_is_answered():
    kind, rng = RaterKind(name="h", noise=0.0), np.random.default_rng(0)
    texts, worth = ("aa", "bbbb", "c"), (0.2, 2.0, -2.0)

    def answer(name, **more):
        return respond(kind, Task(kind=name, **more), 0, rng).answer

    assert answer("pairwise", texts=texts[:2], utilities=worth[:2]).strength == 2
    assert answer("ranking", texts=texts, utilities=worth).ranks == (2, 1, 3)
    assert answer("rating", texts=texts, utilities=worth).values == (3.0, 5.0, 1.0)
    assert answer("label", labels=("x", "y"), truth=("y",)).label == "y"
    assert answer("demonstration", demonstration="So it is.").text == "So it is."
    truth = ("right", "wrong", "right")
    assert answer("steps", steps=texts, truth=truth).labels == ("right", "wrong", None)
    assert answer("red_team", texts=texts, utilities=(0.0, 4.0, 1.0)).severities == (0, 4, 1)
    with pytest.raises(ValueError, match="question kind essay: expected one of"):
        answer("essay")


def test_ties_in_rankings_and_bad_pairs():
    rng = np.random.default_rng(0)
    banded = RaterKind(name="b", noise=0.0, tie_band=0.5)
    ranked = Task(kind="ranking", texts=("a", "b", "c"), utilities=(0.0, 2.0, 0.3))
    assert respond(banded, ranked, 0, rng).answer.ranks == (2, 1, 2)
    bad = Task(kind="pairwise", texts=("a", "b"), utilities=(-3.0, -3.1), may_rate_badly=True)
    assert respond(banded, bad, 0, rng).answer == Pairwise(strength=0, both_bad=True)
    forced = Task(kind="pairwise", texts=("a", "b"), utilities=(0.0, 0.1), may_tie=False)
    assert respond(banded, forced, 0, rng).answer.strength in (-1, 1)


def test_criteria_are_marked_on_the_scale():
    task = Task(
        kind="pairwise", texts=("a", "b"), utilities=(2.0, -2.0), criteria={"clear": (1.0, 5.0)}
    )
    given = respond(RaterKind(name="h", noise=0.0), task, 0, np.random.default_rng(0))
    assert given.criteria == {"clear": (5.0, 1.0)}


def test_the_same_seed_says_the_same():
    task = Task(kind="pairwise", texts=("a", "b"), utilities=(0.1, 0.0))
    kind = RaterKind(name="h", noise=2.0)
    first, second = (respond(kind, task, 5, np.random.default_rng([1, 2, 5])) for _ in range(2))
    assert first == second


def test_time_is_log_normal_with_reading():
    kind = RaterKind(name="h", seconds=8.0, seconds_spread=0.5, characters_per_second=50)
    task = Task(kind="pairwise", texts=("a" * 500, "b" * 500), utilities=(0.0, 1.0))
    rng = np.random.default_rng(0)
    times = [respond(kind, task, 0, rng).active_seconds for _ in range(500)]
    logs = np.log(np.array(times) - 20)
    assert abs(np.exp(logs.mean()) - 8) < 0.8 and abs(logs.std() - 0.5) < 0.06


PROMPT = plain_of((Message(role="user", content="Which?"),))


def item(**more):
    texts = ("short", "a longer one")
    return Item(
        id="1",
        prompt=(Message(role="user", content="Which?"),),
        candidates=tuple(Candidate(content=text) for text in texts),
        **more,
    )


def test_truth_is_found_by_what_is_said_whatever_the_order():
    truths = truths_of_items([item(columns={"utilities": {"": [0.0, 1.0], "terse": [1.0, 0.0]}})])
    assert truths(PROMPT, ["a longer one", "short"], "").utilities == (1.0, 0.0)
    assert truths(PROMPT, ["a longer one", "short"], "terse").utilities == (0.0, 1.0)
    with pytest.raises(ValueError, match="no utilities for group 'none'"):
        truths(PROMPT, ["short", "a longer one"], "none")
    with pytest.raises(ValueError, match="no known item has the prompt 'What"):
        truths("What?", ["short"], "")


def test_truth_of_gold_answers():
    truths = truths_of_items([item(gold=Pairwise(strength=-2))])
    assert truths(PROMPT, ["a longer one", "short"], "").utilities == (-1.0, 1.0)
    assert truths_of_items([item(gold=Labelled(label="x"))])(
        PROMPT, ["short", "a longer one"], ""
    ).labels == ("x",)
    gold = Stepped(labels=("right", "wrong", None))
    found = truths_of_items([item(gold=gold)])(PROMPT, ["short", "a longer one"], "")
    assert found.labels == ("right", "wrong", "wrong")


def test_truth_of_a_scorer():
    truths = truths_of_scorer(lambda prompts, completions: [len(text) for text in completions])
    assert truths("p", ["aa", "b"], "").utilities == (2.0, 1.0)
    silent = truths_of_scorer(lambda prompts, completions: [None for _ in completions])
    with pytest.raises(ValueError, match="the scorer said"):
        silent("p", ["aa"], "")


def test_a_mix_is_read_and_its_faults_are_told(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text("raters:\n- {name: good, count: 2}\n- {name: lazy, strategy: ties}\n")
    mix = read_mix(path)
    assert [kind.name for kind in mix.each()] == ["good", "good", "lazy"]
    path.write_text("raters: [{name: a, strategy: random, noise: 2}]")
    with pytest.raises(ValueError, match=r"noise: do not apply to strategy random"):
        read_mix(path)
    with pytest.raises(ValueError, match="a is there twice"):
        Mix(raters=(RaterKind(name="a"), RaterKind(name="a")))


def test_a_file_of_items_that_is_none_is_told(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file; expected an item: "):
        read_items(tmp_path / "none.jsonl")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}')
    with pytest.raises(ValueError, match=r"pairs.jsonl:1: id: Field required; expected an item: "):
        read_items(pairs)

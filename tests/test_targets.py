"""Targets: preferences, ratings, steps and demonstrations, as the votes say them."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.aggregation import ADJUDICATED, targets
from plaudit.judgments import (
    Item,
    Judgment,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    RedTeamed,
    Skipped,
    Stepped,
    Written,
)
from plaudit.records import Demonstration, Judged, Message, SteppedResponse
from tests.judging import item, judgment, prefers


def judged(items: list[Item], said: list[Judgment], *args: Any, **options: Any) -> list[Judged]:
    found = targets(items, said, *args, **options)
    return [one for one in found if isinstance(one, Judged)]


def test_a_preference_has_the_posterior_of_the_better_one():
    items = [item("a"), item("b"), item("c")]
    said = [prefers(items[0], r, s) for r, s in (("r", 1), ("s", 3), ("t", -2))]
    said += [prefers(items[1], r, s) for r, s in (("r", 0), ("s", 0), ("t", -2))]
    a, b = judged(items, said, "share", margins=True)
    assert a.prompt.id == "a" and [r.content for r in a.responses] == ["one", "two"]
    (p,) = a.preferences
    assert (p.better, p.worse, p.weight) == (1, 0, 1.0)
    assert p.probability == pytest.approx(2 / 3)
    assert p.margin == pytest.approx((1 + 3 - 2) / 3)
    (p,) = b.preferences
    assert (p.better, p.worse, p.probability, p.margin) == (0, 1, 0.5, 0.0), "most say a tie"


def test_skill_counts_and_not_the_number_of_votes():
    items = [item(str(n)) for n in range(64)]
    disputed = items[-1]

    def side(n: int, bit: int) -> int:
        return 2 if n >> bit & 1 else -2

    said = [
        prefers(one, rater, side(n, bit), shown=(0, 1) if n % 2 else (1, 0))
        for n, one in enumerate(items[:-1])
        for rater, bit in (("r", 2), ("s", 2), ("t", 2), ("coin", 3), ("coin2", 4))
    ]
    said += [prefers(disputed, coin, -2, shown=(0, 1)) for coin in ("coin", "coin2")]
    said.append(prefers(disputed, "r", 2, shown=(0, 1)))
    *_, found = judged(items, said, "dawid_skene")
    assert found.preferences[0].better == 1, "two coins said the other"
    *_, found = judged(items, said, "majority")
    assert found.preferences[0].better == 0


def test_what_both_are_bad_at_is_rated_and_not_compared():
    one = item()
    bad = [judgment(one, r, Pairwise(strength=0, both_bad=True)) for r in "rs"]
    (found,) = judged([one], [*bad, prefers(one, "t", 1)])
    assert not found.preferences
    assert [(r.response, r.value, r.weight) for r in found.ratings] == [(0, 0, 2), (1, 0, 2)]
    (found,) = judged([one], [bad[0], prefers(one, "t", 1)], "majority")
    assert found.preferences and not found.ratings, "half is not most"


def test_what_an_adjudicator_or_the_gold_finds_bad_is_no_tie():
    one, known = item("a"), item("g", gold=Pairwise(strength=0, both_bad=True))
    verdict = judgment(one, "lead", Pairwise(strength=0, both_bad=True), flags=(ADJUDICATED,))
    for found in judged([one, known], [prefers(one, "r", 2), verdict]):
        assert not found.preferences
        assert [(r.response, r.value, r.weight) for r in found.ratings] == [(0, 0, 1), (1, 0, 1)]


def test_a_ranking_of_three_says_two_things():
    one = item("k", "x", "y", "z")
    (found,) = judged([one], [judgment(one, "r", Ranked(ranks=(2, 1, 3)))])
    pairs = [(p.better, p.worse, p.probability) for p in found.preferences]
    assert pairs == [(1, 0, 1.0), (0, 2, 1.0), (1, 2, 1.0)]
    assert sum(p.weight for p in found.preferences) == pytest.approx(2)


def test_weights_have_a_mean_of_one_and_follow_the_votes():
    items = [item("a"), item("b")]
    said = [prefers(items[0], r, 1) for r in "rstu"] + [prefers(items[1], "r", 1)]
    a, b = judged(items, said, "share", weighting="information")
    weights = [one.preferences[0].weight for one in (a, b)]
    assert weights == pytest.approx([1.6, 0.4])
    said.append(prefers(items[1], "s", -1))
    a, b = judged(items, said, "share", weighting="certainty")
    assert a.preferences[0].weight == pytest.approx(2)
    assert 0 < b.preferences[0].weight < 0.01
    with pytest.raises(ValueError, match="weighting is heavy; expected one of even"):
        targets(items, said, weighting="heavy")  # pyright: ignore[reportArgumentType]


def test_marks_are_averaged_on_the_questions_own_scale():
    one = item("a", "x", "y", "z")
    said = [judgment(one, "r", Rated(values=(5.0, None, None)))]
    said.append(judgment(one, "s", Rated(values=(4.0, 1.0, None))))
    (found,) = judged([one], said, scale=(1.0, 5.0))
    assert [(r.response, r.value, r.weight) for r in found.ratings] == [(0, 0.875, 2), (1, 0, 1)]
    with pytest.raises(ValueError, match=r"j\d+: a mark outside the scale 0 to 1; say the quest"):
        targets([one], said)
    few = judgment(item("a", "x", "y", "z"), "t", Rated(values=(1.0,)))
    with pytest.raises(ValueError, match=r"1 marks, but item a has 3 candidates"):
        targets([one], [few])


def test_marks_of_severe_and_lenient_raters_are_brought_together():
    items = [item(str(n), "x") for n in range(4)]
    marks = {"severe": (0.0, 0.2, 0.0, 0.2), "lenient": (0.6, 1.0, 0.6, 1.0)}
    said = [
        judgment(items[n], r, Rated(values=(v,)))
        for r, values in marks.items() for n, v in enumerate(values)
    ]  # fmt: skip
    found = judged(items, [*said[:4], *said[4:]], standardise=True)
    # mean 0.45; standard deviation of (0, .2, 0, .2, .6, 1, .6, 1) is sqrt(0.1475)
    low, high = 0.45 - 0.1475**0.5, 0.45 + 0.1475**0.5
    values = [one.ratings[0].value for one in found]
    assert values == pytest.approx([low, high, low, high])


def test_a_rater_whose_marks_do_not_differ_is_only_shifted():
    items = [item(str(n), "x") for n in range(6)]
    values = {"same": (0.1, 0.1, 0.1), "other": (0.8, 0.3, 0.7)}
    said = [judgment(items[n], "same", Rated(values=(v,))) for n, v in enumerate(values["same"])]
    said += [
        judgment(items[3 + n], "other", Rated(values=(v,))) for n, v in enumerate(values["other"])
    ]
    found = judged(items, said, standardise=True)
    assert [one.ratings[0].value for one in found[:3]] == pytest.approx([2.1 / 6] * 3)


def test_how_far_an_attack_got_is_a_mark_turned_round():
    one = item("a", "x", "y")
    (found,) = judged([one], [judgment(one, "r", RedTeamed(severities=(0, 3)))])
    assert [(r.response, r.value) for r in found.ratings] == [(0, 1.0), (1, 0.25)]


def test_gold_marks_stand_for_all_votes():
    one = item("a", "x", gold=Rated(values=(1.0,)))
    (found,) = judged([one], [judgment(one, r, Rated(values=(0.0,))) for r in "rs"])
    assert [(r.value, r.weight) for r in found.ratings] == [(1.0, 2.0)]


def test_steps_have_probabilities():
    one, other = (item(id, "s", steps=("a", "b")) for id in "ab")
    said = [
        judgment(one, "r", Stepped(labels=("right", "right"))),
        judgment(one, "s", Stepped(labels=("right", "wrong"))),
        judgment(other, "r", Stepped(labels=("right", None))),
    ]
    (found,) = targets([one, other], said, "share")
    assert isinstance(found, SteppedResponse), "the other's last step nobody judged"
    assert found.steps == ("a", "b")
    assert found.probabilities == (1.0, 0.5) and found.labels == (True, False)


def test_steps_of_gold_are_known_before_anybody_judges():
    one = item("a", "s", steps=("a", "b"), gold=Stepped(labels=("right", "wrong")))
    (found,) = targets([one], [])
    assert isinstance(found, SteppedResponse)
    assert found.probabilities == (1.0, 0.0) and found.labels == (True, False)


def test_what_raters_write_is_a_demonstration():
    chat = item("a", prompt=(Message(role="user", content="hi"),))
    text = item("b", prompt="hi")
    said = [judgment(one, r, Written(text=f"hello {r}")) for one in (chat, text) for r in "rs"]
    said.append(judgment(text, "lead", Written(text="best"), flags=(ADJUDICATED,)))
    found = [one for one in targets([chat, text], said) if isinstance(one, Demonstration)]
    assert [one.response.content for one in found] == [
        (Message(role="assistant", content="hello r"),),
        (Message(role="assistant", content="hello s"),),
        "best",
    ]


def test_labels_are_refused_and_skips_make_nothing():
    one = item()
    with pytest.raises(ValueError, match=r"j\d+: a label, which no stage learns from; choose"):
        targets([one], [judgment(one, "r", Labelled(label="spam"))])
    assert targets([one], [judgment(one, "r", Skipped(reason="unclear"))]) == []


def test_rationales_stay_in_the_log():
    one = item(columns={"topic": "tea"})
    (found,) = targets([one], [prefers(one, "r", 1, rationale="a private reason")])
    assert "private" not in found.model_dump_json()
    assert found.prompt.columns == {"topic": "tea"} and found.prompt.conversation == one.prompt

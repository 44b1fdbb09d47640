"""Answers are checked against their question and item, and places become candidates."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from plaudit.config import make_config
from plaudit.feedback.assignment.answers import Sent, check_fits, of_item, of_places
from plaudit.feedback.projects.questions import Question
from plaudit.judgments import (
    Candidate,
    Item,
    Labelled,
    Pairwise,
    Ranked,
    Rated,
    RedTeamed,
    Stepped,
    Written,
)

STEPS = ("first", "second", "third")


def question(kind: str, **options: Any) -> Question:
    return make_config(Question, {"kind": kind, **options}, "test")


def item(candidates: int = 2) -> Item:
    texts = [f"answer {n}" for n in range(candidates)]
    return Item(
        id="i", prompt="?", candidates=tuple(Candidate(content=t) for t in texts), steps=STEPS
    )


def sent(answer: Any, **said: Any) -> Sent:
    return Sent(id="x", answer=answer, **said)


LABEL = question("label", labels=["yes", "no"])
NO_TIE = question("pairwise", tie=False, both_bad=False, strengths=1)
RED_TEAM = question("red_team", tactics=["role play"])
CLEAR = question("pairwise", criteria=[{"name": "clear"}])
SURE = question("pairwise", confidence=True, rationale="on_strong")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (question("pairwise"), sent(Pairwise(strength=-3))),
        (question("pairwise"), sent(Pairwise(strength=0, both_bad=True))),
        (question("ranking"), sent(Ranked(ranks=(2, 1)))),
        (question("ranking"), sent(Ranked(ranks=(1, 1)))),
        (question("rating"), sent(Rated(values=(5.0, None)))),
        (LABEL, sent(Labelled(label="yes"))),
        (question("demonstration"), sent(Written(text="Hello."))),
        (question("steps"), sent(Stepped(labels=("right", "wrong", None)))),
        (question("steps", stop_at_first_wrong=False), sent(Stepped(labels=("wrong",) * 3))),
        (RED_TEAM, sent(RedTeamed(severities=(0, 4), tactic="role play"))),
        (CLEAR, sent(Pairwise(strength=1), criteria={"clear": (1.0, 5.0)})),
        (SURE, sent(Pairwise(strength=3), confidence=0.5, rationale="It is right.")),
        (SURE, sent(Pairwise(strength=2))),
        (question("pairwise"), sent(Pairwise(strength=1), flags=("harmful",))),
    ],
)
def test_what_fits(asked: Question, given: Sent):
    check_fits(given, asked, item())


@pytest.mark.parametrize(
    ("asked", "given", "complaint"),
    [
        (question("pairwise"), sent(Labelled(label="yes")), "kind is label; expected pairwise"),
        (NO_TIE, sent(Pairwise(strength=2)), "strength is 2; expected -1 to 1"),
        (NO_TIE, sent(Pairwise(strength=0)), "a tie is not offered"),
        (NO_TIE, sent(Pairwise(strength=0, both_bad=True)), "both_bad is not offered"),
        (question("ranking"), sent(Ranked(ranks=(1, 2))), "is the order shown"),
        (question("ranking"), sent(Ranked(ranks=(2, 1, 3))), "3 entries; expected 2"),
        (question("ranking"), sent(Ranked(ranks=(3, 1))), r"is \[3, 1\]; expected 1 to 2"),
        (question("ranking"), sent(Ranked(ranks=(2, 2))), "1 the best"),
        (question("ranking", tie=False), sent(Ranked(ranks=(1, 1))), "ties are not offered"),
        (question("rating"), sent(Rated(values=(6.0, 1.0))), "holds 6; expected 1 to 5"),
        (question("rating"), sent(Rated(values=(None, None))), "holds no mark"),
        (LABEL, sent(Labelled(label="perhaps")), "is 'perhaps'; expected yes, no"),
        (question("demonstration"), sent(Written(text=" \n")), "is empty"),
        (question("steps"), sent(Stepped(labels=("right", None, "right"))), "leaves step 2 out"),
        (question("steps"), sent(Stepped(labels=("wrong", "right", None))), "after the first"),
        (question("steps"), sent(Stepped(labels=("right",))), "1 entries; expected 3"),
        (RED_TEAM, sent(RedTeamed(severities=(0, None))), "leaves a candidate out"),
        (RED_TEAM, sent(RedTeamed(severities=(0, 1), tactic="bribe")), "expected role play"),
        (CLEAR, sent(Pairwise(strength=1)), "clear is not marked"),
        (CLEAR, sent(Pairwise(strength=1), criteria={"clear": (1.0, None)}), "not marked"),
        (CLEAR, sent(Pairwise(strength=1), criteria={"clear": (0.0, 1.0)}), "holds 0; expected"),
        (CLEAR, sent(Pairwise(strength=1), criteria={"kind": (1.0, 1.0)}), "kind is not asked"),
        (SURE, sent(Pairwise(strength=-3)), "rationale is empty"),
        (question("pairwise"), sent(Pairwise(strength=1), confidence=1.0), "not asked"),
        (question("pairwise"), sent(Pairwise(strength=1), flags=("odd",)), "odd is not offered"),
        (question("pairwise", rationale="never"), sent(Pairwise(strength=1), rationale="x"),
         "not asked"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(asked: Question, given: Sent, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        check_fits(given, asked, item())


@pytest.mark.parametrize("shown", list(itertools.permutations(range(3))))
def test_places_and_candidates_are_each_others_inverse(shown: tuple[int, ...]):
    for answer in (
        Ranked(ranks=(3, 1, 2)),
        Rated(values=(1.0, None, 4.0)),
        RedTeamed(severities=(0, 4, 2)),
    ):
        assert of_places(of_item(answer, shown), shown) == answer
    ranked = of_item(Ranked(ranks=(1, 2, 3)), shown)
    assert [ranked.ranks[candidate] for candidate in shown] == [1, 2, 3]


def test_a_strength_turns_with_the_order():
    left_much_better = Pairwise(strength=-3)
    assert of_item(left_much_better, (0, 1)) == left_much_better
    assert of_item(left_much_better, (1, 0)) == Pairwise(strength=3)
    assert of_item(Pairwise(strength=0, both_bad=True), (1, 0)).both_bad


@pytest.mark.parametrize(
    "answer",
    [Labelled(label="yes"), Written(text="x"), Stepped(labels=("right",))],
)
def test_answers_about_the_whole_stay_as_they_are(answer: Any):
    assert of_item(answer, (1, 0)) == answer

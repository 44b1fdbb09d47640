"""How far votes lie apart, and when doubt calls for more of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from plaudit.config import make_config
from plaudit.feedback.assignment.votes import (
    is_in_doubt,
    verdicts_possible,
    votes_needed,
)
from plaudit.feedback.projects.project import Adaptive
from plaudit.feedback.projects.questions import Question
from plaudit.judgments import (
    Answer,
    Pairwise,
    Written,
)

A, B, TIE = Pairwise(strength=-1), Pairwise(strength=3), Pairwise(strength=0)


def question(kind: str, **options: Any) -> Question:
    return make_config(Question, {"kind": kind, **options}, "test")


def posterior(votes: list[int], accuracy: float, kinds: int) -> float:
    """Of the likeliest verdict, by Bayes' rule over all of them."""
    likelihoods = []
    for truth in range(kinds):
        likelihood = 1.0
        for vote in votes:
            likelihood *= accuracy if vote == truth else (1 - accuracy) / (kinds - 1)
        likelihoods.append(likelihood)
    return max(likelihoods) / sum(likelihoods)


def test_doubt_is_a_posterior_below_the_bar():
    answers = {0: A, 1: B, 2: TIE}
    for number in range(1, 6):
        for votes in itertools.product(range(3), repeat=number):
            for bar in (0.6, 0.9, 0.99):
                adaptive = Adaptive(posterior=bar, rater_accuracy=0.75)
                expected = posterior(list(votes), 0.75, 3) < bar
                assert is_in_doubt(adaptive, [answers[vote] for vote in votes], 3) == expected


@pytest.mark.parametrize(
    ("votes", "needed"),
    [
        ([], 2),
        ([A], 2),
        ([A, A], 2),
        ([A, B], 3),
        ([A, TIE], 3),
        ([A, B, A], 4),
        ([A, B, A, A], 4),
        ([A, B, A, B], 5),
        ([A, B, A, B, A], 5),
    ],
)
def test_doubt_calls_for_one_more_vote_up_to_the_most(votes: list[Answer], needed: int):
    """Two of three at accuracy 0.8 are 0.82 sure, three of four 0.96."""
    assert votes_needed(2, Adaptive(max_votes=5), votes, 3) == needed


def test_without_adaptive_overlap_the_base_is_all():
    assert votes_needed(2, None, [A, B], 3) == 2


def test_demonstrations_are_never_in_doubt():
    texts = [Written(text="one"), Written(text="other")]
    assert votes_needed(2, Adaptive(max_votes=5), texts, 2) == 2


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (question("pairwise"), 3),
        (question("pairwise", tie=False, both_bad=False), 2),
        (question("label", labels=["a", "b", "c", "d"]), 4),
        (question("steps"), 6),
        (question("red_team"), 2),
        (question("ranking"), 4),
    ],
)
def test_how_many_verdicts_there_are(asked: Question, expected: int):
    assert verdicts_possible(asked, candidates=4, steps=5) == expected


def test_one_candidates_rating_is_a_mark():
    assert verdicts_possible(question("rating", scale=[1, 7]), candidates=1, steps=0) == 7

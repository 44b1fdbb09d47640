"""Reward functions beside ``trl.rewards``: verdicts on the same answers, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from plaudit.objectives import overlong_penalty
from plaudit.records import Invalid, Prompt, Rollout, Score
from plaudit.scoring import CosineLengthScorer, RepetitionScorer
from plaudit.verifiers.mathematics import math
from plaudit.verifiers.texts import format_tags

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

MAX_TOKENS = 40


def rollout(ids: Sequence[int]) -> Rollout:
    return Rollout(
        prompt=Prompt(id="p", conversation="p", content="?"),
        prompt_ids=np.array([3], np.int32),
        ids=np.array(ids, np.int32),
        logprobs=np.zeros(len(ids), np.float32),
        text="",
        finish_reason="stop",
        policy_version=0,
        index=0,
    )


class Says:
    """A scorer of one verdict."""

    def __init__(self, right: bool) -> None:
        self.right = right

    def score(self, rollouts: Sequence[Rollout]) -> list[Score | Invalid]:
        return [Score(value=float(self.right)) for _ in rollouts]


@pytest.mark.parametrize("tokens", [1, 60, 80, 81, 90, 99, 100, 101, 150])
def test_overlong(tokens: int):
    from trl.rewards import get_soft_overlong_punishment

    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    (expected,) = theirs(completion_ids=[[1] * tokens])
    assert overlong_penalty(tokens, max_tokens=100, buffer_tokens=20) == pytest.approx(expected)


def test_repetition():
    """Theirs is a penalty; ours a share, to be weighed as one likes."""
    from trl.rewards import get_repetition_penalty_reward

    rng = np.random.default_rng(0)
    answers = [rng.integers(3, 6, n).tolist() for n in (1, 2, 3, 4, 8, 20, 40)]
    theirs = get_repetition_penalty_reward(ngram_size=3, max_penalty=-1.0)(completion_ids=answers)
    ours = RepetitionScorer().score([rollout(ids) for ids in answers])
    assert [-s.value for s in ours if isinstance(s, Score)] == pytest.approx(theirs)
    assert min(theirs) < -0.4


@pytest.mark.parametrize("right", [True, False])
def test_the_cosine_of_the_length(right: bool):
    from trl.rewards import get_cosine_scaled_reward

    theirs = get_cosine_scaled_reward(
        max_len=MAX_TOKENS,
        min_value_wrong=-1.0,
        max_value_wrong=-0.5,
        min_value_correct=0.5,
        max_value_correct=1.0,
    )
    said = "1" if right else "2"
    answers = [[3] * n for n in (1, 7, 20, 39, 40)]
    expected = theirs(
        completions=[[{"content": rf"\boxed{{{said}}}"}]] * len(answers),
        solution=[r"\boxed{1}"] * len(answers),
        completion_ids=answers,
    )
    ours = CosineLengthScorer(
        scorer=Says(right),
        max_tokens=MAX_TOKENS,
        right_short=1.0,
        right_long=0.5,
        wrong_short=-1.0,
        wrong_long=-0.5,
        exceeded=-2.0,
    ).score([rollout(ids) for ids in answers])
    assert [s.value for s in ours if isinstance(s, Score)] == pytest.approx(expected)


FORMATS = {
    "plain": "two",
    "not closed": "<think>I add.",
    "closed before it is opened": "</think>I add.<think>",
    "twice opened": "<think>I <think>add</think>",
    "text before": "So <think>I add</think>",
    "right": "<think>I add</think>",
}
LENIENT = {
    "closed twice": "<think>I</think> add</think>",
    "text after": "<think>I add</think> two",
    "nothing thought": "<think></think>",
}
"""TRL is content with these; ours has nothing outside, or empty, or twice."""


@pytest.mark.parametrize("case", [*FORMATS, *LENIENT])
def test_the_format_of_a_thought(case: str):
    from trl.rewards import think_format_reward

    text = {**FORMATS, **LENIENT}[case]
    (theirs,) = think_format_reward([[{"content": text}]])
    ours = format_tags(text, {}, tags=("think",))
    assert theirs == (1.0 if case in (*LENIENT, "right") else 0.0)
    assert ours == (theirs if case in FORMATS else 0.0)


ANSWERS = [
    (r"\frac{1}{3}", r"My answer is \boxed{\frac{1}{3}}"),
    (r"\frac{1}{3}", r"My answer is \boxed{\frac{1}{2}}"),
    (r"\frac{1}{2}", r"So it is \boxed{0.5}."),
    (r"x^2+2x+1", r"Hence \boxed{(x+1)^2}"),
    (r"x^2+2x+1", r"Hence \boxed{(x+1)^3}"),
    (r"\{1, 2, 3\}", r"\boxed{\{3, 2, 1\}}"),
    (r"(1, 2]", r"\boxed{(1, 2]}"),
    (r"2\sqrt{3}", r"\boxed{\sqrt{12}}"),
    (r"10^{3}", r"\boxed{1000}"),
    ("42", r"\boxed{41}"),
]


@pytest.mark.parametrize(("solution", "answer"), ANSWERS)
def test_right_and_wrong_answers(solution: str, answer: str):
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    from trl.rewards import accuracy_reward

    (theirs,) = accuracy_reward([[{"content": answer}]], [f"${solution}$"])
    assert theirs is not None
    assert math(answer, {"answer": f"${solution}$"}) == theirs


@pytest.mark.parametrize(
    ("solution", "answer", "theirs"),
    [("$7$", "The answer is seven.", 0.0), ("$1000$", "The answer is 1e3.", 0.0), ("7", "7", 0.0)],
)
def test_right_answers_that_are_no_latex(solution: str, answer: str, theirs: float):
    """TRL reads LaTeX alone in a response; ours words and plain numbers too."""
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    from trl.rewards import accuracy_reward

    assert accuracy_reward([[{"content": answer}]], [solution]) == [theirs]
    assert math(answer, {"answer": solution}) == 1.0


def test_a_solution_that_cannot_be_read():
    """TRL gives no reward, and a step in which all are so has no message; ours names the row."""
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    from trl.rewards import accuracy_reward

    assert accuracy_reward([[{"content": r"\boxed{1}"}]], [r"\int"]) == [None]
    with pytest.raises(ValueError, match="cannot be read"):
        math(r"\boxed{1}", {"answer": r"\int"})

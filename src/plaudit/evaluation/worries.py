"""What a reader of a run should worry about, found in its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

EXTREME_LENGTH_GAP = 0.1
REPETITION_ABOVE_BASELINE = 0.05
LENGTH_RATIO = 1.25
WEAK_JUDGE = 0.65
RULES = {"bigrams": "a bag of bigrams", "longer_wins": "choosing the longer answer"}
"""What the judge has to beat on its own held-out pairs."""


def worries(
    evaluation: Mapping[str, Any], judge: Mapping[str, Any] | None, control: str
) -> list[str]:
    """Sentences, the gravest first; none when nothing was found.

    Args:
        evaluation: the figures of ``evaluation.json``.
        judge: the held-out figures of the judge, where it has any.
        control: the policy trained on shuffled labels.
    """
    found = [*_of_judge(judge)]
    for name, rates in evaluation["win_rate"].items():
        behaviour = evaluation["behaviour"]
        if name == control:
            found += _of_control(name, rates)
        else:
            found += _of_win_rate(name, rates)
            found += _of_reward(name, behaviour)
        found += _of_writing(name, behaviour)
    for name, checks in evaluation["tool_calls"].items():
        found += _of_calls(name, checks)
    return found


def _of_judge(judge: Mapping[str, Any] | None) -> Iterator[str]:
    if judge is None or "accuracy" not in judge:
        return
    low, point, _ = judge["accuracy"]["model"]
    if point < WEAK_JUDGE or low <= 0.5:
        yield (
            f"The judge itself is weak: it ranks {point:.0%} of held-out human pairs rightly "
            f"(no less than {low:.0%}). Its verdicts are a direction, not a measure of quality."
        )
    for rule, called in RULES.items():
        if rule in judge["accuracy"] and (reached := judge["accuracy"][rule][1]) >= point:
            yield (
                f"On its held-out pairs {called}, blind to what was asked, is right in "
                f"{reached:.0%}: the judge is not shown to see more than the surface of answers."
            )


def _of_control(name: str, rates: Mapping[str, Any]) -> Iterator[str]:
    low, point, high = rates["raw"]
    if not low <= 0.5 <= high:
        yield (
            f"The control {name}, trained on shuffled labels, stands at {point:.0%} "
            f"({low:.0%} to {high:.0%}), not at 50 %: optimising noise already moves the judge, so "
            "gains of that size mean nothing."
        )


def _of_win_rate(name: str, rates: Mapping[str, Any]) -> Iterator[str]:
    low, _, high = rates["length_controlled"]
    if low <= 0.5 <= high:
        yield (
            f"{name} is not shown to be better than the baseline: at equal length its win rate "
            f"lies between {low:.0%} and {high:.0%}."
        )
    elif high < 0.5:
        yield f"{name} is worse than the baseline: at most {high:.0%} wins at equal length."
    gap = rates["raw"][1] - rates["length_controlled"][1]
    if abs(gap) > EXTREME_LENGTH_GAP:
        yield (
            f"{name}'s win rate changes by {abs(gap):.0%} once length is held equal: the judge "
            f"rewards {'longer' if gap > 0 else 'shorter'} answers."
        )


def _of_reward(name: str, behaviour: Mapping[str, Any]) -> Iterator[str]:
    own, baseline = behaviour[name], behaviour["baseline"]
    if "reward_score" not in own:
        return
    reward = own["reward_score"] - baseline["reward_score"]
    judge = own["judge_score"] - baseline["judge_score"]
    if reward > 0 >= judge:
        yield (
            f"{name} raises the reward it was trained on (by {reward:+.2f}) but not the judge's "
            f"({judge:+.2f}): it has learned the reward model's mistakes."
        )


def _of_writing(name: str, behaviour: Mapping[str, Any]) -> Iterator[str]:
    own, baseline = behaviour[name], behaviour["baseline"]
    ratio = own["response_tokens"] / baseline["response_tokens"]
    if ratio > LENGTH_RATIO or ratio < 1 / LENGTH_RATIO:
        yield f"{name}'s answers are {ratio:.2f} times as long as the baseline's."
    if own["repetition"] > baseline["repetition"] + REPETITION_ABOVE_BASELINE:
        yield (
            f"{name} repeats itself: {own['repetition']:.0%} of its 4-grams stood in the answer "
            f"before ({baseline['repetition']:.0%} in the baseline's)."
        )
    if own["stopped"] < 0.95:
        yield f"{1 - own['stopped']:.0%} of {name}'s answers did not end by themselves."
    if own["entropy_per_token"] < 0.5 * baseline["entropy_per_token"]:
        yield (
            f"{name} has lost variety: {own['entropy_per_token']:.2f} nats a token, "
            f"{baseline['entropy_per_token']:.2f} in the baseline."
        )


def _of_calls(name: str, checks: Mapping[str, Any]) -> Iterator[str]:
    low, point, high = checks["difference"] or (0.0, 0.0, 0.0)
    if high < 0:
        yield (
            f"{name} makes fewer valid tool calls than the baseline: {point:+.1%} "
            f"({low:+.1%} to {high:+.1%})."
        )

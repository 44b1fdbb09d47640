"""What to change in a labelling plan, in words: more overlap, more pairs, or other raters."""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.feedback.labelling.plan import LabellingPlan, Prediction

CLEARLY = 0.005
"""A gain of accuracy that is worth a change of plan."""


def advise(plan: LabellingPlan, found: Sequence[Prediction]) -> list[str]:
    """One line for each thing worth saying; the first of ``found`` is the plan."""
    lines = [_of_consensus(plan, found), _of_reward(plan, found)]
    return [line for line in (*lines, _of_votes(plan, found)) if line]


def _of_consensus(plan: LabellingPlan, found: Sequence[Prediction]) -> str:
    aim, planned = plan.consensus_accuracy, found[0]
    if planned.consensus_accuracy.point >= aim:
        return ""
    enough = [one for one in found if one.consensus_accuracy.point >= aim]
    told = f"consensus: overlap {planned.overlap} gives {planned.consensus_accuracy.point:.3f}; "
    if not enough:
        return (
            f"{told}no overlap tried reaches {aim}: more overlap is not enough; look for "
            "raters with less noise, clearer guidelines, or pairs that differ more"
        )
    cheapest = min(enough, key=lambda one: one.votes_per_pair)
    times = cheapest.votes_per_pair / planned.votes_per_pair
    return (
        f"{told}{aim} needs more overlap: {cheapest.overlap}, at {times:.1f} times the votes a pair"
    )


def _of_reward(plan: LabellingPlan, found: Sequence[Prediction]) -> str:
    aim, planned = plan.reward_accuracy, found[0]
    if planned.pairs_for_sure == float("inf"):
        return (
            f"reward model: {aim} lies at or above the best such a model can do; aim lower, or "
            "take a better model (ceiling, features)"
        )
    if plan.pairs is None or planned.reward_accuracy.low >= aim:
        return ""
    if planned.reward_accuracy.point >= aim:
        return (
            f"reward model: {aim} is expected but not sure; {planned.pairs_for_sure:,.0f} pairs "
            "would make it so"
        )
    return (
        f"reward model: {planned.reward_accuracy.point:.3f} is expected of {plan.pairs:,} pairs; "
        f"{aim} needs more pairs: {planned.pairs_for_sure:,.0f} with overlap {planned.overlap}"
    )


def _of_votes(plan: LabellingPlan, found: Sequence[Prediction]) -> str:
    planned = found[0]
    if plan.pairs is None:
        best = min(found, key=lambda one: one.votes)
        saved = 1 - best.votes / planned.votes if planned.votes < float("inf") else 0.0
        if saved < 0.02:
            return ""
        change = _change(planned, best)
        return (
            f"votes: for the reward model alone, overlap {best.overlap} needs {saved:.0%} fewer "
            f"votes than {planned.overlap}: {change}"
        )
    best = max(found, key=lambda one: one.reward_accuracy.point)
    gain = best.reward_accuracy.point - planned.reward_accuracy.point
    if gain < CLEARLY:
        return ""
    return (
        f"votes: the same {planned.votes:,.0f} votes as overlap {best.overlap} on "
        f"{best.pairs:,.0f} pairs would raise the reward model by {gain:.3f}: "
        f"{_change(planned, best)}"
    )


def _change(planned: Prediction, best: Prediction) -> str:
    more_overlap = best.votes_per_pair > planned.votes_per_pair
    return "more overlap, fewer pairs" if more_overlap else "more pairs, less overlap"

"""Targets: what models learn from, made of judgments.

Comparisons and rankings become preferences with the probability that the better one is better;
marks become ratings, verdicts on steps probabilities, and what raters wrote demonstrations. What
nobody judged is left out. Rationales stay in the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from plaudit.aggregation.consensus import (
    Method,
    PairConsensus,
    entropy_bits,
    label_consensus,
    pair_consensus,
)
from plaudit.aggregation.ratings import Rating01, Scale, ratings_of
from plaudit.aggregation.votes import (
    FIRST,
    RIGHT,
    Ballot,
    Unit,
    counted,
    pair_ballot,
    settled,
    step_ballot,
)
from plaudit.formats import conversation_key
from plaudit.formats.messages import alike
from plaudit.judgments import Answer, Item, Judgment, Labelled, Pairwise, Written
from plaudit.records import (
    Demonstration,
    Judged,
    Message,
    Preference,
    Prompt,
    Rating,
    Response,
    SteppedResponse,
    Text,
)
from plaudit.statistics import UNKNOWN

Weighting = Literal["even", "information", "certainty"]
"""Of a pair: all alike; by what its votes could tell; or by how sure they are, 1 - H(q)."""
Target = Judged | SteppedResponse | Demonstration

LEAST_WEIGHT = 1e-3
"""Votes that tell nothing leave a pair this much, since a weight is above 0."""


def targets(
    items: Sequence[Item],
    judgments: Iterable[Judgment],
    method: Method = "auto",
    *,
    weighting: Weighting = "even",
    margins: bool = False,
    scale: Scale = (0.0, 1.0),
    standardise: bool = False,
) -> list[Target]:
    """One record an item that was judged, in the items' order; of demonstrations one each.

    Args:
        method: of the consensus on pairs and steps.
        weighting: how much each pair counts; weights have a mean of 1.
        margins: give each preference the mean strength of its votes, towards the better one.
        scale: the lowest and the highest mark that could be given.
        standardise: bring each rater's marks to the mean and spread of all before averaging.

    Raises:
        ValueError: an option is unknown, a mark lies outside the scale, a judgment does not fit
            its item, or the judgments are labels, which no stage learns from.
    """
    if weighting not in get_args(Weighting):
        known = ", ".join(get_args(Weighting))
        raise ValueError(f"weighting is {weighting}; expected one of {known}")
    votes = counted(judgments)
    for judgment in votes:
        if isinstance(judgment.answer, Labelled):
            raise ValueError(
                f"judgment {judgment.id}: a label, which no stage learns from; choose a question "
                "of comparisons, rankings, marks, steps or demonstrations"
            )
    pairs = pair_consensus(pair_ballot(items, votes), method)
    bad = _both_bad(pairs.ballot, settled(items, votes))
    preferences = _preferences(pairs, items, bad, weighting, margins)
    ratings = ratings_of(items, votes, scale=scale, standardise=standardise)
    for unit, said in bad.items():
        ratings[unit.item] += [Rating01(part, 0.0, said) for part in unit.parts]
    steps = _steps(step_ballot(items, votes), method)
    written = _written(items, votes)
    found: list[Target] = []
    for item in items:
        if preferences[item.id] or ratings[item.id]:
            found.append(_judged(item, preferences[item.id], ratings[item.id]))
        if steps[item.id]:
            found.append(_stepped(item, steps[item.id]))
        found += [_demonstration(item, text) for text in written[item.id]]
    return found


def pair_weights(pairs: PairConsensus, weighting: Weighting) -> np.ndarray:
    """How much each pair counts, [I], before rankings share theirs; 1 on average."""
    if weighting == "even":
        return np.ones(len(pairs.first_I))
    if weighting == "certainty":
        weight_I = 1 - entropy_bits(pairs.first_I)
    else:
        # What is known is known as well as by its best pair of votes, at least by one sure vote.
        known = pairs.ballot.known_I != UNKNOWN
        best = max(1.0, float(pairs.information_I.max(initial=0)))
        weight_I = np.where(known, best, pairs.information_I)
    spoken = (pairs.ballot.counts_I() > 0) | (pairs.ballot.known_I != UNKNOWN)
    mean = float(weight_I[spoken].mean()) if spoken.any() else 1.0
    return np.maximum(weight_I / mean, LEAST_WEIGHT) if mean > 0 else np.ones(len(weight_I))


def _preferences(
    pairs: PairConsensus,
    items: Sequence[Item],
    bad: Container[Unit],
    weighting: Weighting,
    margins: bool,
) -> defaultdict[str, list[Preference]]:
    """By item; of a pair of which both are bad there is none."""
    ballot, candidates = pairs.ballot, {item.id: len(item.candidates) for item in items}
    votes_I, weight_I = ballot.counts_I(), pair_weights(pairs, weighting)
    strength_I = _mean_strength(ballot)
    tied_I = pairs.tied_I
    found: defaultdict[str, list[Preference]] = defaultdict(list)
    for i, unit in enumerate(ballot.units):
        if unit in bad or not (votes_I[i] or ballot.known_I[i] != UNKNOWN):
            continue
        first = 0.5 if tied_I[i] else float(pairs.first_I[i])
        better, worse = unit.parts if first >= 0.5 else unit.parts[::-1]
        towards = strength_I[i] if first >= 0.5 else -strength_I[i]
        preference = Preference(
            better=better,
            worse=worse,
            probability=max(first, 1 - first),
            margin=max(0.0, float(towards)) if margins and first != 0.5 else 0.0,
            # K responses have K (K - 1) / 2 pairs, but a ranking of them says K - 1 things.
            weight=float(weight_I[i]) * 2 / candidates[unit.item],
        )
        found[unit.item].append(preference)
    return found


def _mean_strength(ballot: Ballot) -> np.ndarray:
    """Of the votes on each pair, above 0 for the first."""
    if ballot.votes is None:
        return np.zeros(len(ballot.units))
    towards_N = np.where(ballot.votes.labels_N == FIRST, 1, -1) * ballot.strength_N
    return ballot.counts_I(towards_N) / np.maximum(1, ballot.counts_I())


def _both_bad(ballot: Ballot, known: Mapping[str, Answer]) -> dict[Unit, float]:
    """Pairs that are known to be both bad, or that most votes call so where nothing is known; and
    how many votes say it, at least the one that is known."""
    bad_I = ballot.counts_I(ballot.both_bad_N.astype(float))
    most_I = (2 * bad_I > ballot.counts_I()) & (ballot.known_I == UNKNOWN)
    is_known_I = np.array([_is_both_bad(known.get(unit.item)) for unit in ballot.units], bool)
    return {ballot.units[i]: max(1.0, float(bad_I[i])) for i in np.flatnonzero(most_I | is_known_I)}


def _is_both_bad(answer: Answer | None) -> bool:
    return isinstance(answer, Pairwise) and answer.both_bad


def _steps(ballot: Ballot, method: Method) -> defaultdict[str, list[float]]:
    """By item, the probability that all is right up to each step, where every step was judged."""
    right_I = label_consensus(ballot, method).posterior_IK[:, RIGHT]
    judged_I = (ballot.counts_I() > 0) | (ballot.known_I != UNKNOWN)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for unit, right, judged in zip(ballot.units, right_I, judged_I, strict=True):
        found[unit.item].append(float(right) if judged else np.nan)
    return defaultdict(list, {k: v for k, v in found.items() if not np.isnan(v).any()})


def _written(items: Sequence[Item], votes: Iterable[Judgment]) -> defaultdict[str, list[str]]:
    """By item, what was written for it; an adjudicated text stands alone."""
    known = settled(items, votes)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for judgment in votes:
        if isinstance(judgment.answer, Written):
            found[judgment.item].append(judgment.answer.text)
    for item, answer in known.items():
        if isinstance(answer, Written):
            found[item] = [answer.text]
    return found


def _judged(item: Item, preferences: Sequence[Preference], rated: Iterable[Rating01]) -> Judged:
    asked, said = alike(item.prompt, [candidate.content for candidate in item.candidates])
    return Judged(
        prompt=prompt_of(item).model_copy(update={"content": asked}),
        responses=tuple(
            Response(content=content, source=candidate.source)
            for candidate, content in zip(item.candidates, said, strict=True)
        ),
        preferences=tuple(preferences),
        ratings=tuple(Rating(response=r.candidate, value=r.value, weight=r.weight) for r in rated),
    )


def _stepped(item: Item, right: Sequence[float]) -> SteppedResponse:
    return SteppedResponse(
        prompt=prompt_of(item),
        steps=item.steps,
        labels=tuple(p > 0.5 for p in right),
        probabilities=tuple(right),
    )


def _demonstration(item: Item, text: str) -> Demonstration:
    prompt = prompt_of(item)
    content: Text = text
    if not isinstance(prompt.content, str):
        content = (Message(role="assistant", content=text),)
    return Demonstration(prompt=prompt, response=Response(content=content))


def prompt_of(item: Item) -> Prompt:
    """The item's prompt, in the split that its conversation has everywhere."""
    return Prompt(
        id=item.id,
        conversation=conversation_key(item.prompt),
        content=item.prompt,
        columns=item.columns,
    )

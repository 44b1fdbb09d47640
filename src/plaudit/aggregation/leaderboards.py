"""Who wrote the better responses: sources of candidates, by what raters said of them.

A vote is one rater's answer about a pair of candidates of known and different sources; ties, and
pairs that are both bad, are half a win each way. Intervals are clustered by prompt and by rater,
and of the two the wider one is told.

Shapes: N votes, I sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from plaudit.aggregation.votes import FIRST, SECOND, TIE, Ballot, counted, pair_ballot
from plaudit.judgments import Answer, Item, Judgment, Pairwise, Ranked
from plaudit.statistics import (
    Comparisons,
    bradley_terry,
    comparisons,
    davidson,
    elo,
    elo_scale,
    plackett_luce,
    rank_by_intervals,
    rao_kupper,
    thurstone,
)
from plaudit.statistics.plackett_luce import ranked_groups
from plaudit.statistics.votes import Floats, Integers

Scale = Literal["bradley_terry", "plackett_luce", "davidson", "rao_kupper", "thurstone", "elo"]
_WON = {FIRST: 1.0, SECOND: 0.0, TIE: 0.5}


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceVotes:
    """Votes between two sources each."""

    sources: tuple[str, ...]
    data: Comparisons
    prompts_N: Integers
    """The number of the prompt of each."""
    unknown: int
    """Votes on pairs one of whose sources is not known, or both the same: no part of ``data``."""
    orders: tuple[tuple[int, ...], ...]
    """The known sources of each answer, best first, where none is tied or there twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standings:
    """The sources' scores; intervals and ranks where the model has them."""

    scores_I: Floats
    """400 points are ten to one; of ``thurstone`` standard deviations of a difference."""
    low_I: Floats | None = None
    high_I: Floats | None = None
    ranks_I: Integers | None = None
    """1 + the number of sources that are surely better."""
    undetermined_I: np.ndarray | None = None
    """Sources that never both won and lost against the main group."""
    longer_effect: float | None = None
    """Points by which the longer response is ahead, at the root mean square of differences."""
    warnings: tuple[str, ...] = ()


class _Row(NamedTuple):
    """A vote by its number, its two sources, and the number of the prompt."""

    vote: int
    i: str
    j: str
    prompt: int


def source_votes(items: Sequence[Item], judgments: Sequence[Judgment]) -> SourceVotes:
    """The votes that stand, between sources.

    Raises:
        ValueError: none is between two known sources.
    """
    said = counted(judgments)
    ballot, by_id = pair_ballot(items, said), {item.id: item for item in items}
    prompts: dict[str, int] = {}
    rows: list[_Row] = []
    unknown = 0
    for n, number in enumerate(() if ballot.votes is None else ballot.votes.items_N):
        unit = ballot.units[number]
        item = by_id[unit.item]
        i, j = (item.candidates[part].source for part in unit.parts)
        if not i or not j or i == j:
            unknown += 1
            continue
        prompt = prompts.setdefault(repr(item.prompt), len(prompts))
        rows.append(_Row(n, i, j, prompt))
    if not rows:
        raise ValueError(
            f"no vote is between two candidates of known and different sources ({unknown} are of "
            "others); expected items whose candidates have a source"
        )
    orders = [_order(by_id[judgment.item], judgment.answer) for judgment in said]
    return _between(ballot, rows, unknown, orders)


def standings(found: SourceVotes, scale: Scale, *, equal_length: bool = False) -> Standings:
    """Scores by one of the models of ``plaudit.statistics``.

    Args:
        equal_length: scores are those at equal length; of ``bradley_terry`` alone.

    Raises:
        ValueError: ``equal_length`` is asked of another model, or intervals of one rater's votes on
            one prompt, or no answer puts its sources in an order.
    """
    if scale == "bradley_terry":
        return _with_intervals(found, equal_length)
    if equal_length:
        raise ValueError(f"equal length: {scale} has no such effect; expected bradley_terry")
    if scale == "plackett_luce":
        return _of_orders(found)
    scores: dict[str, Callable[[Comparisons], Floats]] = {
        "davidson": lambda data: elo_scale(davidson(data).scores_I),
        "rao_kupper": lambda data: elo_scale(rao_kupper(data).scores_I),
        "thurstone": thurstone,
        "elo": elo,
    }
    return Standings(scores_I=scores[scale](found.data))


def _order(item: Item, answer: Answer) -> list[str]:
    """The known sources, best first; empty where the answer is no order of them."""
    if isinstance(answer, Pairwise):
        ranks = (answer.strength, -answer.strength)
    else:
        ranks = answer.ranks if isinstance(answer, Ranked) else ()
    ranked = [(rank, c.source) for rank, c in zip(ranks, item.candidates, strict=False) if c.source]
    alone = all(len({row[part] for row in ranked}) == len(ranked) for part in (0, 1))
    return [source for _, source in sorted(ranked)] if alone and len(ranked) > 1 else []


def _between(
    ballot: Ballot, rows: Sequence[_Row], unknown: int, orders: Iterable[Sequence[str]]
) -> SourceVotes:
    assert ballot.votes is not None, "there are rows"
    sources = tuple(sorted({name for row in rows for name in (row.i, row.j)}))
    number = {name: n for n, name in enumerate(sources)}
    at_N = np.array([row.vote for row in rows])
    votes = ballot.votes
    data = comparisons(
        np.array([number[row.i] for row in rows]),
        np.array([number[row.j] for row in rows]),
        np.array([_WON[label] for label in votes.labels_N[at_N]]),
        raters_N=votes.raters_N[at_N],
        side_N=1 - 2 * ballot.turned_N[at_N],
        longer_N=ballot.longer_I[votes.items_N[at_N]],
        items=len(sources),
    )
    return SourceVotes(
        sources=sources,
        data=data,
        prompts_N=np.array([row.prompt for row in rows]),
        unknown=unknown,
        orders=tuple(tuple(number[name] for name in order) for order in orders if order),
    )


def _of_orders(found: SourceVotes) -> Standings:
    if not found.orders:
        raise ValueError(
            "every answer ties some of its sources; expected orders, or another method"
        )
    warnings = [f"by the {len(found.orders)} answers that tie nothing"]
    if len(np.unique(ranked_groups(found.orders, len(found.sources)))) > 1:
        warnings.append("no answer links some groups of sources: scores of two tell nothing")
    scores_I = plackett_luce(found.orders, len(found.sources))
    return Standings(scores_I=elo_scale(scores_I), warnings=tuple(warnings))


def _with_intervals(found: SourceVotes, equal_length: bool) -> Standings:
    data, longer_NF = found.data, None
    if equal_length:
        size = float(np.sqrt((data.longer_N**2).mean()))
        longer_NF = data.longer_N[:, None] / (size or 1.0)
    clusters = [one for one in (found.prompts_N, data.raters_N) if len(np.unique(one)) > 1]
    if not clusters:
        raise ValueError(
            "all votes are of one rater on one prompt, which tells no interval; expected several, "
            "or another method"
        )
    boards = [bradley_terry(data, clusters_N, longer_NF) for clusters_N in clusters]
    low_I = np.minimum.reduce([board.low_I for board in boards])
    high_I = np.maximum.reduce([board.high_I for board in boards])
    effect = float(elo_scale(boards[0].effects_F[0], anchor=0.0)) if equal_length else None
    return Standings(
        scores_I=elo_scale(boards[0].scores_I), low_I=elo_scale(low_I), high_I=elo_scale(high_I),
        ranks_I=rank_by_intervals(low_I, high_I), undetermined_I=boards[0].undetermined_I,
        longer_effect=effect,
        warnings=tuple(dict.fromkeys(said for board in boards for said in board.warnings)),
    )  # fmt: skip

"""The latest votes of people on pairs, as the arrays in which signs of trouble are looked for.

The last ``MOST`` judgments, so that it takes as long at five million as at twenty thousand, and
what a rater does now is not hidden behind what they did a year ago. Judgments are read as plain
JSON: they were checked when they were recorded.

Shapes: N votes, I pairs, W raters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import func, select

from plaudit.aggregation import ADJUDICATED
from plaudit.statistics.habits import TIE, PairVotes
from plaudit.statistics.votes import UNKNOWN, votes
from plaudit.store import Store
from plaudit.store.schema import item as item_table
from plaudit.store.schema import judgment as judgment_table

MOST = 20_000
PEOPLE = ("human", "simulated")
ABOUT_EQUAL = 0.05
"""Candidates whose lengths differ by less, relative to the longer, are not longer or shorter."""
_AT_ONCE = 500


def last_seq(store: Store, project: str) -> int:
    """Of the project's last judgment; 0 where there is none. It changes with every judgment."""
    table = judgment_table
    with store.reading() as connection:
        found = select(func.max(table.c.seq)).where(table.c.project == project)
        return connection.execute(found).scalar() or 0


def latest_pairs(
    store: Store, project: str, most: int = MOST
) -> tuple[PairVotes, list[str]] | None:
    """Votes on pairs and the raters in their order; None where there are none but ties.

    Suspended raters' are among them: whether to let them come back is seen from these.
    """
    table = judgment_table
    here = (table.c.project == project, table.c.body.is_not(None))
    rows = select(table.c.body).where(*here).order_by(table.c.seq.desc()).limit(most)
    with store.reading() as connection:
        newest_first = [json.loads(body) for body in connection.execute(rows).scalars()]
    found = [vote for vote in _standing(newest_first) if vote["answer"]["kind"] == "pairwise"]
    if not any(vote["answer"]["strength"] for vote in found):
        return None
    contents = dict(_contents(store, project, sorted({vote["item"] for vote in found})))
    found = [vote for vote in found if vote["item"] in contents]
    if not found:
        return None
    return _pairs(found, contents), _names(vote["rater"]["id"] for vote in found)


def _standing(newest_first: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """What supersedes comes after what it supersedes, so one pass from the end sees both."""
    replaced: set[str] = set()
    for judgment in newest_first:
        replaced.add(judgment["supersedes"])
        by_people = judgment["rater"]["kind"] in PEOPLE and ADJUDICATED not in judgment["flags"]
        if judgment["id"] not in replaced and by_people and not judgment["is_repeat"]:
            yield judgment


def _pairs(found: Sequence[Mapping[str, Any]], contents: Mapping[str, Any]) -> PairVotes:
    items, raters = list(contents), _names(vote["rater"]["id"] for vote in found)
    item_at = {id: number for number, id in enumerate(items)}
    rater_at = {id: number for number, id in enumerate(raters)}
    return PairVotes(
        votes=votes(
            [item_at[vote["item"]] for vote in found],
            [rater_at[vote["rater"]["id"]] for vote in found],
            [_verdict(vote["answer"]) for vote in found],
            items=len(items), raters=len(raters), labels=3,
        ),
        left_N=np.array([vote["shown"][0] if vote["shown"] else UNKNOWN for vote in found]),
        longer_I=np.array([_longer(contents[id]["candidates"]) for id in items]),
        seconds_N=np.array([_seconds(vote) for vote in found], dtype=float),
        gold_I=np.array([_gold(contents[id]["gold"]) for id in items]),
    )  # fmt: skip


def _verdict(answer: Mapping[str, Any]) -> int:
    """0 the first candidate is better, 1 the second, 2 a tie."""
    return TIE if answer["strength"] == 0 else int(answer["strength"] > 0)


def _gold(answer: Mapping[str, Any] | None) -> int:
    return _verdict(answer) if answer and answer["kind"] == "pairwise" else UNKNOWN


def _seconds(vote: Mapping[str, Any]) -> float:
    return float("nan") if vote["active_seconds"] is None else vote["active_seconds"]


def _longer(candidates: Sequence[Mapping[str, Any]]) -> int:
    lengths = [_length(candidate["content"]) for candidate in candidates]
    if len(lengths) != 2 or abs(lengths[0] - lengths[1]) <= ABOUT_EQUAL * max(lengths):
        return UNKNOWN
    return int(lengths[1] > lengths[0])


def _length(text: Any) -> int:
    return len(text) if isinstance(text, str) else sum(len(turn["content"]) for turn in text)


def _contents(
    store: Store, project: str, ids: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    table = item_table
    for begin in range(0, len(ids), _AT_ONCE):
        chosen = table.c.id.in_(ids[begin : begin + _AT_ONCE])
        rows = select(table.c.id, table.c.content).where(table.c.project == project, chosen)
        with store.reading() as connection:
            found = connection.execute(rows).all()
        yield from ((row.id, json.loads(row.content)) for row in found)


def _names(ids: Iterable[str]) -> list[str]:
    return sorted(set(ids))

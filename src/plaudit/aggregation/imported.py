"""Imported: judgments of which only the outcome is known, as a log would hold them.

A data set of judged responses says who won, seldom who said so. Each row is taken for one answer of
one rater: one nobody knows, or the one a column names. Rows about the same prompt and responses are
votes on one item, which has the first row's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations

from plaudit.formats.merging import canonical
from plaudit.judgments import (
    Answer,
    Candidate,
    Item,
    Judgment,
    Pairwise,
    Ranked,
    Rated,
    Rater,
    fingerprint,
)
from plaudit.records import Judged, Preference

BETTER = 2
"""The strength of a comparison whose strength was not asked."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Items and what was said of them, in the rows' order."""

    items: list[Item] = field(default_factory=list)
    judgments: list[Judgment] = field(default_factory=list)


def imported(
    rows: Iterable[Judged], *, project: str, at: datetime, rater_column: str = ""
) -> Imported:
    """A judgment for each thing a row says: its comparison or ranking, its ratings.

    Args:
        rows: before equal prompts are brought together.
        at: when they are imported, where no time of judging is known.
        rater_column: names the rater; where empty, every row has one of its own.

    Raises:
        ValueError: a row is a consensus already (a soft label, a weight), or lacks the column.
    """
    found = Imported()
    items: dict[str, Item] = {}
    ids: set[str] = set()
    for number, row in enumerate(rows):
        rater = _rater(row, rater_column, project, number)
        for question, answer, chosen in _answers(row):
            item = _item(row, question, chosen, rater_column)
            key = _same(item)
            if key not in items:
                items[key] = _with_own_id(item, ids)
                found.items.append(items[key])
            found.judgments.append(
                Judgment(
                    id=_digest(project, number, question, *chosen),
                    project=project,
                    item=items[key].id,
                    item_sha256=fingerprint(items[key]),
                    question=question,
                    rater=rater,
                    answer=answer,
                    submitted_at=at,
                )
            )
    return found


def _answers(row: Judged) -> Iterator[tuple[str, Answer, tuple[int, ...]]]:
    """Question, answer, and the responses it is about."""
    everything = tuple(range(len(row.responses)))
    ranks = _ranks(row.preferences, len(everything))
    if ranks and len(everything) > 2:
        yield "preference", Ranked(ranks=ranks), everything
    else:
        for preference in row.preferences:
            pair = tuple(sorted((preference.better, preference.worse)))
            yield "preference", _compared(row, preference, pair), pair
    if row.ratings:
        yield "rating", _rated(row), everything


def _compared(row: Judged, preference: Preference, pair: tuple[int, ...]) -> Pairwise:
    if preference.probability == 0.5:
        return Pairwise(strength=0)
    if preference.probability not in (0.0, 1.0) or preference.weight != 1 or preference.margin:
        raise ValueError(
            f"{row.prompt.id}: a preference of probability {preference.probability:g}, weight "
            f"{preference.weight:g} and margin {preference.margin:g} is no rater's answer but a "
            "consensus; expected hard labels, or train on it as it is"
        )
    winner = preference.better if preference.probability else preference.worse
    return Pairwise(strength=-BETTER if winner == pair[0] else BETTER)


def _ranks(preferences: Sequence[Preference], responses: int) -> tuple[int, ...]:
    """The ranking whose pairs these are; empty where they are those of none."""
    wins = {(p.better, p.worse) for p in preferences if p.probability == 1 and not p.margin}
    order = sorted(range(responses), key=lambda r: -sum(winner == r for winner, _ in wins))
    if len(wins) != len(preferences) or wins != set(combinations(order, 2)):
        return ()
    return tuple(order.index(r) + 1 for r in range(responses))


def _rated(row: Judged) -> Rated:
    values: list[float | None] = [None] * len(row.responses)
    for rating in row.ratings:
        if rating.weight != 1 or values[rating.response] is not None:
            raise ValueError(
                f"{row.prompt.id}: response {rating.response} has several ratings, or one with a "
                "weight; expected one of each row, or train on it as it is"
            )
        values[rating.response] = rating.value
    return Rated(values=tuple(values))


def _item(row: Judged, question: str, chosen: Sequence[int], rater_column: str) -> Item:
    responses = [row.responses[r] for r in chosen]
    columns = {key: value for key, value in row.prompt.columns.items() if key != rater_column}
    return Item(
        id=row.prompt.id,
        question=question,
        prompt=row.prompt.content,
        candidates=tuple(Candidate(content=r.content, source=r.source) for r in responses),
        columns=columns,
    )


def _same(item: Item) -> str:
    """A key that items share exactly when they ask the same of the same."""
    contents = (item.prompt, *(candidate.content for candidate in item.candidates))
    return "\n".join([item.question, *map(canonical, contents)])


def _with_own_id(item: Item, ids: set[str]) -> Item:
    """A row that asks several things, or files of one name, give ids more than once."""
    id, number = item.id, 1
    while id in ids:
        number += 1
        id = f"{item.id} ({number})"
    ids.add(id)
    return item.model_copy(update={"id": id})


def _rater(row: Judged, column: str, project: str, number: int) -> Rater:
    if not column:
        return Rater(id=_digest(project, number, "rater"))
    name = row.prompt.columns.get(column)
    if not isinstance(name, str | int) or name == "":
        raise ValueError(f"{row.prompt.id}: no rater in the column {column}; expected a name")
    return Rater(id=_digest(project, "rater", name))


def _digest(*parts: object) -> str:
    """An id that is the same in every import and tells nothing of whom it stands for."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]

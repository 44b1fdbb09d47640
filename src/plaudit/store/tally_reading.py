"""What dashboards ask of the tallies, as far as ``catch_up`` has brought them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from plaudit.store import schema
from plaudit.store.items import StoredItem, stored_item
from plaudit.store.opening import Store
from plaudit.store.votes import BINS_PER_OCTAVE


@dataclass(frozen=True, kw_only=True, slots=True)
class RaterTally:
    """One rater's judgments of one question that stand, counted."""

    rater: str
    question: str
    counts: Mapping[str, int]
    """judgments, skips; of comparisons: left, right (as shown), tie, both_bad, longer, shorter;
    gold_asked, gold_right; repeated, repeated_alike; timed, milliseconds; and of every pair with a
    peer who judged the same: compared, agreed. What never happened is not there."""
    seconds_bins: Mapping[int, int]
    """How many took from 2^(bin / 4) up to 2^((bin + 1) / 4) seconds."""

    def seconds_quantile(self, share: float) -> float:
        """The time that ``share`` of the judgments stayed below, to within a tenth; NaN if none."""
        left = share * sum(self.seconds_bins.values())
        for bin, many in sorted(self.seconds_bins.items()):
            if left <= many:
                return 2 ** ((bin + left / many) / BINS_PER_OCTAVE)
            left -= many
        return float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """How many gave which label, and for how many units (items, or their candidates or steps)."""

    labels: Mapping[str, int]
    units: int


def rater_tallies(
    store: Store, project: str, question: str | None = None
) -> tuple[RaterTally, ...]:
    """Of every rater and question; suspended raters have theirs too, but are nobody's peers."""
    table = schema.rater_tally
    query = select(table).where(table.c.project == project, table.c.many != 0)
    if question is not None:
        query = query.where(table.c.question == question)
    found: dict[tuple[str, str], tuple[dict[str, int], dict[int, int]]] = {}
    with store.reading() as connection:
        for row in connection.execute(query.order_by(table.c.rater, table.c.question)):
            counts, bins = found.setdefault((row.rater, row.question), ({}, {}))
            if row.measure.startswith("bin_"):
                bins[int(row.measure.removeprefix("bin_"))] = row.many
            else:
                counts[row.measure] = row.many
    return tuple(
        RaterTally(rater=rater, question=question, counts=counts, seconds_bins=bins)
        for (rater, question), (counts, bins) in found.items()
    )


def patterns(
    store: Store,
    project: str,
    question: str,
    *,
    criterion: str = "",
    panel: str = "people",
    stratum: str | None = None,
    days: tuple[int, int] | None = None,
) -> tuple[Pattern, ...]:
    """What Krippendorff's alpha is made of, without repeats and suspended raters.

    Args:
        criterion: empty for the answer itself.
        panel: people, or machines (judges and rules).
        stratum: only items of it.
        days: only units whose last vote fell on these days since 1970, the last one included.
    """
    table = schema.pattern_tally
    query = select(table.c.pattern, func.sum(table.c.units).label("units")).where(
        table.c.project == project,
        table.c.question == question,
        table.c.criterion == criterion,
        table.c.panel == panel,
    )
    if stratum is not None:
        query = query.where(table.c.stratum == stratum)
    if days is not None:
        query = query.where(table.c.day.between(*days))
    with store.reading() as connection:
        rows = connection.execute(query.group_by(table.c.pattern).order_by(table.c.pattern)).all()
    return tuple(
        Pattern(labels=json.loads(row.pattern), units=int(row.units)) for row in rows if row.units
    )


def patterns_by_day(
    store: Store, project: str, question: str, *, criterion: str = "", panel: str = "people"
) -> dict[int, tuple[Pattern, ...]]:
    """The same for each day since 1970 on which a unit had its last vote."""
    table = schema.pattern_tally
    query = select(table.c.day, table.c.pattern, func.sum(table.c.units).label("units")).where(
        table.c.project == project,
        table.c.question == question,
        table.c.criterion == criterion,
        table.c.panel == panel,
    )
    found: dict[int, tuple[Pattern, ...]] = {}
    with store.reading() as connection:
        grouped = query.group_by(table.c.day, table.c.pattern)
        for row in connection.execute(grouped.order_by(table.c.day, table.c.pattern)):
            if row.units:
                pattern = Pattern(labels=json.loads(row.pattern), units=int(row.units))
                found[row.day] = (*found.get(row.day, ()), pattern)
    return found


def most_disputed(
    store: Store, project: str, limit: int, offset: int = 0
) -> tuple[StoredItem, ...]:
    """Items whose votes differ, those first whose votes differ most."""
    table = schema.item
    query = select(table).where(table.c.project == project, table.c.disagreement > 0)
    ordered = query.order_by(table.c.disagreement.desc(), table.c.number)
    with store.reading() as connection:
        rows = connection.execute(ordered.limit(limit).offset(offset)).all()
    return tuple(stored_item(row) for row in rows)

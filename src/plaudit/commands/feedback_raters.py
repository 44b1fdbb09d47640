"""``plaudit feedback raters``: how each rater judges, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.feedback_consensus import Log, Project, Question
from plaudit.commands.row_table import row_table

if TYPE_CHECKING:
    from plaudit.aggregation import RaterCard
    from plaudit.statistics import Interval


def raters(
    log: Log,
    project: Project = "",
    question: Question = "",
    rows: Annotated[int, typer.Option(min=1, help="How many rows to show.")] = 50,
) -> None:
    """How each rater judges: agreement, gold, habits, and what the consensus makes of them."""
    from rich.console import Console

    from plaudit.aggregation import rater_cards
    from plaudit.aggregation.logs import read_standing

    found = read_standing(log, project=project, question=question)
    cards = rater_cards(found.items, found.judgments)
    console = Console(markup=False)  # ids are data
    console.print(f"{found.project}: {len(cards)} raters, {len(found.judgments)} judgments")
    if cards:
        console.print(row_table([_rater_row(card) for card in cards[:rows]]))
    if len(cards) > rows:
        console.print(f"and {len(cards) - rows} more, who judged less (--rows)")


def _rater_row(card: RaterCard) -> dict[str, str]:
    return {
        "rater": card.rater.id,
        "kind": "" if card.rater.kind == "human" else card.rater.kind,
        "n": str(card.judgments),
        "skips": str(card.skips),
        "seconds": _number(card.median_seconds, ".1f"),
        "ties %": _rate(card.ties),
        "left %": _rate(card.left),
        "gold %": _rate(card.gold),
        "again %": _rate(card.consistency),
        "right": _number(card.accuracy, ".2f"),
        "longer": _number(card.towards_longer, "+.2f"),
        "skill": _number(card.skill, ".2f"),
        "bias": _number(card.left_bias, "+.2f"),
        "look at": ", ".join([*card.reasons, *(f"({note})" for note in card.notes)]),
    }


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _rate(rate: Interval | None) -> str:
    """In per cent, with its interval."""
    if rate is None:
        return ""
    return f"{100 * rate.point:.0f} ({100 * rate.low:.0f}-{100 * rate.high:.0f})"

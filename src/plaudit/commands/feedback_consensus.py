"""``plaudit feedback consensus`` and ``raters``: what a log says, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from plaudit.aggregation import PairConsensus, RaterCard
    from plaudit.statistics import Interval

Log = Annotated[str, typer.Argument(help="A log (.db), or the artifact of import_judgments.")]
Project = Annotated[str, typer.Option(help="Which project, where the log holds several.")]
Question = Annotated[str, typer.Option(help="Which of its questions; all where not said.")]
Rows = Annotated[int, typer.Option(min=1, help="How many rows to show.")]


def consensus(
    log: Log,
    project: Project = "",
    question: Question = "",
    method: Annotated[
        str, typer.Option(help="auto, dawid_skene, one_coin, rater_model, majority or share.")
    ] = "auto",
    rows: Rows = 20,
) -> None:
    """What the votes say of each pair, the most doubtful first."""
    from rich.console import Console

    from plaudit.aggregation import counted, pair_ballot, pair_consensus
    from plaudit.aggregation.consensus import checked_method
    from plaudit.aggregation.logs import read_standing

    found = read_standing(log, project=project, question=question)
    ballot = pair_ballot(found.items, counted(found.judgments))
    if ballot.votes is None:
        raise ValueError(
            f"{log}: no comparisons or rankings in project {found.project}; expected some"
        )
    pairs = pair_consensus(ballot, checked_method(method))
    console = Console(markup=False)  # ids are data
    judged = int((ballot.counts_I() > 0).sum())
    console.print(
        f"{found.project}: {len(ballot.votes)} votes of {len(ballot.raters)} raters on "
        f"{judged} pairs, by {pairs.method}"
    )
    console.print(_pair_table(pairs, rows))


def raters(log: Log, project: Project = "", question: Question = "", rows: Rows = 50) -> None:
    """How each rater judges: agreement, gold, habits, and what the consensus makes of them."""
    from rich.console import Console

    from plaudit.aggregation import rater_cards
    from plaudit.aggregation.logs import read_standing

    found = read_standing(log, project=project, question=question)
    cards = rater_cards(found.items, found.judgments)
    console = Console(markup=False)  # ids are data
    console.print(f"{found.project}: {len(cards)} raters, {len(found.judgments)} judgments")
    console.print(_rater_table(cards[:rows]))
    if len(cards) > rows:
        console.print(f"and {len(cards) - rows} more, who judged less (--rows)")


def _pair_table(pairs: PairConsensus, rows: int) -> Table:
    import numpy as np
    from rich.table import Table

    from plaudit.statistics import UNKNOWN

    ballot = pairs.ballot
    table = Table("item", "pair", "votes", "better", "probability", "bits", "", box=None)
    votes_I, sure_I = ballot.counts_I(), np.abs(pairs.first_I - 0.5)
    in_doubt = np.argsort(sure_I, kind="stable")
    for i in in_doubt[votes_I[in_doubt] > 0][:rows]:
        a, b = ballot.units[i].parts
        even = pairs.first_I[i] == 0.5
        better = "-" if even else str(a if pairs.first_I[i] > 0.5 else b)
        known = "" if ballot.known_I[i] == UNKNOWN else "known"
        table.add_row(
            ballot.units[i].item, f"{a}, {b}", f"{votes_I[i]:.0f}", better,
            f"{0.5 + sure_I[i]:.3f}", f"{pairs.information_I[i]:.2f}", known,
        )  # fmt: skip
    return table


def _rater_table(cards: list[RaterCard]) -> Table:
    """One row a rater, of the columns that say something of anybody."""
    from rich.table import Table

    rows = [_rater_row(card) for card in cards]
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in rows[0] if rows else ():
        if name == "rater" or any(row[name] for row in rows):
            # Ids stay whole: erasing asks for them.
            table.add_column(name, no_wrap=name == "rater", overflow="fold")
    for row in rows:
        table.add_row(*(row[str(column.header)] for column in table.columns))
    return table


def _rater_row(card: RaterCard) -> dict[str, str]:
    return {
        "rater": card.rater.id,
        "kind": card.rater.kind,
        "n": str(card.judgments),
        "skips": str(card.skips),
        "seconds": _number(card.median_seconds, ".1f"),
        "ties": _rate(card.ties),
        "left": _rate(card.left),
        "gold": _rate(card.gold),
        "again": _rate(card.consistency),
        "accuracy": _number(card.accuracy, ".2f"),
        "longer": _number(card.towards_longer, "+.2f"),
        "skill": _number(card.skill, ".2f"),
        "left bias": _number(card.left_bias, "+.2f"),
        "look at": ", ".join([*card.reasons, *(f"({note})" for note in card.notes)]),
    }


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _rate(rate: Interval | None) -> str:
    return "" if rate is None else f"{rate.point:.2f} ({rate.low:.2f}-{rate.high:.2f})"

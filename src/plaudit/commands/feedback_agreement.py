"""``plaudit feedback agreement``: how well raters agree, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.feedback_consensus import Log, Project, Question, Rows
from plaudit.commands.row_table import row_table

if TYPE_CHECKING:
    from plaudit.aggregation.panels import Agreed, TwoRaters

BY = ("", "stratum", "raters")


def agreement(
    log: Log,
    project: Project = "",
    question: Question = "",
    by: Annotated[
        str, typer.Option(help="stratum: each apart; raters: Cohen's kappa of every two.")
    ] = "",
    rows: Rows = 20,
) -> None:
    """How well raters agree: Krippendorff's alpha with its interval, and the human ceiling."""
    from rich.console import Console

    from plaudit.aggregation.logs import read_standing
    from plaudit.aggregation.panels import agreements, rater_pairs

    if by not in BY:
        raise ValueError(f"by: {by}; expected stratum or raters, or leave it out")
    found = read_standing(log, project=project, question=question)
    if by == "raters":
        table = [_of_two(pair) for pair in rater_pairs(found.judgments)]
    else:
        agreed = agreements(found.items, found.judgments, by_stratum=by == "stratum")
        table = [_of_panel(one) for one in agreed]
    if not table:
        nothing = "no two raters share anything" if by == "raters" else "nothing to compare"
        raise ValueError(f"{log}: {nothing} in project {found.project}; expected several votes")
    console = Console(markup=False)  # ids are data
    console.print(f"{found.project}: {len(found.judgments)} judgments that stand")
    console.print(row_table(table[:rows]))
    if len(table) > rows:
        console.print(f"and {len(table) - rows} more (--rows)")


def _of_panel(one: Agreed) -> dict[str, str]:
    said, alpha = one.agreement, one.agreement.alpha
    return {
        "question": one.of.question,
        "criterion": one.of.criterion,
        "stratum": one.of.stratum,
        "panel": "" if one.of.panel == "people" else one.of.panel,
        "compared": one.reading,
        "units": str(said.units),
        "votes": str(said.votes),
        "alpha": "" if alpha is None else f"{alpha.point:.2f}",
        "95 %": "" if alpha is None else f"{alpha.low:.2f} to {alpha.high:.2f}",
        "same": _share(said.same),
        "AC1": _share(said.ac1),
        "ceiling": _share(said.ceiling),
        "halves": _share(one.halves),
        "note": said.why,
    }


def _of_two(pair: TwoRaters) -> dict[str, str]:
    first, second = pair.raters
    return {
        "rater": first,
        "and": second,
        "question": pair.question,
        "compared": pair.reading,
        "shared": str(pair.shared),
        "same": _share(pair.same),
        "kappa": "" if pair.kappa != pair.kappa else f"{pair.kappa:.2f}",
    }


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

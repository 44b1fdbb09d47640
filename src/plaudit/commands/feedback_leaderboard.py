"""``plaudit feedback leaderboard``: which models write the better responses, by a log's votes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.feedback_consensus import Log, Project, Question

if TYPE_CHECKING:
    from rich.table import Table

    from plaudit.aggregation.leaderboards import SourceVotes, Standings


def leaderboard(
    log: Log,
    project: Project = "",
    question: Question = "",
    method: Annotated[
        str,
        typer.Option(help="bradley_terry, plackett_luce, davidson, rao_kupper, thurstone or elo."),
    ] = "bradley_terry",
    equal_length: Annotated[
        bool, typer.Option("--equal-length", help="Scores as if responses were equally long.")
    ] = False,
) -> None:
    """Which sources of candidates (models) raters prefer, with 95 % intervals."""
    from typing import cast, get_args

    from rich.console import Console

    from plaudit.aggregation.leaderboards import Scale, source_votes, standings
    from plaudit.aggregation.logs import read_standing

    if method not in get_args(Scale):
        raise ValueError(f"method: {method}; expected {', '.join(get_args(Scale))}")
    read = read_standing(log, project=project, question=question)
    found = source_votes(read.items, read.judgments)
    board = standings(found, cast(Scale, method), equal_length=equal_length)
    console = Console(markup=False)  # names are data
    votes = f"{len(found.data)} votes of {len(set(found.data.raters_N))} raters"
    console.print(f"{read.project}: {votes} on {len(found.sources)} sources, by {method}")
    console.print(_table(found, board, ".2f" if method == "thurstone" else ".0f"))
    if board.longer_effect is not None:
        console.print(f"a longer response is ahead by {board.longer_effect:+.0f} points")
    if found.unknown:
        console.print(f"{found.unknown} votes are between unknown or equal sources, and left out")
    for warning in board.warnings:
        console.print(f"note: {warning}")


def _table(found: SourceVotes, board: Standings, form: str) -> Table:
    import numpy as np
    from rich.table import Table

    interval = "" if board.low_I is None else "95 %"
    table = Table("rank", "source", "score", interval, "votes", "won", "tied", "", box=None)
    data, size = found.data, len(found.sources)
    of_I = np.bincount(np.concatenate([data.i_N, data.j_N]), minlength=size)
    won_2N = np.concatenate([data.won_N, 1 - data.won_N])
    both_2N = np.concatenate([data.i_N, data.j_N])
    won_I, tied_I = (np.bincount(both_2N, won_2N == y, minlength=size) for y in (1.0, 0.5))
    for place, i in enumerate(np.argsort(-board.scores_I, kind="stable"), start=1):
        table.add_row(
            str(place if board.ranks_I is None else board.ranks_I[i]), found.sources[i],
            format(board.scores_I[i], form),
            _interval(board, i),
            str(of_I[i]), f"{won_I[i]:.0f}", f"{tied_I[i]:.0f}",
            "undetermined" if board.undetermined_I is not None and board.undetermined_I[i] else "",
        )  # fmt: skip
    return table


def _interval(board: Standings, i: int) -> str:
    if board.low_I is None or board.high_I is None:
        return ""
    return f"{board.low_I[i]:.0f} to {board.high_I[i]:.0f}"

"""``plaudit feedback consensus``: what a log says of each pair, step and item, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from plaudit.aggregation import LabelConsensus, Method, PairConsensus
    from plaudit.aggregation.logs import Standing

Log = Annotated[str, typer.Argument(help="A log (.db), or the artifact of import_judgments.")]
Project = Annotated[str, typer.Option(help="Which project, where the log holds several.")]
Question = Annotated[str, typer.Option(help="Which of its questions; all where not said.")]
Rows = Annotated[int, typer.Option(min=1, help="How many rows to show.")]
METHODS = (
    "auto, dawid_skene, one_coin, rater_model, glad, mace, weighted, majority or share; "
    "docs/collect/targets.md says which for what."
)


def consensus(
    log: Log,
    project: Project = "",
    question: Question = "",
    method: Annotated[str, typer.Option(help=METHODS)] = "auto",
    rows: Rows = 20,
) -> None:
    """What the votes say of each pair, step or labelled item, the most doubtful first."""
    from rich.console import Console

    from plaudit.aggregation.consensus import checked_method
    from plaudit.aggregation.logs import read_standing

    found = read_standing(log, project=project, question=question)
    tables = dict(_tables(found, checked_method(method), rows))
    if not tables:
        raise ValueError(
            f"{log}: no comparisons, rankings, verdicts on steps or labels in project "
            f"{found.project}; expected some"
        )
    console = Console(markup=False)  # ids are data
    for heading, table in tables.items():
        console.print(f"{found.project}: {heading}")
        console.print(table)


def _tables(found: Standing, method: Method, rows: int) -> Iterator[tuple[str, Table]]:
    """By heading, for each kind of unit that has votes."""
    from plaudit.aggregation import (
        counted,
        label_ballot,
        label_consensus,
        labels_given,
        pair_ballot,
        pair_consensus,
        step_ballot,
    )

    said = counted(found.judgments)
    pairs, steps = pair_ballot(found.items, said), step_ballot(found.items, said)
    if pairs.votes is not None:
        by = pair_consensus(pairs, method)
        yield _heading(by, "pairs"), _pair_table(by, rows)
    if steps.votes is not None:
        of_steps = label_consensus(steps, method)
        yield _heading(of_steps, "steps"), _label_table(of_steps, ["wrong", "right"], rows)
    labels = labels_given(found.items, said)
    labelled = label_ballot(found.items, said, labels)
    if labelled.votes is not None:
        # Where all say the same so far, no model has a second label to tell it from.
        of_items = label_consensus(labelled, method if len(labels) > 1 else "share")
        yield _heading(of_items, "labelled items"), _label_table(of_items, labels, rows)


def _heading(by: PairConsensus | LabelConsensus, units: str) -> str:
    votes = by.ballot.votes
    assert votes is not None, "units without votes have no table"
    judged = int((by.ballot.counts_I() > 0).sum())
    raters = len(by.ballot.raters)
    return f"{len(votes)} votes of {raters} raters on {judged} {units}, by {by.method}"


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


def _label_table(found: LabelConsensus, labels: list[str], rows: int) -> Table:
    import numpy as np
    from rich.table import Table

    from plaudit.statistics import UNKNOWN

    ballot = found.ballot
    table = Table("item", "step", "votes", "label", "probability", "", box=None)
    votes_I, sure_I = ballot.counts_I(), found.posterior_IK.max(1)
    in_doubt = np.argsort(sure_I, kind="stable")
    for i in in_doubt[votes_I[in_doubt] > 0][:rows]:
        unit = ballot.units[i]
        known = "" if ballot.known_I[i] == UNKNOWN else "known"
        table.add_row(
            unit.item, ", ".join(map(str, unit.parts)), f"{votes_I[i]:.0f}",
            labels[found.posterior_IK[i].argmax()], f"{sure_I[i]:.3f}", known,
        )  # fmt: skip
    return table

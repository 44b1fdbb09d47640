"""``plaudit feedback simulate`` and ``plaudit feedback plan``: raters that are not people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from plaudit.commands.stores import open_existing

if TYPE_CHECKING:
    from plaudit.feedback.labelling.plan import LabellingPlan, Prediction
    from plaudit.feedback.simulation import Mix, RaterKind, Tally, Truths


class PlanCommand(TyperCommand):
    """A command whose help lists every option of a labelling plan."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from rich.console import Console

        from plaudit.commands.options_table import options_table
        from plaudit.feedback.labelling.plan import LabellingPlan

        super().format_help(ctx, formatter)
        Console().print(options_table("feedback plan", LabellingPlan))


Raters = Annotated[Path, typer.Option(help="The pool: YAML with raters, each with its kind.")]


def simulate(
    url: Annotated[str, typer.Argument(help="Where the server listens: http://127.0.0.1:8700.")],
    raters: Raters,
    items: Annotated[
        Path | None, typer.Option(help="The project's items, with a column utilities or gold.")
    ] = None,
    scorer: Annotated[
        str, typer.Option(help="Or a function of prompts and completions, package.module:name.")
    ] = "",
    token: Annotated[
        list[str] | None, typer.Option(help="An invite for all, or a token for each; repeatable.")
    ] = None,
    store: Annotated[
        str, typer.Option(help="Or the server's store, to make members that are marked simulated.")
    ] = "",
    project: Annotated[str, typer.Option(help="Where they judge; needed with --store.")] = "",
    most: Annotated[int | None, typer.Option(min=1, help="Judgments of one rater.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="After which they stop.")] = None,
    pace: Annotated[
        float, typer.Option(min=0, help="Part of the time they take that is really waited.")
    ] = 0.0,
) -> None:
    """Let simulated raters judge at a server, until there is nothing left or they are stopped."""
    import asyncio
    import time

    from plaudit.feedback.simulation import Refused, Terms, Unreachable, read_mix, work
    from plaudit.feedback.simulation.joining import signed_in

    mix, truths = read_mix(raters), _truths(items, scorer)
    tokens = _tokens(mix, token, store, project)
    until = float("inf") if seconds is None else time.monotonic() + seconds
    terms = Terms(
        truths=truths, seed=mix.seed, most=most, pace=pace,
        is_over=lambda: time.monotonic() >= until,
    )  # fmt: skip

    async def run() -> list[Tally]:
        async with signed_in(url, mix, tokens, project) as seats:
            return await work(seats, terms)

    began = time.perf_counter()
    try:
        tallies = asyncio.run(run())
    except (Refused, Unreachable) as error:
        raise ValueError(f"{url}: {error}; is the server up, and the token good?") from error
    _show_tallies(tallies, time.perf_counter() - began)


def plan_labelling(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Options as key=value, laid over the file's.")
    ] = None,
    raters: Annotated[
        Path | None, typer.Option(help="The pool: YAML with raters, each with its kind.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML of options.")] = None,
    pilot: Annotated[
        str, typer.Option(help="Or a store in which a pilot was judged, to take the noise from.")
    ] = "",
    project: Annotated[str, typer.Option(help="The pilot's project.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Predict votes, hours, money and accuracy of a labelling plan, and say what to change."""
    from dataclasses import asdict

    from plaudit.config import apply_overrides, make_config, read_yaml
    from plaudit.feedback.labelling.advice import advise
    from plaudit.feedback.labelling.plan import LabellingPlan, predict

    values = apply_overrides(read_yaml(config) if config else {}, overrides or [])
    plan = make_config(LabellingPlan, values, str(config or "feedback plan"))
    found = predict(plan, _pool(plan, raters, pilot, project))
    advice = advise(plan, found)
    if as_json:
        rows = [{key: _or_none(value) for key, value in asdict(one).items()} for one in found]
        print(json.dumps({"predictions": rows, "advice": advice}, indent=1, allow_nan=False))
        return
    _show_predictions(found)
    for line in advice:
        print(f"- {line}")


def _truths(items: Path | None, scorer: str) -> Truths:
    from plaudit.feedback.simulation import read_items, truths_of_items, truths_of_scorer

    if (items is None) == (not scorer):
        raise ValueError("give either --items FILE or --scorer package.module:name")
    if items is not None:
        return truths_of_items(read_items(items))
    from plaudit.scoring.functions import imported

    return truths_of_scorer(imported(scorer))


def _tokens(mix: Mix, tokens: Sequence[str] | None, store: str, project: str) -> Sequence[str]:
    from plaudit.feedback.simulation.joining import enrol

    if bool(tokens) == bool(store):
        raise ValueError("give either --token or --store")
    if tokens:
        return tokens
    if not project:
        raise ValueError("--project: needed with --store")
    opened = open_existing(store)
    try:
        return enrol(opened, project, mix)
    finally:
        opened.close()


def _pool(
    plan: LabellingPlan, raters: Path | None, pilot: str, project: str
) -> Sequence[RaterKind]:
    from plaudit.feedback.labelling.pilot import estimate_pool
    from plaudit.feedback.simulation import read_mix
    from plaudit.store import expect_project, standing

    if (raters is None) == (not pilot):
        raise ValueError("give either --raters FILE or --pilot STORE with --project")
    if project and raters is not None:
        raise ValueError(f"--project: {project}: of a pilot; the pool is that of --raters")
    if raters is not None:
        return list(read_mix(raters).each())
    if not project:
        raise ValueError("--project: needed with --pilot")
    store = open_existing(pilot)
    try:
        expect_project(store, project)
        found = estimate_pool(standing(store, project), plan.gap, plan.confidence)
    finally:
        store.close()
    low, noise, high = found.noise
    typer.echo(
        f"pilot: {found.raters} raters, {found.items} items with two votes or more; they agree on "
        f"{found.agreement.point:.3f}, so their noise is {noise:.2f} ({low:.2f} to {high:.2f})",
        err=True,
    )
    return found.kinds()


def _show_tallies(tallies: Sequence[Tally], took_seconds: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("kind", "raters", "judgments", "skipped", "undone", "drafts", "refused"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, count in Counter(one.kind for one in tallies).items():
        of_kind = [one for one in tallies if one.kind == kind]
        sums = (
            sum(len(one.acknowledged) for one in of_kind),
            sum(one.skipped for one in of_kind),
            sum(one.undone for one in of_kind),
            sum(one.drafts for one in of_kind),
            sum(len(one.refused) for one in of_kind),
        )
        table.add_row(kind, str(count), *(str(number) for number in sums))
    Console().print(table)
    total = sum(len(one.acknowledged) for one in tallies)
    print(f"{total} judgments in {took_seconds:.1f} s, {total / took_seconds:.1f} a second")


def _show_predictions(found: Sequence[Prediction]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = (
        "overlap", "consensus right", "reward right", "pairs", "pairs, to be sure", "votes",
        "price", "hours", "raters",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(
            one.overlap, _interval(one.consensus_accuracy), _interval(one.reward_accuracy),
            f"{one.pairs:,.0f}", f"{one.pairs_for_sure:,.0f}", f"{one.votes:,.0f}",
            f"{one.price:,.2f}", f"{one.hours:,.1f}", f"{one.raters:,.0f}",
        )  # fmt: skip
    Console().print(table)


def _or_none(value: Any) -> Any:
    """JSON knows no infinity: pairs that no number of is enough."""
    return None if value == float("inf") else value


def _interval(interval: Sequence[float]) -> str:
    low, point, high = interval
    return f"{point:.3f} ({low:.3f} to {high:.3f})"

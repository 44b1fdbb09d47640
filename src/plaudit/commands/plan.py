"""``plaudit plan``: what a recipe will hold, compute, take and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.commands.recipe_files import recipe_path
from plaudit.runtime import prepare_process, quiet


def plan_recipe(
    target: Annotated[str, typer.Argument(help="A recipe's file, one that ships, or a stage.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Laid over the file's: a stage's options as key=value, a recipe's as "
            "variables.NAME=value or steps.NAME.OPTION=value."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of a stage's options.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu (this machine), h100, a100-80, l40s, ...")] = (
        "cpu"
    ),
    gpus: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    sharding: Annotated[str, typer.Option(help="none or fsdp.")] = "none",
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Of one device, in any currency.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Of each data set that cannot be read here.")
    ] = None,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean of a prompt, where not known.")
    ] = None,
    response_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean of a response, where not known.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the arithmetic.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Predict memory, tokens, FLOPs, time and cost of every step, before anything runs."""
    from plaudit.planning import Asked, Stated, is_stage, show_plan, step_of_stage, steps_of_recipe
    from plaudit.planning.devices import HERE

    quiet()
    prepare_process()
    stage = is_stage(target)
    if config is not None and not stage:
        raise ValueError(f"--config: {target} is a recipe; only a stage's options have a file")
    given = overrides or []
    steps = (
        step_of_stage(target, given, config)
        if stage
        else steps_of_recipe(recipe_path(target), given)
    )
    stated = Stated(rows=rows, prompt_tokens=prompt_tokens, response_tokens=response_tokens)
    asked = Asked(
        device=device, gpus=gpus, sharding=sharding,
        price_per_hour=price_per_hour, stated=stated, explain=explain, as_json=as_json,
    )  # fmt: skip
    if device == HERE:
        typer.echo(
            "timing a few layers of each model on this machine; large ones take minutes "
            "(--device h100 reckons on paper)",
            err=True,
        )
    show_plan(steps, asked)

"""The ``plaudit`` command: one command a stage, and ``run`` for a recipe.

Nothing heavy is imported before a stage is asked for. Exit codes: 0 done, 1 the run failed,
2 the user's mistake (one line, no traceback), 130 interrupted. What is neither keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand

import plaudit
from plaudit.catalogue import CATALOGUE
from plaudit.commands import feedback
from plaudit.commands.collect import collect
from plaudit.commands.initial import init
from plaudit.commands.options_table import options_table
from plaudit.commands.plan import plan_recipe
from plaudit.commands.recipe_files import SHIPPED, Overrides, recipe_path
from plaudit.mistakes import explain
from plaudit.runtime import prepare_process, quiet

app = typer.Typer(
    name="plaudit",
    help="Teach language models from feedback: reward, optimise, evaluate, report.",
    epilog="Begin with: plaudit run demo, or for your own model and data: plaudit init",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")]


class StageCommand(TyperCommand):
    """A command whose help lists every option of its stage."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from plaudit.pipeline import stage_module

        super().format_help(ctx, formatter)
        assert self.name is not None
        quiet()
        Console().print(options_table(self.name, stage_module(self.name).CONFIG))


def _stage_command(stage: str) -> None:
    # What begins with a dash comes through, for `_stage_options` to say what was meant.
    @app.command(
        stage,
        cls=StageCommand,
        help=CATALOGUE[stage].summary,
        context_settings={"ignore_unknown_options": True},
    )
    def command(
        overrides: Overrides = None,
        config: Annotated[
            Path | None, typer.Option("--config", "-c", help="YAML file of options.")
        ] = None,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", help="Directory to write.")
        ] = None,
        dry_run: DryRun = False,
    ) -> None:
        run_stage(stage, overrides or [], config, output, dry_run)


for _stage in CATALOGUE:
    _stage_command(_stage)


@app.command("run")
def run_recipe(
    recipe: Annotated[
        str, typer.Argument(help=f"A recipe's file, or one that ships: {', '.join(SHIPPED)}.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="variables.NAME=value, steps.NAME.OPTION=value, output=DIR or jobs=N."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run a recipe: skip the steps that are done, resume the one that was cut off."""
    from plaudit.pipeline import plan, read_recipe, run

    quiet()
    read = read_recipe(recipe_path(recipe), overrides or [])
    if dry_run:
        print(f"Steps of {read.output}")
        Console().print(_plan_table(read, plan(read)))
        return
    if read.jobs == 1:
        prepare_process()
    for step, artifact, before in run(read):
        state = "already done" if before else f"{artifact.seconds:.1f} s"
        print(f"{step.name}: {state}, {artifact.path}")
    for name in read.publish:
        print(f"wrote {read.output / name}")


app.command("plan")(plan_recipe)
app.command("init")(init)
app.command("collect")(collect)
app.add_typer(feedback.app)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        print(plaudit.__version__)
        raise typer.Exit


def run_stage(
    stage: str, overrides: list[str], config: Path | None, output: Path | None, dry_run: bool
) -> None:
    """Resolve one stage's options and run it.

    Raises:
        ValueError: an option is wrong, or no output was named.
    """
    from plaudit.artifacts import check_output, is_done
    from plaudit.config import make_config
    from plaudit.pipeline import stage_module

    values = _stage_options(stage, overrides, config)
    if output is None and not dry_run:
        raise ValueError(f"--output: required, but not given; for example --output runs/{stage}")
    quiet()
    module = stage_module(stage)
    resolved = make_config(module.CONFIG, values, str(config or stage))
    if output is None or dry_run:
        print(resolved.model_dump_json(indent=2))
        return
    inputs = module.inputs(resolved)
    check_output(output, stage=stage, inputs=inputs)
    if is_done(output, stage=stage, config=resolved.model_dump(mode="json"), inputs=inputs):
        print(f"{output}: already done")
        return
    prepare_process()
    artifact = module.run(resolved, output)
    Console().print_json(data=artifact.metrics)
    print(f"{artifact.seconds:.1f} s, {artifact.path}")


def main() -> None:
    """The command's entry point."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:
            _fail("interrupted; the same command goes on from the last checkpoint", 130)
        raise
    except Exception as error:
        if explanation := explain(error):
            _fail(*explanation)
        raise


def _fail(message: str, code: int) -> None:
    print(f"plaudit: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _stage_options(stage: str, overrides: list[str], config: Path | None) -> dict[str, Any]:
    from plaudit.config import apply_overrides, read_yaml

    if config is None and not overrides:
        raise ValueError(
            f"{stage}: no options given; expected plaudit {stage} --output DIR with key=value or "
            f"--config FILE (plaudit {stage} --help lists every option)"
        )
    for dashed in (word for word in overrides if word.startswith("-")):
        key = dashed.partition("=")[0].lstrip("-").replace("-", "_")
        raise ValueError(
            f"{dashed}: no such option; the command's own are --config, --output and --dry-run, "
            f"the stage's are key=value, such as {key}=... (plaudit {stage} --help lists them)"
        )
    values = apply_overrides(read_yaml(config) if config else {}, overrides)
    if "steps" in values:
        raise ValueError(f"{config or stage}: steps: this is a recipe; use plaudit run")
    if "output" in values:
        raise ValueError(f"{config or stage}: output: no option; use --output {values['output']}")
    return values


def _plan_table(recipe: Any, states: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("step", "stage", "will", "after"):
        table.add_column(column, overflow="fold")
    words = {"done": "skip (done)", "resume": "resume", "run": "run"}
    for step in recipe.steps:
        table.add_row(step.name, step.stage, words[states[step.name]], ", ".join(step.after))
    return table

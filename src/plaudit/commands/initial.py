"""``plaudit init``: a starter recipe for one's own model and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plaudit.commands.recipe_files import RECIPES, TEMPLATE


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("recipe.yaml"),
    model: Annotated[str, typer.Option(help="Your model: a path or a hub's org/name.")] = (
        "Qwen/Qwen3-0.6B"
    ),
    demonstrations: Annotated[
        str, typer.Option(help="Your demonstrations: a file or a hub's org/name.")
    ] = "sft.jsonl",
    preferences: Annotated[
        str, typer.Option(help="Your preferences: a file or a hub's org/name.")
    ] = "preferences.jsonl",
) -> None:
    """Write a commented starter recipe for your own model and data."""
    from plaudit.artifacts import write_text

    if path.exists():
        raise ValueError(f"{path}: exists already; choose another name: plaudit init NAME.yaml")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: {path.parent} is no directory; make it first")
    named = {"model": model, "demonstrations": demonstrations, "preferences": preferences}
    template = (RECIPES / f"{TEMPLATE}.yaml").read_text(encoding="utf-8")
    write_text(path, _filled_in(template, named))
    print(f"wrote {path}; look through it, then: plaudit run {path} --dry-run")
    for missing in _not_there(named):
        print(f"still to come: {missing}")


def _filled_in(template: str, values: dict[str, str]) -> str:
    """The template with its places taken; a JSON string is YAML whatever stands in it."""
    import json

    for name, value in values.items():
        template = template.replace(f"<{name.upper()}>", json.dumps(value, ensure_ascii=False))
    return template


def _not_there(named: dict[str, str]) -> list[str]:
    from plaudit.formats import local_inputs

    missing = []
    for option, value in named.items():
        try:
            local_inputs(**{option: value})
        except ValueError as error:
            missing.append(str(error))
    return missing

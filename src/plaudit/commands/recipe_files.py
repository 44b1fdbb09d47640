"""Recipes by name: those that ship, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import plaudit

RECIPES = Path(plaudit.__file__).parent / "recipes"
TEMPLATE = "starter"

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Options as key=value, laid over the file's.")
]


def recipe_path(name: str) -> Path:
    """A recipe that ships, or a file.

    Raises:
        ValueError: there is neither.
    """
    ships = {file.stem: file for file in RECIPES.glob("*.yaml")}
    if name == TEMPLATE:
        raise ValueError(f"{name}: a template, filled in by plaudit init")
    path = ships.get(name, Path(name))
    if not path.exists():
        known = ", ".join(sorted(ships.keys() - {TEMPLATE})) or "none"
        raise ValueError(f"{name}: no such recipe file, and none of those that ship ({known})")
    return path

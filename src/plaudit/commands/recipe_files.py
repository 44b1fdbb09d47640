"""Recipes by name: those that ship, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import plaudit

RECIPES = Path(plaudit.__file__).parent / "recipes"
TEMPLATE = "starter"
SHIPPED = sorted(file.stem for file in RECIPES.glob("*.yaml") if file.stem != TEMPLATE)

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Options as key=value, laid over the file's.")
]


def recipe_path(name: str) -> Path:
    """A recipe that ships, or a file.

    Raises:
        ValueError: there is neither.
    """
    if name == TEMPLATE:
        raise ValueError(f"{name}: a template, filled in by plaudit init")
    path = RECIPES / f"{name}.yaml" if name in SHIPPED else Path(name)
    if not path.exists():
        known = ", ".join(SHIPPED)
        raise ValueError(f"{name}: no such recipe file, and none of those that ship ({known})")
    return path

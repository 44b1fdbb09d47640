"""The floors hold, every module imports, and no room has a name that explains nothing."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import plaudit

SOURCE = Path(plaudit.__file__).parent


def modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages([str(SOURCE)], "plaudit.")]


def test_every_module_imports():
    found = modules()
    assert len(found) > 60
    for name in found:
        if name != "plaudit.__main__":
            importlib.import_module(name)


def test_the_floors_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([str(lint)], cwd=SOURCE.parents[1], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_names_explain():
    names = {part for name in modules() for part in name.split(".")}
    assert not names & {"utils", "util", "common", "helper", "helpers", "manager", "misc"}


def test_every_module_says_what_it_is():
    for name in modules():
        if name != "plaudit.__main__":
            assert (importlib.import_module(name).__doc__ or "").strip(), name

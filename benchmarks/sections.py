"""Sections of RESULTS.md, each written by the program that measured it. Standard library only."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def write_section(file: Path, name: str, text: str) -> None:
    """Write the section of that name anew, at the end where there is none; the rest stays."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = file.read_text(encoding="utf-8") if file.is_file() else ""
    before, _, rest = old.partition(begin)
    after = rest.partition(end)[2]
    parts = [before.rstrip("\n"), "", f"{begin}\n{text}\n{end}"]
    parts += ["", after.strip("\n")] if after.strip("\n") else []
    file.write_text("\n".join(parts).strip("\n") + "\n", encoding="utf-8")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = "|---" * len(columns) + "|"
    return "\n".join([line(columns), rule, *map(line, rows)])


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine(gpu: str = "") -> str:
    """What ran it, in words."""
    libraries = [f"{name} {_version(name)}" for name in ("torch", "transformers")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    host = f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    return "; ".join(filter(None, [gpu, host, ", ".join(libraries)]))


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"

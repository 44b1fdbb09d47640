"""From what the sides reported to the table of RESULTS.md. Standard library only."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- suite -->", "<!-- end of suite -->"
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}
"""By which first-step losses may differ, relative to their size (absolutely, below 1)."""
COLUMNS = (
    "case", "Plaudit", "peer", "ratio", "tokens/s", "peer's", "utilisation", "peer's",
    "peak MB", "peer's", "memory", "peer is",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """The reports of one case, a repeat after another."""

    case: str
    precision: str
    sampled: bool
    """Whether the policy samples what is learned from."""
    peer: str
    """Which, and how it is set; empty where there is none to compare with."""
    ours: Sequence[dict[str, Any]]
    theirs: Sequence[dict[str, Any]]
    peaks: Sequence[float]
    """TFLOP/s of a matrix product in the case's precision."""

    def line(self) -> str:
        """The table's line: medians, and the median of the repeats' ratios."""
        rate, tokens = "examples_per_s", "tokens_per_s"
        cells = [self.case, _number(median(self.ours, rate))]
        if not self.theirs:
            use = _percent(self.utilisation(self.ours))
            memory = _number(median(self.ours, "peak_rss_mb"))
            ours = [*cells, "", "", _number(median(self.ours, tokens)), "", use, "", memory]
            return _line([*ours, "", "", ""])
        ratios = [_number(median(self.theirs, rate)), f"{ratio(self.ours, self.theirs, rate):.2f}"]
        pairs = [_number(median(side, tokens)) for side in (self.ours, self.theirs)]
        used = [_percent(self.utilisation(side)) for side in (self.ours, self.theirs)]
        memory = [_number(median(side, "peak_rss_mb")) for side in (self.ours, self.theirs)]
        share = f"{ratio(self.ours, self.theirs, 'peak_rss_mb'):.2f}"
        return _line([*cells, *ratios, *pairs, *used, *memory, share, self.peer])

    def utilisation(self, side: Sequence[dict[str, Any]]) -> float:
        """The least arithmetic the work needs in a second, by the peak of the same repeat."""
        shares = [s["least_tflop_per_s"] / p for s, p in zip(side, self.peaks, strict=True)]
        return statistics.median(shares)


def median(side: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(report[name] for report in side)


def ratio(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], name: str) -> float:
    """The median of the repeats' ratios: what slows the machine slows both sides of one."""
    return statistics.median(a[name] / b[name] for a, b in zip(ours, theirs, strict=True))


def differing(row: Row) -> str:
    """How the first losses differ by more than the tolerance; empty where they agree.

    What a policy samples is drawn apart on each side: of such tasks only the first step's loss is
    compared, which is 0 whatever was sampled.
    """
    steps = 1 if row.sampled else None
    for ours, theirs in zip(row.ours, row.theirs, strict=True):
        for a, b in zip(ours["first_losses"][:steps], theirs["first_losses"][:steps], strict=True):
            if not abs(a - b) <= TOLERANCE[row.precision] * max(1.0, abs(b)):
                return f"first losses are {a:.6g} and {b:.6g}: the sides do not learn the same"
    return ""


def write_section(file: Path, rows: Sequence[Row], faults: Sequence[str], log: Path) -> None:
    """Write the suite's section anew; the rest of the file stays."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [
        before.rstrip("\n"),
        "",
        f"{BEGIN}\n{section(rows, faults, log)}\n{END}",
        after.strip("\n"),
    ]
    file.write_text("\n".join(parts).strip("\n") + "\n", encoding="utf-8")


def section(rows: Sequence[Row], faults: Sequence[str], log: Path) -> str:
    """Machine, table, and the cases that failed."""
    lines = ["## Side by side", ""]
    if rows:
        lines += [_about(rows, log), "", _line(COLUMNS), "|---" * len(COLUMNS) + "|"]
        lines += [row.line() for row in rows]
    if faults:
        lines += ["", "Failed:", "", *(f"- {fault}" for fault in faults)]
    return "\n".join(lines)


def _about(rows: Sequence[Row], log: Path) -> str:
    """What is to be known of the table."""
    first = rows[0].ours[0]["settings"]
    data = first["data"]
    found = {
        name: [p for row in rows if row.precision == name for p in row.peaks] for name in TOLERANCE
    }
    peaks = [f"{name} {statistics.median(some):.2f}" for name, some in found.items() if some]
    within = [f"{share:g} in {name}" for name, share in TOLERANCE.items()]
    return (
        f"`make bench`. {machine()}; {first['threads']} threads. Medians of {len(rows[0].ours)}; "
        "the sides take turns, and ratios are medians of those within a turn.\n"
        f"Matrix peak measured in the same run: {', '.join(peaks)} TFLOP/s. Data: "
        f"{data['source']}, short prompts of {data['prompt_tokens']:.0f} tokens and responses of "
        f"{data['response_tokens']:.0f} on average ({data['rows']} pairs).\n"
        f"Losses of the first steps agree to {', '.join(within)}. Settings and every single run: "
        f"`{log.name}`."
    )


def machine() -> str:
    """What ran it, in words."""
    libraries = [f"{name} {_version(name)}" for name in ("torch", "transformers", "trl")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {', '.join(libraries)}"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(in an environment of its own)"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"

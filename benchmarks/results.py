"""From what the sides reported to the table of RESULTS.md. Standard library only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sections import machine, table

TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}
"""By which first-step losses may differ, relative to their size (absolutely, below 1)."""
STANDARD_ERRORS = 4
"""By which the mean rewards of what the two sides sampled may differ."""
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

    @property
    def memory(self) -> str:
        """The peak that is shown: the device's own, where there is one."""
        return "peak_device_mb" if "peak_device_mb" in self.ours[0] else "peak_rss_mb"

    def cells(self) -> list[str]:
        """The table's line: medians, and the median of the repeats' ratios."""
        rate, tokens = "examples_per_s", "tokens_per_s"
        cells = [self.case, _number(median(self.ours, rate))]
        if not self.theirs:
            use = _percent(self.utilisation(self.ours))
            memory = _number(median(self.ours, self.memory))
            ours = [*cells, "", "", _number(median(self.ours, tokens)), "", use, "", memory]
            return [*ours, "", "", ""]
        ratios = [_number(median(self.theirs, rate)), f"{ratio(self.ours, self.theirs, rate):.2f}"]
        pairs = [_number(median(side, tokens)) for side in (self.ours, self.theirs)]
        used = [_percent(self.utilisation(side)) for side in (self.ours, self.theirs)]
        memory = [_number(median(side, self.memory)) for side in (self.ours, self.theirs)]
        share = f"{ratio(self.ours, self.theirs, self.memory):.2f}"
        return [*cells, *ratios, *pairs, *used, *memory, share, self.peer]

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
    """How the sides differ by more than the tolerance; empty where they learn the same, or where
    there is one alone.

    What a policy samples is drawn apart on each side, so that of such tasks only the first step is
    compared: its loss, which is 0 whatever was sampled; or, of several epochs, whose mean loss is
    not, the KL to the reference, which is 0 too, and the rewards, which have one mean.
    """
    for ours, theirs in zip(row.ours, row.theirs, strict=bool(row.theirs)):
        if "first_rewards" in theirs:
            fault = _differing_samples(row, ours, theirs)
        else:
            fault = _differing_losses(row, ours, theirs)
        if fault:
            return f"{fault}: the sides do not learn the same"
    return ""


def _differing_losses(row: Row, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    steps = 1 if row.sampled else None
    for a, b in zip(ours["first_losses"][:steps], theirs["first_losses"][:steps], strict=True):
        if not abs(a - b) <= TOLERANCE[row.precision] * max(1.0, abs(b)):
            return f"first losses are {a:.6g} and {b:.6g}"
    return ""


def _differing_samples(row: Row, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    a, b = ours["first_kl"], theirs["first_kl"]
    if not max(abs(a), abs(b)) <= TOLERANCE[row.precision]:
        return f"the first step's KL to the reference is {a:.3g} and {b:.3g} nats a token"
    a, b = ours["first_rewards"], theirs["first_rewards"]
    means = statistics.mean(a), statistics.mean(b)
    error = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    if not abs(means[0] - means[1]) <= STANDARD_ERRORS * error:
        return f"the first step's rewards are {means[0]:.3g} and {means[1]:.3g} on average"
    return ""


def section(title: str, rows: Sequence[Row], faults: Sequence[str], log: Path) -> str:
    """Machine, table, and the cases that failed."""
    lines = [f"## {title}", ""]
    if rows:
        lines += [_about(rows, log), "", table(COLUMNS, [row.cells() for row in rows])]
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
        f"{machine(first['gpu'])}; {first['threads']} threads. Medians of {len(rows[0].ours)}; "
        "the sides take turns, and ratios are medians of those within a turn.\n"
        f"Matrix peak measured in the same run: {', '.join(peaks)} TFLOP/s. Data: "
        f"{data['source']}, short prompts of {data['prompt_tokens']:.0f} tokens and responses of "
        f"{data['response_tokens']:.0f} on average ({data['rows']} pairs).\n"
        f"Losses of the first steps agree to {', '.join(within)}. Settings and every single run: "
        f"`{log.name}`."
    )


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"

"""Line charts as SVG that takes the page's own text colour, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("svg")
from matplotlib.figure import Figure

COLOURS = ("#3b7dd8", "#e07b39", "#4aa564", "#a568c4", "#c9a227", "#7f8c8d")
_INK = "#000000"


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]], *, label: str, smooth_steps: int = 0
) -> str:
    """Lines over steps, as one ``<svg>`` element.

    Args:
        series: points (step, value) by name.
        label: what the values are, with their unit.
        smooth_steps: draw a running mean over this many steps, the values themselves faintly.
    """
    figure = Figure(figsize=(4.6, 2.5), layout="constrained")
    axes = figure.add_subplot()
    for (name, points), colour in zip(series.items(), _cycled(len(series)), strict=True):
        steps, values = [x for x, _ in points], [y for _, y in points]
        if smooth_steps > 1:
            axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
            values = running_mean(values, smooth_steps)
        axes.plot(steps, values, color=colour, label=name, linewidth=1.8)
    axes.set_xlabel("step")
    axes.set_title(label, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return svg_of(figure)


def running_mean(values: Sequence[float], steps: int) -> list[float]:
    """The mean of each value and those before it, ``steps`` in all where there are as many."""
    means = []
    for i in range(len(values)):
        window = values[max(0, i - steps + 1) : i + 1]
        means.append(sum(window) / len(window))
    return means


def _cycled(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def svg_of(figure: Figure) -> str:
    """Text stays text, nothing carries a time stamp, and ink is the page's."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "plaudit"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    # Text without a colour of its own would be black on any page.
    svg = re.sub(r"<text ", '<text fill="currentColor" ', svg)
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r'\1 width="100%"', svg, count=1)

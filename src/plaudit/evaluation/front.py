"""front: the Pareto front of a soup, drawn.

Reads the artifact of the soup stage. Writes ``front.svg`` and ``front.png``, two rewards against
each other with their intervals, and ``front.json``, the soups that no other betters.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from plaudit.artifacts import Artifact, Draft, read_artifact, write_json, write_text
from plaudit.config import Config, nearest
from plaudit.evaluation.charts import COLOURS, svg_of
from plaudit.formats import local_inputs

SOUPS, FRONT, ANCESTOR = COLOURS[0], COLOURS[1], COLOURS[5]


class FrontConfig(Config):
    """Options of ``plaudit front``."""

    soup: str
    """The artifact of the soup stage."""
    rewards: list[str] = Field(default=[])
    """The two rewards to draw, across and upwards; the first two where not said."""
    title: str = ""
    """The drawing's headline."""


CONFIG = FrontConfig


def inputs(config: FrontConfig) -> dict[str, Path]:
    return local_inputs(soup=config.soup)


def run(config: FrontConfig, output: Path) -> Artifact:
    artifact = read_artifact(Path(config.soup))
    if artifact is None or artifact.record["stage"] != "soup":
        raise ValueError(f"soup: {config.soup} is not the artifact of a soup stage")
    found = json.loads((artifact.path / "soups.json").read_text(encoding="utf-8"))
    across, upwards = _axes(config, list(found["soups"][0]["rewards"]))
    figure = draw(found, across, upwards, title=config.title)
    draft = Draft.open(
        output, stage="front", config=config.model_dump(mode="json"), inputs=inputs(config)
    )
    write_text(draft.path / "front.svg", svg_of(figure))
    figure.savefig(draft.path / "front.png", dpi=160, metadata={"Software": None})
    front = [row for row in found["soups"] if row["on_front"]]
    write_json(draft.path / "front.json", {"axes": [across, upwards], "front": front})
    return draft.finish({"soups": len(found["soups"]), "on_front": len(front)})


def draw(found: dict[str, Any], across: str, upwards: str, *, title: str = "") -> Figure:
    """Soups as points joined in the order of their shares, those on the front filled."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axes = figure.add_subplot()
    rows = found["soups"]
    if len(rows[0]["shares"]) == 2:
        points = np.array([[row["rewards"][r][1] for r in (across, upwards)] for row in rows])
        axes.plot(points[:, 0], points[:, 1], color=SOUPS, linewidth=1, alpha=0.5)
    for row in rows:
        colour = FRONT if row["on_front"] else SOUPS
        _point(axes, row["rewards"], across, upwards, colour)
        label = " ".join(f"{share:.2g}" for share in row["shares"].values())
        x, y = row["rewards"][across][1], row["rewards"][upwards][1]
        axes.annotate(label, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=7)
    if "ancestor" in found:
        _point(axes, found["ancestor"]["rewards"], across, upwards, ANCESTOR, label="ancestor")
    axes.scatter([], [], color=FRONT, label="on the front")
    axes.scatter([], [], color=SOUPS, label=f"soups, by shares of {', '.join(rows[0]['shares'])}")
    axes.legend(frameon=False, fontsize=7)
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure


def _point(
    axes: Axes, rewards: dict[str, list[float]], across: str, upwards: str, colour: str, **more: Any
) -> None:
    """A mean with its interval in both directions."""
    (x_low, x, x_high), (y_low, y, y_high) = rewards[across], rewards[upwards]
    axes.errorbar(
        x, y, xerr=[[x - x_low], [x_high - x]], yerr=[[y - y_low], [y_high - y]],
        fmt="o", color=colour, markersize=5, elinewidth=0.7, alpha=0.9, **more,
    )  # fmt: skip


def _axes(config: FrontConfig, names: list[str]) -> tuple[str, str]:
    chosen = config.rewards or names[:2]
    if len(chosen) != 2:
        raise ValueError(
            f"rewards: a drawing has two axes, but {len(chosen)} were given; the soup was scored "
            f"under {', '.join(names)}"
        )
    for name in chosen:
        if name not in names:
            raise ValueError(f"rewards: the soup was not scored under {name}{nearest(name, names)}")
    return chosen[0], chosen[1]

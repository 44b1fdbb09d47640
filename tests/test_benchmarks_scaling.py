"""Trees as they grow: points measured on a toy, and costs by the ideal from given seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling import Costs, Point
from benchmarks.workload import MODELS, Lengths

TOY = MODELS["toy"]
SMALL, LARGE = Point(8, 4, 1), Point(8, 4, 4)


def test_tokens_of_separate_rows_by_those_of_the_tree() -> None:
    assert Point(256, 32, 8).ideal_ratio == 8 * 288 / (256 + 8 * 32) == 4.5
    assert Point(256, 32, 1).ideal_ratio == 1.0
    assert LARGE.lengths == Lengths(8, (4, 4, 4, 4))


def test_the_cheapest_point_is_the_ideal() -> None:
    costs = Costs(TOY)
    costs.trees[SMALL] = [2 * costs.flops(SMALL), 9 * costs.flops(SMALL), 1 * costs.flops(SMALL)]
    costs.trees[LARGE] = [3 * costs.flops(LARGE)] * 3
    assert costs.of_ideal() == pytest.approx({SMALL: 1.0, LARGE: 1.5})


def test_ratios_are_within_repeats() -> None:
    costs = Costs(TOY, trees={SMALL: [1.0, 10.0, 2.0]}, rows={SMALL: [2.0, 30.0, 2.0]})
    assert costs.ratio(SMALL) == 2.0


def test_points_are_measured_shown_and_drawn(tmp_path: Path) -> None:
    costs = scaling.measure(TOY, "float32", repeats=2, points=[SMALL, LARGE])
    assert {point: len(found) for point, found in costs.trees.items()} == {SMALL: 2, LARGE: 2}
    assert min(costs.of_ideal().values()) == 1.0
    text = scaling.section(costs, "toy")
    assert "| 8 | 4 | 4 | 24 |" in text and "of 2 points are within 1.25" in text
    figure = scaling.plot(costs, {"responses": [SMALL, LARGE], "prompt": [SMALL]})
    figure.savefig(tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")

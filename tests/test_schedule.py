"""The learning rate's factor, step by step, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from plaudit.learning.optimiser import Schedule, schedule_factor


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_warm_up_rises_to_the_peak(kind: Schedule):
    factors = [schedule_factor(kind, s, total_steps=12, warmup_steps=4) for s in range(5)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


@pytest.mark.parametrize(
    ("kind", "by_step"),
    [
        ("constant", {0: 1.0, 7: 1.0, 100: 1.0}),
        ("linear", {0: 1.0, 2: 0.75, 4: 0.5, 7: 0.125, 8: 0.0, 100: 0.0}),
        ("cosine", {0: 1.0, 2: 0.868198, 4: 0.55, 6: 0.231802, 8: 0.1, 100: 0.1}),
    ],
)
def test_after_warm_up(kind: Schedule, by_step: dict[int, float]):
    for step, factor in by_step.items():
        plain = schedule_factor(kind, step, total_steps=8, warmup_steps=0)
        warmed = schedule_factor(kind, step + 4, total_steps=12, warmup_steps=4)
        assert plain == pytest.approx(factor, abs=1e-6)
        assert warmed == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_a_warm_up_as_long_as_the_run_has_no_decay(kind: Schedule):
    factors = [schedule_factor(kind, s, total_steps=2, warmup_steps=2) for s in range(2)]
    assert factors == pytest.approx([0.5, 1.0])

"""The plan of a recipe: what each step will hold, compute, take and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plaudit.pipeline import Step
from plaudit.planning.arithmetic import phase_flops
from plaudit.planning.calibration import MeasuredClock
from plaudit.planning.data import Stated
from plaudit.planning.devices import Placement
from plaudit.planning.known import Known
from plaudit.planning.memory import Memory, peak_memory
from plaudit.planning.stages import work_of
from plaudit.planning.timing import Clock, PaperClock
from plaudit.planning.work import Phase, Work


@dataclass(frozen=True, kw_only=True, slots=True)
class PhasePlan:
    """One kind of pass of a step."""

    phase: Phase
    flops: float
    """Of a call."""
    seconds: float | None
    """Of a call; None where it was not timed."""

    def over_all(self, quantity: float | None) -> float | None:
        calls = self.phase.calls
        return None if calls is None or quantity is None else quantity * calls


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """What is predicted of one step; of what it does not reckon it says nothing."""

    name: str
    stage: str
    work: Work | None
    """None where the stage computes with no model, or is not reckoned."""
    memory: Memory | None = None
    fits: bool = True
    phases: tuple[PhasePlan, ...] = ()
    unknown: str = ""
    """Why the step is not reckoned."""

    @property
    def tokens(self) -> float | None:
        return _total(p.over_all(p.phase.tokens) for p in self.phases)

    @property
    def flops(self) -> float | None:
        return _total(p.over_all(p.flops) for p in self.phases)

    @property
    def seconds(self) -> float | None:
        """Loading, tokenising, checkpoints and saving are not in it."""
        return _total(p.over_all(p.seconds) for p in self.phases)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The plans of all steps, and what they were made for."""

    steps: tuple[StepPlan, ...]
    placement: Placement
    times: str
    """Where the times are from."""
    price_per_hour: float | None = None
    """Of one device."""

    def cost(self, seconds: float | None) -> float | None:
        if seconds is None or self.price_per_hour is None:
            return None
        return seconds / 3600 * self.price_per_hour * self.placement.gpus


def plan_steps(
    steps: tuple[Step, ...],
    placement: Placement,
    *,
    stated: Stated | None = None,
    price_per_hour: float | None = None,
) -> Plan:
    """Predict every step.

    Raises:
        ValueError: a model's sizes cannot be known, or data cannot be read.
    """
    known = Known(steps=steps, stated=stated or Stated(), on_cpu=placement.measured)
    clock: Clock = MeasuredClock() if placement.measured else PaperClock(placement)
    return Plan(
        steps=tuple(_step(step, known, placement, clock) for step in steps),
        placement=placement,
        times=clock.said,
        price_per_hour=price_per_hour,
    )


def _step(step: Step, known: Known, placement: Placement, clock: Clock) -> StepPlan:
    try:
        work = work_of(step.stage, step.config, known)
    except ValueError as error:
        raise ValueError(f"{step.name}: {error}") from error
    if work is None:
        return StepPlan(name=step.name, stage=step.stage, work=None, unknown="not reckoned")
    memory = peak_memory(work, placement)
    fits = memory.peak_bytes <= placement.device.usable_bytes
    # To time here what does not fit here would take the very memory that is missing.
    timed = clock if fits or not placement.measured else None
    return StepPlan(
        name=step.name,
        stage=step.stage,
        work=work,
        memory=memory,
        fits=fits,
        phases=tuple(_phases(work, timed)),
    )


def _phases(work: Work, clock: Clock | None) -> Iterator[PhasePlan]:
    for phase in work.phases:
        seconds = clock.seconds(phase, work.precision) if clock else None
        yield PhasePlan(phase=phase, flops=phase_flops(phase), seconds=seconds)


def _total(found: Iterator[float | None]) -> float | None:
    """Unknown where a part is."""
    parts = list(found)
    return None if None in parts else sum(part for part in parts if part is not None)

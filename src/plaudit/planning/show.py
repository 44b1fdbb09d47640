"""A plan for people to read, and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from plaudit.planning.advice import Way
from plaudit.planning.memory import Memory, counted
from plaudit.planning.plan import PhasePlan, Plan, StepPlan

UNKNOWN = "unknown"


def table(plan: Plan) -> Table:
    """One row a step, and the totals."""
    found = Table(title=_heading(plan), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    columns = ["step", "model", "memory", "fits", "tokens", "FLOPs", "time"]
    columns += ["cost"] if plan.price_per_hour is not None else []
    for column in columns:
        left = column in ("step", "model")
        found.add_column(column, justify="left" if left else "right", overflow="fold")
    for step in plan.steps:
        found.add_row(*_row(plan, step), end_section=step is plan.steps[-1])
    found.add_row(*_totals(plan), style="bold")
    return found


def explanation(step: StepPlan) -> Iterator[str]:
    """Where a step's figures come from, line by line."""
    yield f"{step.name} ({step.stage})"
    if step.work is None or step.memory is None:
        yield f"  {step.unknown}: it computes with no model, or is not planned yet"
        return
    for model in step.work.models:
        count = counted(model.shape.counted(model.head))
        sizes = f"{count} parameters ({model.shape.said})"
        kind = f"adapters of rank {model.lora_r}" if model.lora_r else "all weights"
        learned = f"learns {kind}" if model.trained else "frozen"
        yield f"  {model.role}: {model.shape.name}, {sizes}, {learned}"
    yield f"  data: {step.work.lengths.said}"
    yield f"  memory, at its peak during {step.memory.during}:"
    yield from (f"    {line}" for line in _memory_lines(step.memory))
    for phase in step.phases:
        yield f"  {_phase_line(phase)}"
    if any(phase.seconds is None for phase in step.phases):
        yield "  time: not measured, for the step does not fit here"
    yield from (f"  note: {note}" for note in step.work.notes)


def missing(plan: Plan) -> Iterator[str]:
    """What is to be said for what is unknown to be known."""
    names = [step.name for step in plan.steps if step.work is not None and step.tokens is None]
    if names:
        yield f"unknown: how many rows {', '.join(names)} will have; say --rows N"


def ways_line(way: Way) -> str:
    """A way out, with the memory it gives."""
    fits = "fits" if way.fits else "does not fit either"
    return f"    {way.change}: {size(way.peak_bytes)}, {fits}"


def as_data(plan: Plan, ways: Mapping[str, Sequence[Way]]) -> dict[str, Any]:
    """Everything, for other programs to read; what is unknown is null.

    Args:
        ways: of each step that does not fit, by its name, what would change that.
    """
    all_steps = _together(plan)
    return {
        "device": plan.placement.device.name,
        "gpus": plan.placement.gpus,
        "sharding": plan.placement.sharding,
        "memory_bytes": plan.placement.device.memory_bytes,
        "times": plan.times,
        "steps": [_step_data(plan, step, ways.get(step.name, ())) for step in plan.steps],
        "all": all_steps._asdict(),
    }


def size(count: float) -> str:
    """Bytes, in units of 1000."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count / 1e3:.3g} kB"


def quantity(count: float | None) -> str:
    if count is None:
        return UNKNOWN
    for unit, name in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f}" if count >= 10 else f"{count:.2g}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"


def _heading(plan: Plan) -> str:
    placement = plan.placement
    many = f"{placement.gpus} x " if placement.gpus > 1 else ""
    cut = ", sharded (fsdp)" if placement.shards > 1 else ""
    each = f"{size(placement.device.memory_bytes)}{' each' if many else ''}"
    return f"Planned for {many}{placement.device.name} ({each}{cut})"


def _row(plan: Plan, step: StepPlan) -> list[str]:
    if step.work is None or step.memory is None:
        return [step.name, f"[dim]{step.unknown}[/]"]
    first = step.work.models[0].shape
    cost = plan.cost(step.seconds)
    return [
        step.name,
        f"{_short(first.name)} {counted(first.parameters).replace(' ', '')}",
        size(step.memory.peak_bytes),
        "yes" if step.fits else "[bold red]no[/]",
        quantity(step.tokens),
        quantity(step.flops),
        duration(step.seconds),
        *([UNKNOWN if cost is None else f"{cost:,.2f}"] if plan.price_per_hour is not None else []),
    ]


def _short(name: str) -> str:
    """A path's or a hub name's last part."""
    return name.rstrip("/").split("/")[-1]


class _Together(NamedTuple):
    """The steps that are reckoned, one after another; unknown where one of them is."""

    peak_bytes: float
    fits: bool
    tokens: float | None
    flops: float | None
    seconds: float | None
    cost: float | None


def _together(plan: Plan) -> _Together:
    steps = [step for step in plan.steps if step.work is not None]
    seconds = _sum([step.seconds for step in steps])
    return _Together(
        peak_bytes=max((step.memory.peak_bytes for step in steps if step.memory), default=0.0),
        fits=all(step.fits for step in steps),
        tokens=_sum([step.tokens for step in steps]),
        flops=_sum([step.flops for step in steps]),
        seconds=seconds,
        cost=plan.cost(seconds),
    )


def _totals(plan: Plan) -> list[str]:
    found = _together(plan)
    cost = UNKNOWN if found.cost is None else f"{found.cost:,.2f}"
    return [
        "all",
        "",
        size(found.peak_bytes),
        "yes" if found.fits else "no",
        quantity(found.tokens),
        quantity(found.flops),
        duration(found.seconds),
        *([cost] if plan.price_per_hour is not None else []),
    ]


def _sum(parts: list[float | None]) -> float | None:
    return None if None in parts else sum(part for part in parts if part is not None)


def _memory_lines(memory: Memory) -> Iterator[str]:
    width = max(len(line.what) for line in memory.lines)
    for line in memory.lines:
        yield f"{line.what:<{width}}  {size(line.bytes):>8}  {line.how}"
    yield f"{'together':<{width}}  {size(memory.peak_bytes):>8}"


def _phase_line(plan: PhasePlan) -> str:
    phase = plan.phase
    calls = "unknown times" if phase.calls is None else f"{quantity(phase.calls)} times"
    said = f"{phase.name}: {calls}, each {quantity(phase.tokens)} tokens"
    if phase.batches:
        said += f" in {len(phase.batches)} micro-batches"
    if phase.sampling is not None:
        said += f", {phase.sampling.active} at a time"
    return f"{said}, {quantity(plan.flops)} FLOPs, {duration(plan.seconds)}"


def _step_data(plan: Plan, step: StepPlan, ways: Sequence[Way]) -> dict[str, Any]:
    if step.work is None or step.memory is None:
        return {"step": step.name, "stage": step.stage, "planned": False, "why": step.unknown}
    return {
        "step": step.name,
        "stage": step.stage,
        "planned": True,
        "models": [
            {
                "role": model.role,
                "name": model.shape.name,
                "parameters": model.shape.counted(model.head),
                "learned": model.learned,
                "sizes_from": model.shape.said,
            }
            for model in step.work.models
        ],
        "data": {"rows": step.work.lengths.count, "from": step.work.lengths.said},
        "peak_bytes": step.memory.peak_bytes,
        "peak_during": step.memory.during,
        "memory": [line._asdict() for line in step.memory.lines],
        "fits": step.fits,
        "steps": step.work.steps,
        "tokens": step.tokens,
        "flops": step.flops,
        "seconds": step.seconds,
        "cost": plan.cost(step.seconds),
        "phases": [
            {
                "phase": one.phase.name,
                "calls": one.phase.calls,
                "tokens": one.phase.tokens,
                "flops": one.flops,
                "seconds": one.seconds,
            }
            for one in step.phases
        ],
        "notes": list(step.work.notes),
        "ways": [asdict(way) for way in ways],
    }

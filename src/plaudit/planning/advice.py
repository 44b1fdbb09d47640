"""Which setting to change: other settings, each with the memory it would give, by the same arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from plaudit.config import make_config
from plaudit.pipeline import Step
from plaudit.planning.devices import Placement
from plaudit.planning.memory import peak_memory
from plaudit.planning.stages import Known, work_of

ADAPTER_RANK = 16
LEAST_TOKENS = 256
LEAST_SLOTS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One change, and the peak of a device with it."""

    change: str
    peak_bytes: float
    fits: bool


def ways(step: Step, known: Known, placement: Placement) -> list[Way]:
    """Changes that lower a step's peak: settings one by one, all of them, and more devices."""
    singles = list(_settings(step, known, placement))
    found = [way for changes in singles if (way := _tried(step, known, placement, changes))]
    if len(singles) > 1:
        together = {k: v for changes in singles for k, v in changes.items()}
        found += filter(None, [_tried(step, known, placement, together)])
    sharded = [_fewest(step, known, placement, {})]
    if (adapted := {"lora_r": ADAPTER_RANK}) in singles:
        sharded.append(_fewest(step, known, placement, adapted))
    return [*found, *filter(None, sharded)]


def _settings(step: Step, known: Known, placement: Placement) -> Iterator[dict[str, Any]]:
    """Each setting lowered until the step fits or it can go no lower."""
    config: Any = step.config
    if getattr(config, "precision", "") == "float32":
        yield {"precision": "bfloat16"}
    if getattr(config, "lora_r", None) == 0:
        yield {"lora_r": ADAPTER_RANK}
    for name, least in (("micro_batch_tokens", LEAST_TOKENS), ("sampling_slots", LEAST_SLOTS)):
        value = getattr(config, name, 0)
        if value > least:
            yield {name: _lowered(step, known, placement, name, least)}


def _lowered(step: Step, known: Known, placement: Placement, name: str, least: int) -> int:
    value = max(least, getattr(step.config, name) // 2)
    while value > least:
        way = _tried(step, known, placement, {name: value})
        if way is None or way.fits:
            break
        value = max(least, value // 2)
    return value


def _fewest(step: Step, known: Known, placement: Placement, changes: dict[str, Any]) -> Way | None:
    """The smallest number of devices among which the step fits when sharded, in powers of two
    beyond a machine's eight."""
    if placement.measured:
        return None
    counts = [*range(2, 9), *(2**k for k in range(4, 11))]
    for gpus in counts:
        many = replace(placement, gpus=gpus, sharding="fsdp")
        way = _tried(step, known, many, changes)
        if way is not None and way.fits:
            said = "".join(f"{k}={v}, " for k, v in changes.items())
            return replace(way, change=f"{said}--sharding fsdp --gpus {gpus}, the fewest")
    return None


def _tried(step: Step, known: Known, placement: Placement, changes: dict[str, Any]) -> Way | None:
    """None where the stage has rules against the change."""
    try:
        values = step.config.model_dump(exclude_unset=True) | changes
        config = make_config(type(step.config), values, step.name)
    except ValueError:
        return None
    work = work_of(step.stage, config, known)
    assert work is not None, "a step that is reckoned stays so"
    peak = peak_memory(work, placement).peak_bytes
    return Way(
        change=", ".join(f"{k}={v}" for k, v in changes.items()),
        peak_bytes=peak,
        fits=peak <= placement.device.usable_bytes,
    )

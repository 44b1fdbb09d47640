"""Which setting to change: others, each with the memory it would give by the same arithmetic."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from plaudit.config import make_config
from plaudit.pipeline import Step
from plaudit.planning.devices import Placement
from plaudit.planning.known import Known
from plaudit.planning.memory import peak_memory
from plaudit.planning.stages import work_of

ADAPTER_RANK = 16
LEAST: Mapping[str, int] = {"micro_batch_tokens": 256, "sampling_slots": 4, "num_generations": 2}
"""Settings that are halved, and where that ends. Fewer responses to a prompt make shorter rows, but
change what is learned."""
MOST_GPUS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One change, and the peak of a device with it."""

    change: str
    peak_bytes: float
    fits: bool


def ways(step: Step, known: Known, placement: Placement) -> list[Way]:
    """Changes that lower a step's peak: settings one by one, all of them, and more devices."""
    settings = _settings(step, known, placement)
    tried = [(changes, _tried(step, known, placement, changes)) for changes in settings]
    found = [way for _, way in tried]
    # What a stage has rules against is no part of all together.
    singles = [changes for changes, way in tried if way is not None]
    together = _all_of(singles, step, known, placement)
    if len(together) > 1:
        found.append(_tried(step, known, placement, together))
    if not placement.measured:
        starts = [{}, _recomputing(step), together]
        for i, changes in enumerate(starts):
            if changes not in starts[:i]:
                found += _sharded(step, known, placement, changes)
    return [way for way in found if way is not None]


def _settings(step: Step, known: Known, placement: Placement) -> Iterator[dict[str, Any]]:
    """Each setting lowered until the step fits or it can go no lower."""
    config: Any = step.config
    if getattr(config, "precision", "") == "float32":
        yield {"precision": "bfloat16"}
    if getattr(config, "lora_r", None) == 0:
        yield {"lora_r": ADAPTER_RANK}
    if changes := _recomputing(step):
        yield changes
    for name, least in LEAST.items():
        lowered = _lowered(step, known, placement, name, least, beside={})
        if lowered is not None:
            yield {name: lowered}


def _all_of(
    singles: list[dict[str, Any]], step: Step, known: Known, placement: Placement
) -> dict[str, Any]:
    """All at once, with what lowers the peak only beside the others."""
    found = {name: value for changes in singles for name, value in changes.items()}
    for name, least in LEAST.items():
        lowered = _lowered(step, known, placement, name, least, beside=found)
        if lowered is not None:
            found[name] = lowered
    return found


def _recomputing(step: Step) -> dict[str, Any]:
    keeps = getattr(step.config, "gradient_checkpointing", None) is False
    return {"gradient_checkpointing": True} if keeps else {}


def _lowered(
    step: Step,
    known: Known,
    placement: Placement,
    name: str,
    least: int,
    *,
    beside: dict[str, Any],
) -> int | None:
    """Halved until the step fits, or it helps no more; None where it never does."""
    now = _tried(step, known, placement, beside)
    if now is None or now.fits:
        return None
    tried, peak = beside.get(name, getattr(step.config, name, 0)), now.peak_bytes
    found: int | None = None
    while tried > least:
        tried = max(least, tried // 2)
        way = _tried(step, known, placement, beside | {name: tried})
        if way is None or way.peak_bytes >= peak:
            break
        found, peak = tried, way.peak_bytes
        if way.fits:
            break
    return found


def _sharded(
    step: Step, known: Known, placement: Placement, changes: dict[str, Any]
) -> Iterator[Way]:
    """The smallest number of devices among which the step fits."""
    said = "".join(f"{change}, " for change in _said(changes))

    def among(gpus: int) -> Way | None:
        many = replace(placement, gpus=gpus, sharding="fsdp")
        return _tried(step, known, many, changes)

    def fits(gpus: int) -> bool:
        way = among(gpus)
        return way is not None and way.fits

    fewest = bisect_left(range(MOST_GPUS), True, lo=2, key=fits)
    if fewest < MOST_GPUS and (way := among(fewest)) is not None:
        enough = f"--sharding fsdp --gpus {fewest}, the fewest that do"
        yield replace(way, change=f"{said}{enough}")


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
        change=", ".join(_said(changes)),
        peak_bytes=peak,
        fits=peak <= placement.device.usable_bytes,
    )


def _said(changes: Mapping[str, Any]) -> list[str]:
    """As they are written on the command line."""
    return [f"{name}={str(v).lower() if v is True else v}" for name, v in changes.items()]

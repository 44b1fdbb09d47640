"""What ``plaudit plan`` does: a recipe or one stage in, a table or data out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from plaudit.catalogue import CATALOGUE
from plaudit.config import apply_overrides, make_config, read_yaml
from plaudit.models.devices import is_device_name
from plaudit.pipeline import Step, read_recipe, stage_module
from plaudit.planning.advice import Way, ways
from plaudit.planning.data import Stated
from plaudit.planning.devices import HERE, Placement, Sharding, device_of
from plaudit.planning.known import Known
from plaudit.planning.plan import Plan, plan_steps
from plaudit.planning.show import as_data, explanation, missing, table, ways_line


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The command's options."""

    device: str = HERE
    gpus: int = 1
    sharding: str = "none"
    price_per_hour: float | None = None
    stated: Stated = field(default_factory=Stated)
    explain: bool = False
    as_json: bool = False


def show_plan(steps: tuple[Step, ...], asked: Asked) -> None:
    """Plan and print.

    Raises:
        ValueError: an option does not go with another, a model's sizes cannot be known, or data
            cannot be read.
    """
    placement = _placement(asked)
    plan = plan_steps(
        steps, placement,
        stated=asked.stated, price_per_hour=asked.price_per_hour,
    )  # fmt: skip
    known = Known(steps=steps, stated=asked.stated, on_cpu=placement.measured)
    found = {
        step.name: list(ways(step, known, placement))
        for step, planned in zip(steps, plan.steps, strict=True)
        if not planned.fits
    }
    if asked.as_json:
        print(json.dumps(as_data(plan, found), indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    Console().print(table(plan))
    for line in (plan.times, *on_paper(placement), *missing(plan)):
        console.print(line)
    for line in _told(plan, found, explain=asked.explain):
        console.print(line, markup=False)


def steps_of_recipe(path: Path, overrides: Sequence[str]) -> tuple[Step, ...]:
    """A recipe's steps; where they say they compute is laid aside, for that is what is asked.

    Raises:
        ValueError: as ``plaudit.pipeline.read_recipe``.
    """
    said = apply_overrides(read_yaml(path), overrides).get("steps")
    steps = said if isinstance(said, dict) else {}
    devices = {n: s["device"] for n, s in steps.items() if isinstance(s, dict) and "device" in s}
    for name, device in devices.items():
        _check_device(f"steps.{name}.device", device)
    here = [f"steps.{name}.device=cpu" for name in devices]
    return read_recipe(path, [*overrides, *here]).steps


def step_of_stage(stage: str, overrides: Sequence[str], config: Path | None) -> tuple[Step, ...]:
    """One stage as a recipe of one step.

    Raises:
        ValueError: an option is wrong.
    """
    module = stage_module(stage)
    values: dict[str, Any] = apply_overrides(read_yaml(config) if config else {}, overrides)
    if "device" in values:
        _check_device("device", values["device"])
        values["device"] = "cpu"
    resolved = make_config(module.CONFIG, values, str(config or stage))
    module.inputs(resolved)
    nowhere = Path(os.devnull)  # nothing that the stage reads can lie there
    step = Step(
        name=stage, stage=stage, module=module, config=resolved, output=nowhere, after=()
    )  # fmt: skip
    return (step,)


def _check_device(key: str, name: Any) -> None:
    if not is_device_name(name):
        raise ValueError(f"{key}: {name}: no device; expected cpu, cuda or cuda:N")


def on_paper(placement: Placement) -> Iterator[str]:
    """What is planned for that Plaudit does not do yet."""
    if placement.gpus > 1:
        yield "on paper: Plaudit's stages train on one device today"


def is_stage(target: str) -> bool:
    return target in CATALOGUE


def _placement(asked: Asked) -> Placement:
    if asked.sharding not in ("none", "fsdp"):
        raise ValueError(f"--sharding: {asked.sharding}: expected none or fsdp")
    if asked.gpus < 1:
        raise ValueError(f"--gpus: {asked.gpus}: expected at least 1")
    if asked.device == HERE and asked.gpus > 1:
        raise ValueError(f"--gpus: {asked.gpus}: say which with --device, such as h100")
    if asked.sharding == "fsdp" and asked.gpus == 1:
        raise ValueError("--sharding: fsdp cuts among several GPUs; say how many with --gpus")
    sharding: Sharding = "fsdp" if asked.sharding == "fsdp" else "none"
    return Placement(
        device=device_of(asked.device), gpus=asked.gpus, sharding=sharding,
    )  # fmt: skip


def _told(plan: Plan, found: Mapping[str, Sequence[Way]], *, explain: bool) -> Iterator[str]:
    for step in plan.steps:
        if not explain and step.fits:
            continue
        yield ""
        yield from explanation(step)
        if not step.fits:
            yield "  it does not fit; what would change that:"
            yield from map(ways_line, found[step.name])

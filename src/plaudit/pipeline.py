"""Recipes: several stages as one run.

A recipe is YAML: ``output``, ``variables``, ``steps`` (each a stage and its options) and
``publish`` (files copied into the output at the end). A value may hold ``${step}``, the artifact of
another step, or ``${variable}``; the references make the graph. A step that is done (same
options, same inputs) is skipped, and one that was cut off is resumed. With ``jobs`` above 1, steps
that need nothing of each other run side by side.
"""

from __future__ import annotations

import importlib
import logging
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import Field

from plaudit.artifacts import Artifact, State, check_output, read_artifact, state
from plaudit.catalogue import CATALOGUE
from plaudit.config import Config, apply_overrides, make_config, nearest, read_yaml
from plaudit.jobs import run_in_process, side_by_side

log = logging.getLogger(__name__)

STAGES: Mapping[str, str] = {name: stage.module for name, stage in CATALOGUE.items()}

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"\w[\w-]*")
_FILE = re.compile(r"\w[\w.-]*")


class RecipeConfig(Config):
    """What a recipe file holds."""

    output: str = Field(min_length=1)
    """Directory of the run; every step's artifact is a directory in it."""
    jobs: int = Field(default=1, ge=1)
    """Steps at a time, each in a process with its share of the cores."""
    variables: dict[str, Any] = Field(default_factory=dict)
    """Values that options, and variables further down, refer to as ${name}."""
    steps: dict[str, dict[str, Any]]
    """Steps by name: a stage (the name's own where not said), and that stage's options."""
    publish: dict[str, str] = Field(default_factory=dict)
    """Files to copy into the output once all steps are done: name, and where from."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a recipe, its references resolved."""

    name: str
    stage: str
    module: ModuleType
    config: Config
    output: Path
    after: tuple[str, ...]
    """The steps whose artifacts it reads, and those that it is told to wait for."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Steps in an order in which each comes after those it reads."""

    path: Path
    output: Path
    jobs: int
    steps: tuple[Step, ...]
    publish: Mapping[str, Path]


def stage_module(stage: str) -> ModuleType:
    """The module of a stage: ``CONFIG``, ``inputs(config)`` and ``run(config, output)``.

    Raises:
        ValueError: there is no such stage; the message names the nearest.
    """
    if stage not in STAGES:
        raise ValueError(f"{stage}: no such stage{nearest(stage, STAGES)}")
    return importlib.import_module(STAGES[stage])


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a whole recipe before anything runs.

    Args:
        overrides: ``variables.NAME=...``, ``steps.NAME.OPTION=...`` and ``output=...``.

    Raises:
        ValueError: the file or an option is wrong, a reference names nothing, steps refer to each
            other in a circle, an input is not there, or an output would be written over something.
    """
    config = _read_config(path, overrides)
    variables = _variables(path, config)
    output = Path(str(_resolved(config.output, variables, f"{path}: output")))
    places = {name: output / name for name in config.steps}
    known = variables | {name: str(place) for name, place in places.items()}
    steps = tuple(_steps(path, config, known, places))
    for step in steps:
        check_output(step.output, stage=step.stage, inputs={})
        _check_inputs(path, step, places.values())
    return Recipe(
        path=path,
        output=output,
        jobs=config.jobs,
        steps=steps,
        publish={
            name: Path(str(_resolved(source, known, f"{path}: publish.{name}")))
            for name, source in config.publish.items()
        },
    )


def plan(recipe: Recipe) -> dict[str, State]:
    """What a run of the recipe would do with every step."""
    states: dict[str, State] = {}
    for step in recipe.steps:
        fresh = any(states[name] != "done" for name in step.after)
        states[step.name] = "run" if fresh else _state(step)
    return states


def run(recipe: Recipe) -> Iterator[tuple[Step, Artifact, bool]]:
    """Run the steps; yields each with its artifact once it is done, and whether it was before.

    Raises:
        ValueError: a stage finds a mistake, or a file to publish was not written.
        StepFailed: a stage in a process of its own failed.
    """
    if recipe.jobs > 1:
        ended = side_by_side(recipe.steps, lambda s: _begin(recipe, s), _run_apart, recipe.jobs)
    else:
        ended = _one_by_one(recipe)
    for step, before in ended:
        artifact = read_artifact(step.output)
        assert artifact is not None, step.name
        yield step, artifact, before
    for name, source in recipe.publish.items():
        _publish(recipe, name, source)


def _one_by_one(recipe: Recipe) -> Iterator[tuple[Step, bool]]:
    for step in recipe.steps:
        fresh = _begin(recipe, step)
        if fresh:
            step.module.run(step.config, step.output)
        yield step, not fresh


def _begin(recipe: Recipe, step: Step) -> bool:
    """Say that a step begins; False where it is done already."""
    if _state(step) == "done":
        return False
    number = recipe.steps.index(step) + 1
    log.info("step %d of %d: %s (%s)", number, len(recipe.steps), step.name, step.stage)
    return True


def _run_apart(step: Step, threads: int) -> None:
    config = step.config.model_dump(mode="json")
    run_in_process(step.module.__name__, config, step.output, threads)


def _publish(recipe: Recipe, name: str, source: Path) -> None:
    """Copy whole or not at all, over what an earlier run published."""
    if not source.is_file():
        raise ValueError(f"{recipe.path}: publish.{name}: {source} is no file that a step wrote")
    temporary = recipe.output / f".{name}.tmp"
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(recipe.output / name)
    finally:
        temporary.unlink(missing_ok=True)


def _state(step: Step) -> State:
    return state(
        step.output,
        stage=step.stage,
        config=step.config.model_dump(mode="json"),
        inputs=step.module.inputs(step.config),
    )


def _read_config(path: Path, overrides: Sequence[str]) -> RecipeConfig:
    values = read_yaml(path)
    for override in overrides:
        _check_override(values, override.partition("=")[0])
    config = make_config(RecipeConfig, apply_overrides(values, overrides), str(path))
    if not config.steps:
        raise ValueError(f"{path}: steps: expected at least one, such as 'sft: {{model: ...}}'")
    names = [("variables", n, _NAME) for n in config.variables]
    names += [("steps", n, _NAME) for n in config.steps]
    names += [("publish", n, _FILE) for n in config.publish]
    for group, name, pattern in names:
        if not pattern.fullmatch(name):
            raise ValueError(f"{path}: {group}.{name}: expected a name such as reward_model-2")
    for name in config.steps:
        if name in config.variables or name in config.publish:
            what = "a variable" if name in config.variables else "a published file"
            raise ValueError(f"{path}: {name} is both a step and {what}; rename one of them")
    return config


def _check_override(values: Mapping[str, Any], key: str) -> None:
    """An override must meet something the recipe has, or a slip would pass unseen."""
    head, *rest = key.split(".")
    groups = {group: values.get(group) or {} for group in ("variables", "steps", "publish")}
    if head in groups and rest and rest[0] not in groups[head]:
        there = nearest(rest[0], groups[head]) if groups[head] else ""
        raise ValueError(f"{key}: the recipe has no {rest[0]} among its {head}{there}")
    for group, names in groups.items():
        if head in names and head not in RecipeConfig.model_fields:
            raise ValueError(f"{key}: {head} is one of the recipe's {group}; write {group}.{key}")


def _variables(path: Path, config: RecipeConfig) -> dict[str, Any]:
    """The variables' values; one may refer to those above it."""
    known: dict[str, Any] = {}
    for name, value in config.variables.items():
        known[name] = _resolved(value, known, f"{path}: variables.{name}")
    return known


def _steps(
    path: Path, config: RecipeConfig, known: Mapping[str, Any], places: Mapping[str, Path]
) -> Iterator[Step]:
    """The steps in order; all that can be wrong without a stage's code is found before any is."""
    where = {name: f"{path}: steps.{name}" for name in places}
    options = {name: _resolved(step, known, where[name]) for name, step in config.steps.items()}
    stages = {name: _stage(where[name], options[name].pop("stage", name)) for name in places}
    told = {
        name: _told(where[name], name, options[name].pop("wait_for", []), places) for name in places
    }
    reads = {name: _references(step) & set(places) for name, step in config.steps.items()}
    after = {name: reads[name] | told[name] for name in places}
    for name in list(_in_order(path, after)):
        module = stage_module(stages[name])
        yield Step(
            name=name,
            stage=stages[name],
            module=module,
            config=make_config(module.CONFIG, options[name], where[name]),
            output=places[name],
            after=tuple(sorted(after[name])),
        )


def _told(where: str, name: str, waited: Any, places: Collection[str]) -> set[str]:
    """The steps that ``wait_for`` names: to be waited for, though nothing of theirs is read."""
    if not isinstance(waited, list) or not all(isinstance(step, str) for step in waited):
        raise ValueError(f"{where}: wait_for: expected a list of steps, found {waited!r}")
    others = set(places) - {name}
    for step in waited:
        if step not in others:
            raise ValueError(f"{where}: wait_for: no other step {step}{nearest(step, others)}")
    return set(waited)


def _stage(where: str, stage: Any) -> str:
    if not isinstance(stage, str) or stage not in STAGES:
        raise ValueError(f"{where}: stage: {stage} is no stage{nearest(str(stage), STAGES)}")
    return stage


def _in_order(path: Path, after: Mapping[str, set[str]]) -> Iterator[str]:
    """Each step once those it reads have come; otherwise in the file's order."""
    left = dict(after)
    while left:
        ready = next((name for name in left if not left[name] & left.keys()), None)
        if ready is None:
            raise ValueError(
                f"{path}: steps: these refer to each other in a circle: {_circle(left)}"
            )
        yield ready
        del left[ready]


def _circle(after: Mapping[str, set[str]]) -> str:
    """A circle among steps none of which can come first, as ``a -> b -> a``."""
    walk = [next(iter(after))]
    while walk[-1] not in walk[:-1]:
        walk.append(min(after[walk[-1]] & after.keys()))
    return " -> ".join(walk[walk.index(walk[-1]) :])


def _check_inputs(path: Path, step: Step, places: Collection[Path]) -> None:
    """An input that no step writes must be there before the first step runs."""
    try:
        step.module.inputs(_standing_in(step.config, places, str(path)))
    except ValueError as error:
        raise ValueError(f"{path}: steps.{step.name}: {error}") from error


def _standing_in(value: Any, places: Collection[Path], other: str) -> Any:
    """A config whose paths into steps' artifacts, which may not be there yet, are ``other``."""
    if isinstance(value, Config):
        fields = {name: _standing_in(inner, places, other) for name, inner in value}
        return value.model_copy(update=fields)
    if isinstance(value, Mapping):
        return {key: _standing_in(inner, places, other) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_standing_in(inner, places, other) for inner in value]
    if isinstance(value, str) and any(Path(value).is_relative_to(place) for place in places):
        return other
    return value


def _resolved(value: Any, known: Mapping[str, Any], place: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _resolved(inner, known, f"{place}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, known, place) for inner in value]
    if not isinstance(value, str):
        return value
    for name in sorted(_references(value)):
        if name not in known:
            there = nearest(name, known) if known else ""
            raise ValueError(f"{place}: ${{{name}}} is no step or variable{there}")
    whole = _REFERENCE.fullmatch(value)
    # A reference alone keeps its type: ${seed} is a number.
    return known[whole[1]] if whole else _REFERENCE.sub(lambda m: str(known[m[1]]), value)


def _references(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return {name for inner in value.values() for name in _references(inner)}
    if isinstance(value, list):
        return {name for inner in value for name in _references(inner)}
    return set(_REFERENCE.findall(value)) if isinstance(value, str) else set()

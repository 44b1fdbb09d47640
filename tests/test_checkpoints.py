"""A run that was cut goes on as if it had not been; nothing half-written is ever taken up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import plaudit.learning.checkpoints as checkpoints_module
from plaudit.artifacts import CHECKPOINT, Draft
from plaudit.learning import Checkpoints, Learner, Recorder, fit, read_metrics
from plaudit.objectives import LanguageModelling
from tests.learning_trees import (
    OBJECTIVES,
    adapter_roles,
    labelled_trees,
    learner_for,
    separate_roles,
)

ROLES = {"full": separate_roles, "adapters": adapter_roles}
SCHEDULE = {"learning_rate": 3e-3, "schedule": "linear", "warmup_steps": 2, "total_steps": 6}


@pytest.fixture
def open_draft(tmp_path: Path) -> Callable[..., Draft]:
    """Opens drafts, by name, in a directory of the test's own."""

    def opened(name: str = "model") -> Draft:
        return Draft.open(tmp_path / name, stage="test", config={}, inputs={})

    return opened


def fresh(kind: str = "full", precision: str = "float32") -> Learner:
    return learner_for(ROLES[kind](precision), **SCHEDULE)


def train(learner: Learner, steps: range) -> None:
    for step in steps:
        learner.update(labelled_trees(seed=step), OBJECTIVES["policy"])


def assert_same_state(found: Learner, expected: Learner) -> None:
    assert found.optimiser is not None and expected.optimiser is not None
    assert found.version == expected.version
    assert found.optimiser.steps == expected.optimiser.steps
    assert found.checksum() == expected.checksum()
    tensors, others = found.optimiser.tensors(), expected.optimiser.tensors()
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def step_directory(draft: Draft, step: int) -> Path:
    return draft.path / CHECKPOINT / f"step-{step:08d}"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ROLES)
def test_a_restored_run_goes_on_bit_for_bit(kind: str, precision: str, open_draft):
    straight, first, second = (fresh(kind, precision) for _ in range(3))
    checkpoints = Checkpoints(open_draft(), every_steps=3)
    train(first, range(3))
    torch.manual_seed(11)
    checkpoints.save(3, first, {"kl_coefficient": 0.1})
    expected_draw = torch.rand(4)
    found = checkpoints.restore(second)
    assert (found.step, found.controllers) == (3, {"kl_coefficient": 0.1})
    assert torch.equal(torch.rand(4), expected_draw)
    assert_same_state(second, first)
    train(second, range(3, 6))
    train(straight, range(6))
    assert_same_state(second, straight)


def test_without_a_checkpoint_a_run_begins_at_0(open_draft):
    learner = fresh()
    checksum = learner.checksum()
    found = Checkpoints(open_draft(), every_steps=3).restore(learner)
    assert (found.step, found.controllers, learner.checksum()) == (0, {}, checksum)


def test_checkpoints_are_due_every_so_many_steps(open_draft):
    checkpoints = Checkpoints(open_draft(), every_steps=3)
    assert [step for step in range(1, 10) if checkpoints.due(step)] == [3, 6, 9]


def test_nothing_is_pickled_and_one_checkpoint_is_kept(open_draft):
    draft, learner = open_draft(), fresh("adapters")
    checkpoints = Checkpoints(draft, every_steps=1)
    train(learner, range(1))
    for step in (9, 10, 11):
        checkpoints.save(step, learner, {})
    (kept,) = (draft.path / CHECKPOINT).iterdir()
    assert kept == step_directory(draft, 11)
    assert sorted(file.name for file in kept.iterdir()) == ["state.json", "state.safetensors"]
    assert json.loads((kept / "state.json").read_text())["step"] == 11
    assert set(load_file(kept / "state.safetensors")) > {"rng/torch"}


def fail(*args, **kwargs):
    raise OSError("no space left on device")


@pytest.mark.parametrize("part", ["save_file", "write_json"])
def test_a_checkpoint_that_fails_leaves_the_older_one(
    part: str, open_draft, monkeypatch: pytest.MonkeyPatch
):
    checkpoints, learner = Checkpoints(open_draft(), every_steps=1), fresh()
    train(learner, range(1))
    checkpoints.save(1, learner, {})
    checksum = learner.checksum()
    train(learner, range(1, 2))
    with monkeypatch.context() as broken:
        broken.setattr(checkpoints_module, part, fail)
        with pytest.raises(OSError, match="no space"):
            checkpoints.save(2, learner, {})
    restored = fresh()
    assert checkpoints.restore(restored).step == 1
    assert restored.checksum() == checksum
    checkpoints.save(2, learner, {})
    assert checkpoints.restore(restored).step == 2


def test_the_older_checkpoint_goes_only_after_the_new_one_is_in_place(
    open_draft, monkeypatch: pytest.MonkeyPatch
):
    draft, learner = open_draft(), fresh()
    checkpoints = Checkpoints(draft, every_steps=1)
    checkpoints.save(1, learner, {})
    removed: list[str] = []
    remove = shutil.rmtree

    def watched(path: Path, **options):
        if path == step_directory(draft, 1):
            removed.append(path.name)
            assert load_file(step_directory(draft, 2) / "state.safetensors")
            assert (step_directory(draft, 2) / "state.json").is_file()
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    checkpoints.save(2, learner, {})
    assert removed == ["step-00000001"]


def cut(directory: Path) -> None:
    file = directory / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def garble(directory: Path) -> None:
    (directory / "state.json").write_text('{"step": 3, "ver')


def lose_a_field(directory: Path) -> None:
    (directory / "state.json").write_text('{"step": 3}')


def lose_a_file(directory: Path) -> None:
    (directory / "state.safetensors").unlink()


def lose_a_weight(directory: Path) -> None:
    tensors = load_file(directory / "state.safetensors")
    del tensors["master/policy/lm_head.weight"]
    save_file(tensors, directory / "state.safetensors")


def shorten_a_weight(directory: Path) -> None:
    tensors = load_file(directory / "state.safetensors")
    tensors["master/critic/score.weight"] = torch.zeros(1, 1)  # would broadcast
    save_file(tensors, directory / "state.safetensors")


def add_a_weight(directory: Path) -> None:
    tensors = load_file(directory / "state.safetensors")
    tensors["master/policy/model.layers.9.mlp.up_proj.weight"] = torch.zeros(2, 2)
    save_file(tensors, directory / "state.safetensors")


@pytest.mark.parametrize(
    "damage",
    [cut, garble, lose_a_field, lose_a_file, lose_a_weight, shorten_a_weight, add_a_weight],
)
def test_damage_is_an_error_of_one_line_that_names_the_checkpoint(damage, open_draft):
    draft = open_draft()
    checkpoints = Checkpoints(draft, every_steps=1)
    checkpoints.save(3, fresh(), {})
    damage(step_directory(draft, 3))
    with pytest.raises(ValueError, match=r"step-00000003: cannot be read .*delete it") as raised:
        checkpoints.restore(fresh())
    assert "\n" not in str(raised.value)


def test_the_recorder_drops_lines_beyond_the_checkpoint(open_draft):
    draft = open_draft()
    with Recorder(draft, total_steps=4) as recorder:
        for step in (1, 2, 3):
            recorder.record(step, {"loss": float(step)}, [{"step": step, "text": "a"}] * 2)
    with Recorder(draft, total_steps=4, start=2) as recorder:
        recorder.record(3, {"loss": 30.0}, [{"step": 3, "text": "b"}])
    assert [(row["step"], row["loss"]) for row in read_metrics(draft.path)] == [
        (1, 1.0), (2, 2.0), (3, 30.0),
    ]  # fmt: skip
    samples = (draft.path / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in samples] == ["a"] * 4 + ["b"]


@pytest.mark.parametrize("half", ['{"step": 3, "text": "x', '{"step": 3, "text": "f {}', "{", "}"])
def test_the_recorder_drops_a_line_cut_off_in_the_middle(half: str, open_draft):
    draft = open_draft()
    draft.path.joinpath("samples.jsonl").write_text('{"step": 2, "text": "a"}\n' + half)
    with Recorder(draft, total_steps=4, start=2) as recorder:
        recorder.record(3, {}, [{"step": 3, "text": "b"}])
    samples = (draft.path / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in samples] == ["a", "b"]


def test_metrics_that_are_not_finite_are_null(open_draft):
    draft = open_draft()
    with Recorder(draft, total_steps=1) as recorder:
        recorder.record(1, {"loss": float("nan"), "accuracy": 0.5})
    assert read_metrics(draft.path) == [{"step": 1, "loss": None, "accuracy": 0.5}]


class PowerCut(RuntimeError):
    pass


def fit_to(draft: Draft, learner: Learner, *, cut_at: int | None = None) -> None:
    def batch(step: int):
        if step == cut_at:
            raise PowerCut
        return labelled_trees(seed=step)

    fit(learner, LanguageModelling(), batch, steps=6, draft=draft, save_steps=2)


def test_a_fit_that_was_cut_ends_as_one_that_was_not(open_draft):
    straight, cut_off, resumed = fresh(), fresh(), fresh()
    uncut, draft = open_draft("straight"), open_draft("cut")
    fit_to(uncut, straight)
    with pytest.raises(PowerCut):
        fit_to(draft, cut_off, cut_at=5)
    assert len(read_metrics(draft.path)) == 5
    fit_to(open_draft("cut"), resumed)
    assert_same_state(resumed, straight)
    rows = read_metrics(draft.path)
    assert len(rows) == 6 and rows == read_metrics(uncut.path)

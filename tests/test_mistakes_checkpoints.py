"""A checkpoint that was damaged is named, and kept for its owner to judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from plaudit.artifacts import CHECKPOINT, draft_path
from plaudit.learning import Recorder
from tests.command import plaudit, the_mistake
from tests.small import small_checkpoint, write_rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model") / "base")


class PowerCut(Exception):
    pass


def cut_off(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Path:
    """Run a stage until its second step; the draft with its checkpoint stays."""
    record = Recorder.record

    def cut(self: Recorder, step: int, *rest: object) -> None:
        if step == 2:
            raise PowerCut
        record(self, step, *rest)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(Recorder, "record", cut)
        plaudit(*arguments)
    draft = draft_path(Path("out"))
    assert (draft / STEP / "state.safetensors").is_file()
    return draft


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def nonsense(file: Path) -> None:
    file.write_text("{")


def other_shapes(file: Path) -> None:
    save_file({n: t[:1].clone() if t.ndim > 1 else t for n, t in load_file(file).items()}, file)


STEP = f"{CHECKPOINT}/step-00000001"
CHECKPOINTS = {
    "cut short": (f"{STEP}/state.safetensors", cut_short, "step-00000001: cannot be read"),
    "of another model": (f"{STEP}/state.safetensors", other_shapes, "step-00000001: cannot be"),
    "counters": (f"{STEP}/state.json", nonsense, "delete it to start the stage anew"),
    "the plan": ("plan.json", nonsense, "plan.json: not valid JSON"),
    "the clock": ("clock.json", nonsense, "clock.json: not valid JSON"),
}


def command(base: Path) -> list[str]:
    rows = [{"prompt": "a", "completion": str(i)} for i in range(3)]
    options = [f"model={base}", f"dataset={write_rows(Path('d.jsonl'), rows)}", "batch_size=1"]
    return ["sft", *options, "save_steps=1", "--output", "out"]


@pytest.mark.parametrize("fault", CHECKPOINTS)
def test_a_damaged_checkpoint_is_named_and_kept(
    base: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    name, damage, said = CHECKPOINTS[fault]
    monkeypatch.chdir(tmp_path)
    arguments = command(base)
    draft = cut_off(monkeypatch, *arguments)
    damage(draft / name)
    the_mistake(plaudit(*arguments), said)
    assert draft.is_dir() and not Path("out").exists()


def test_counters_that_are_incomplete_are_named(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    arguments = command(base)
    file = cut_off(monkeypatch, *arguments) / STEP / "state.json"
    file.write_text(json.dumps({"step": 1, "optimiser_steps": 1, "controllers": {}}))
    the_mistake(plaudit(*arguments), "step-00000001: cannot be read")


def test_a_checkpoint_that_is_whole_is_gone_on_from(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    arguments = command(base)
    draft = cut_off(monkeypatch, *arguments)
    assert plaudit(*arguments).code == 0
    assert not draft.exists() and Path("out/artifact.json").is_file()

"""Recipes, with stages that only copy text: order, skipping, resuming, references, overrides."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field

from plaudit import pipeline
from plaudit.artifacts import Artifact, Draft, draft_path
from plaudit.config import Config
from plaudit.formats import local_inputs
from plaudit.pipeline import plan, read_recipe, run
from tests.command import entries, plaudit


class CopyConfig(Config):
    source: str
    """A file, or an artifact."""
    suffix: str | int = ""
    """What is added to its text."""
    parts: dict[str, str] = Field(default_factory=dict)
    """More of them."""
    others: tuple[str, ...] = ()
    """And more."""
    fail: bool = False
    """Stop after the checkpoint."""
    numbers: list[float] = Field(default_factory=list)
    """Not used."""


ran: list[str] = []


def copy(config: CopyConfig, output: Path) -> Artifact:
    ran.append(output.name)
    options = {"config": config.model_dump(mode="json"), "inputs": inputs(config)}
    draft = Draft.open(output, stage="copy", **options)
    draft.save_clock()
    if config.fail and not (output.parent / "mended").exists():
        raise RuntimeError("cut off")
    sources = [config.source, *config.parts.values(), *config.others]
    texts = [text(Path(source)) for source in sources]
    (draft.path / "text").write_text("+".join(texts) + str(config.suffix))
    return draft.finish({"length": len(texts)})


def inputs(config: CopyConfig) -> dict[str, Path]:
    others = {f"others/{place}": other for place, other in enumerate(config.others)}
    return local_inputs(source=config.source, **config.parts, **others)


def text(source: Path) -> str:
    return (source / "text" if source.is_dir() else source).read_text()


@pytest.fixture(autouse=True)
def copy_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    module = ModuleType("copy_stage")
    module.__dict__.update(CONFIG=CopyConfig, inputs=inputs, run=copy)
    monkeypatch.setitem(sys.modules, "copy_stage", module)
    monkeypatch.setattr(pipeline, "STAGES", {"copy": "copy_stage", "other": "copy_stage"})
    monkeypatch.chdir(tmp_path)
    Path("data").write_text("d")
    ran.clear()
    yield


def recipe(**more: Any) -> Path:
    """b and c read a; d reads both; they stand in the file the other way round."""
    steps = {
        "d": {"stage": "copy", "source": "${b}", "parts": {"other": "${c}"}},
        "c": {"stage": "copy", "source": "${a}", "suffix": "c"},
        "b": {"stage": "copy", "source": "${a}", "suffix": "${mark}"},
        "a": {"stage": "copy", "source": "data"},
    }
    file = Path("recipe.yaml")
    whole = {"output": "runs/one", "variables": {"mark": "b"}, "steps": steps}
    file.write_text(json.dumps(whole | more))
    return file


def done(*overrides: str) -> dict[str, bool]:
    """Run the recipe; by step, in order, whether it was done before."""
    read = read_recipe(Path("recipe.yaml"), overrides)
    return {step.name: before for step, _, before in run(read)}


def test_steps_run_after_those_they_read_else_in_the_file_s_order():
    read = read_recipe(recipe())
    assert [step.name for step in read.steps] == ["a", "c", "b", "d"]
    assert {s.name: s.after for s in read.steps} == {
        "a": (), "c": ("a",), "b": ("a",), "d": ("b", "c")
    }  # fmt: skip
    assert list(done()) == ran == ["a", "c", "b", "d"]
    assert text(Path("runs/one/d")) == "db+dc"


def test_a_second_run_does_nothing():
    recipe()
    assert not any(done().values())
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    ran.clear()
    assert all(done().values()) and ran == []
    assert before == {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}


def test_a_changed_option_reruns_its_step_and_those_after_it():
    recipe()
    done()
    states = plan(read_recipe(Path("recipe.yaml"), ["steps.c.suffix=C"]))
    assert states == {"a": "done", "c": "run", "b": "done", "d": "run"}
    assert done("steps.c.suffix=C") == {"a": True, "c": False, "b": True, "d": False}
    assert text(Path("runs/one/d")) == "db+dC"


def test_changed_data_reruns_everything_and_an_equal_result_ends_it():
    recipe()
    done()
    Path("data").write_text("D")
    assert done() == {"a": False, "c": False, "b": False, "d": False}
    # Another option, but the same text: those after it have nothing new to read.
    assert done("steps.a.numbers=[1]") == {"a": False, "c": True, "b": True, "d": True}


def test_what_was_cut_off_is_resumed_and_what_follows_runs():
    file = recipe()
    with pytest.raises(RuntimeError, match="cut off"):
        done("steps.c.fail=true")
    assert ran == ["a", "c"] and not Path("runs/one/c").exists()
    states = {"a": "done", "c": "resume", "b": "run", "d": "run"}
    assert plan(read_recipe(file, ["steps.c.fail=true"])) == states
    assert plan(read_recipe(file)) == states | {"c": "run"}, "a draft of other options"
    Path("runs/one/mended").touch()
    assert done("steps.c.fail=true") == {"a": True, "c": False, "b": False, "d": False}
    assert plan(read_recipe(file, ["steps.c.fail=true"])) == dict.fromkeys(states, "done")


def test_references_keep_types_alone_and_are_text_inside_text():
    variables = {"n": 3, "list": [1, 2.5], "name": "x-${n}", "dir": "runs"}
    steps = {
        "a": {"stage": "copy", "source": "data", "suffix": "${n}", "numbers": "${list}"},
        "b": {"stage": "copy", "source": "${a}/text", "suffix": "${n} of ${name}"},
    }
    read = read_recipe(recipe(output="${dir}/${name}", variables=variables, steps=steps))
    first, second = (step.config for step in read.steps)
    assert isinstance(first, CopyConfig) and isinstance(second, CopyConfig)
    assert first.suffix == 3 and isinstance(first.suffix, int) and first.numbers == [1, 2.5]
    assert (second.source, second.suffix) == ("runs/x-3/a/text", "3 of x-3")
    assert [step.output for step in read.steps] == [Path("runs/x-3/a"), Path("runs/x-3/b")]


def test_a_reference_anywhere_in_a_step_makes_it_follow():
    steps = {
        "b": {"stage": "copy", "source": "data", "parts": {"deep": "${a}/text"}},
        "a": {"stage": "copy", "source": "data"},
    }
    assert [s.name for s in read_recipe(recipe(steps=steps)).steps] == ["a", "b"]


def test_a_step_may_read_a_list_of_steps():
    steps = {
        "joined": {"stage": "copy", "source": "data", "others": ["${a}", "${b}"]},
        "b": {"stage": "copy", "source": "data", "suffix": "b"},
        "a": {"stage": "copy", "source": "data", "suffix": "a"},
    }
    recipe(steps=steps)
    assert list(done()) == ["b", "a", "joined"]
    assert text(Path("runs/one/joined")) == "d+da+db"
    steps["joined"]["others"] = ["${a}", "nowhere"]
    with pytest.raises(ValueError, match=r"steps\.joined: others/1: nowhere"):
        read_recipe(recipe(steps=steps))


def test_a_step_waits_for_what_it_is_told_to_and_no_option_is_lost():
    steps = {
        "a": {"stage": "copy", "source": "data", "wait_for": ["b"]},
        "b": {"stage": "copy", "source": "data"},
    }
    read = read_recipe(recipe(steps=steps))
    assert [(step.name, step.after) for step in read.steps] == [("b", ()), ("a", ("b",))]


@pytest.mark.parametrize(
    ("waited", "told"), [(["x"], "no other step x"), (["a"], "no other step a"), ("b", "a list")]
)
def test_what_cannot_be_waited_for_is_told(waited: Any, told: str):
    steps = {
        "a": {"stage": "copy", "source": "data", "wait_for": waited},
        "b": {"stage": "copy", "source": "data"},
    }
    with pytest.raises(ValueError, match=f"steps.a: wait_for: .*{told}"):
        read_recipe(recipe(steps=steps))


def test_overrides_reach_variables_steps_and_the_output():
    file = recipe()
    written = file.read_text()
    given = ["variables.mark=7", "output=else", "steps.c.parts.more=${b}", "steps.c.numbers=[1e-3]"]
    read = read_recipe(file, given)
    steps = {step.name: step for step in read.steps}
    assert list(steps) == ["a", "b", "c", "d"] and steps["c"].after == ("a", "b")
    assert steps["b"].config == CopyConfig(source="else/a", suffix=7)
    assert steps["c"].config == CopyConfig(
        source="else/a", suffix="c", parts={"more": "else/b"}, numbers=[0.001]
    )
    assert read.output == Path("else") and steps["d"].output == Path("else/d")
    assert file.read_text() == written


def test_a_step_is_of_its_name_s_stage_where_none_is_said():
    steps = {"copy": {"source": "data"}, "more": {"stage": "other", "source": "${copy}"}}
    read = read_recipe(recipe(steps=steps))
    assert [(step.name, step.stage) for step in read.steps] == [("copy", "copy"), ("more", "other")]


def test_files_are_published_whole_once_all_is_done():
    recipe(publish={"result.txt": "${d}/text", "made-of.json": "${a}/artifact.json"})
    done()
    assert Path("runs/one/result.txt").read_text() == "db+dc"
    assert json.loads(Path("runs/one/made-of.json").read_text())["stage"] == "copy"
    done("variables.mark=B")
    assert Path("runs/one/result.txt").read_text() == "dB+dc"


def test_a_copy_that_fails_leaves_what_was_published(monkeypatch: pytest.MonkeyPatch):
    recipe(publish={"result.txt": "${d}/text"})
    done()

    def full(source: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(shutil, "copyfile", full)
        done("variables.mark=B")
    assert Path("runs/one/result.txt").read_text() == "db+dc"
    assert {e for e in entries(Path("runs/one")) if e.startswith(".")} == set()


def test_what_no_step_wrote_cannot_be_published():
    recipe(publish={"result.txt": "${d}/txet"})
    with pytest.raises(ValueError, match=r"recipe.yaml: publish.result.txt: runs/one/d/txet is no"):
        done()


def test_nothing_runs_where_an_output_would_be_written_over_something_else():
    Path("runs/one/d").mkdir(parents=True)
    Path("runs/one/d/thesis.tex").touch()
    with pytest.raises(ValueError, match=r"runs/one/d: exists and is not an artifact"):
        read_recipe(recipe())
    assert ran == [] and Path("runs/one/d/thesis.tex").exists()


def test_a_dry_run_prints_the_table_and_does_nothing():
    file = recipe()
    with pytest.raises(RuntimeError):
        done("steps.b.fail=true")
    before = entries(Path("runs"))
    ran.clear()
    told = plaudit("run", file, "--dry-run", "steps.b.fail=true")
    assert told.code == 0 and not told.err
    rows = [line.split() for line in told.out.splitlines() if line.strip()]
    assert rows[0] == ["Steps", "of", "runs/one"]
    assert rows[1] == ["step", "stage", "will", "after"]
    assert rows[3:] == [
        ["a", "copy", "skip", "(done)"],
        ["c", "copy", "skip", "(done)", "a"],
        ["b", "copy", "resume", "a"],
        ["d", "copy", "run", "b,", "c"],
    ]
    assert ran == [] and entries(Path("runs")) == before


def test_a_run_tells_what_it_does_and_what_it_wrote():
    file = recipe(publish={"result.txt": "${d}/text"})
    first, second = plaudit("run", file), plaudit("run", file)
    assert first.code == second.code == 0
    assert "step 1 of 4: a (copy)" in first.err and not second.err
    assert [line.split(":")[0] for line in first.out.splitlines()[:-1]] == ["a", "c", "b", "d"]
    assert first.out.splitlines()[-1] == "wrote runs/one/result.txt"
    assert second.out.count("already done, runs/one/") == 4


def test_a_draft_is_where_the_plan_looks_for_it():
    recipe()
    with pytest.raises(RuntimeError):
        done("steps.a.fail=true")
    assert draft_path(Path("runs/one/a")).is_dir()

"""The command: help, dry runs, the starter recipe, and what is told at the end or on failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import plaudit as package
from plaudit import pipeline
from plaudit.config import Config, options
from plaudit.learning.learner import NonFiniteLoss
from plaudit.pipeline import STAGES, read_recipe, stage_module
from plaudit.statistics import auc
from tests.command import Outcome, entries, plaudit, plaudit_process, the_mistake
from tests.small import DIALOGUES, RATINGS, polite_pairs, small_checkpoint, write_rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model") / "base")


LIGHT = """
import sys
from plaudit.cli import main
sys.argv = ["plaudit", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["sft"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]):
    command = [sys.executable, "-c", LIGHT, *arguments]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()
    assert "plaudit" in loaded
    assert not {"torch", "transformers", "numpy", "datasets", "matplotlib"} & set(loaded)


def test_the_help_names_every_command(tmp_path: Path):
    told = plaudit_process("--help", cwd=tmp_path)
    assert told.code == 0 and not told.err and "\x1b" not in told.out
    for name in (*STAGES, "run", "init"):
        assert f"│ {name} " in told.out
    assert plaudit_process(cwd=tmp_path).out.strip() == told.out.strip(), "without arguments"


def test_the_version_in_two_ways(tmp_path: Path):
    assert plaudit("--version") == Outcome(code=0, out=f"{package.__version__}\n", err="")
    assert plaudit_process("--version", cwd=tmp_path).out == f"{package.__version__}\n"


@pytest.mark.parametrize("columns", ["60", "100", "200"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_help_lists_every_option_with_default_and_meaning(
    stage: str, columns: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", columns)
    told = plaudit(stage, "--help")
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= int(columns)
    lines = told.out[told.out.index("Options of") :].splitlines()
    words = "".join("".join(lines).split())
    for name, kind, default, meaning in options(stage_module(stage).CONFIG):
        # Where a meaning goes on in a line of its own, it may begin with an option's name.
        row = next(line for line in lines if line[1:].split(" ", 1)[0] == name)
        if columns == "200":
            assert default in row
        if columns != "60":  # where columns are narrow, the words of two of them alternate
            assert meaning.split(" ")[0] in row or not meaning
        assert kind.split(" ")[0] in words


def test_a_dry_run_prints_options_that_make_the_same_options_again(tmp_path: Path):
    given = ["model=m", "dataset=d", "learning_rate=1e-7", "portion=[0, 0.5]", "lora_r=4"]
    first = plaudit("sft", *given, "--dry-run")
    values = json.loads(first.out)
    assert first.code == 0 and not first.err
    assert (values["learning_rate"], values["portion"], values["lora_r"]) == (1e-7, [0, 0.5], 4)
    assert values["seed"] == 0 and len(values) > 15
    file = tmp_path / "resolved.json"
    file.write_text(first.out)
    assert plaudit("sft", "--config", file, "--dry-run") == first
    changed = json.loads(plaudit("sft", "-c", file, "seed=5", "--dry-run").out)
    assert changed == values | {"seed": 5}


def test_groups_survive_a_dry_run(tmp_path: Path):
    given = ["model=m", "dataset=d", "max_steps=3", "reward_model=r", "algorithm=ppo"]
    first = plaudit("rl", *given, "critic.lam=0.9", "adaptive_kl.target=6", "--dry-run")
    (tmp_path / "r.json").write_text(first.out)
    assert json.loads(first.out)["critic"]["lam"] == 0.9
    assert plaudit("rl", "-c", tmp_path / "r.json", "--dry-run") == first


def test_the_starter_recipe_is_accepted_and_commented(base: Path, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    data = ["--demonstrations", DIALOGUES, "--preferences", RATINGS]
    told = plaudit("init", file, "--model", base, *data)
    assert told.out == f"wrote {file}; look through it, then: plaudit run {file} --dry-run\n"
    text = file.read_text()
    assert text.count("#") > 30 and "<" not in text.replace("<-", "")
    assert yaml.safe_load(text)["variables"]["model"] == str(base)
    outcome = plaudit("run", file, "--dry-run", f"output={tmp_path}/runs")
    assert outcome.code == 0, outcome.err
    words = [line.split()[0] for line in outcome.out.splitlines() if line.strip("─ ")]
    names = ["sft", "reward", "judge", "dpo", "grpo", "evaluate", "report"]
    assert words == ["Steps", "step", *names]
    assert entries(tmp_path) == {"mine.yaml"}


def test_the_starter_recipe_keeps_judge_reward_and_what_is_asked_apart(base: Path, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    plaudit("init", file, "--model", base, "--demonstrations", DIALOGUES, "--preferences", RATINGS)
    steps = {step.name: step.config.model_dump() for step in read_recipe(file).steps}
    asked = steps["evaluate"]["portion"]
    assert asked == steps["reward"]["eval_portion"] == steps["judge"]["eval_portion"]
    assert all(steps[name]["portion"][1] <= asked[0] for name in steps if "portion" in steps[name]
               and name != "evaluate")  # fmt: skip
    judge = steps["judge"]["portion"]
    for name in ("reward", "dpo", "grpo"):
        assert steps[name]["portion"][1] <= judge[0] and steps[name]["lora_r"] == 16


def test_init_takes_any_name_says_what_is_missing_and_overwrites_nothing(tmp_path: Path):
    file, odd = tmp_path / "mine.yaml", 'C: [my "data"] #1.jsonl'
    told = plaudit("init", file, "--model", "org/model", "--demonstrations", odd)
    assert yaml.safe_load(file.read_text())["variables"]["demonstrations"] == odd
    assert (
        told.code == 0 and "still to come: preferences: preferences.jsonl: no such file" in told.out
    )
    before = file.read_text()
    the_mistake(plaudit("init", file), f"{file}: exists already; choose another name")
    assert file.read_text() == before
    the_mistake(plaudit("init", tmp_path / "no" / "mine.yaml"), "is no directory; make it first")


def test_a_stage_tells_its_metrics_once_and_that_it_is_done_the_next_time(
    base: Path, tmp_path: Path
):
    data = write_rows(tmp_path / "pairs.jsonl", polite_pairs(6))
    arguments = ["preference", f"model={base}", f"dataset={data}", "--output", "out"]
    first = plaudit_process(*arguments, cwd=tmp_path)
    assert first.code == 0, first.err
    metrics, end = first.out[: first.out.rindex("}") + 1], first.out[first.out.rindex("}") + 1 :]
    assert json.loads(metrics)["pairs"] == 6 and end.endswith(" s, out\n")
    lines = first.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("out  step 1/1  loss 0.6931  ")
    assert not {c for c in first.out + first.err if ord(c) < 32} - {"\n"}, "control characters"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = plaudit_process(*arguments, cwd=tmp_path)
    assert again == Outcome(code=0, out="out: already done\n", err="")
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


class NothingConfig(Config):
    why: str = ""
    """Not used."""


def failing(fail: Callable[[], None], monkeypatch: pytest.MonkeyPatch, output: Path) -> Outcome:
    """What the command says when a stage fails so."""
    module = ModuleType("failing_stage")
    module.__dict__.update(
        CONFIG=NothingConfig, inputs=lambda config: {}, run=lambda config, output: fail()
    )
    monkeypatch.setitem(sys.modules, "failing_stage", module)
    monkeypatch.setattr(pipeline, "STAGES", {**STAGES, "report": "failing_stage"})
    return plaudit("report", "why=test", "--output", output)


def raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


FAILURES = {
    "stopped": (KeyboardInterrupt(), 130, "interrupted; the same command goes on from the last"),
    "not finite": (NonFiniteLoss("the loss is not finite at update 3"), 1, "the loss is not fini"),
    "out of memory": (MemoryError(), 1, "out of memory; lower micro_batch_tokens"),
    "torch out of memory": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        1,
        "out of memory; lower micro_batch_tokens",
    ),
    "disk full": (
        OSError(28, "No space left on device", "x/y"),
        1,
        "x/y: No space left on device;",
    ),
    "locked": (PermissionError(13, "Permission denied", "x/y"), 2, "x/y: Permission denied; expec"),
    "not a directory": (
        NotADirectoryError(20, "Not a directory", "x/y"),
        2,
        "x/y: Not a directory",
    ),
    "read-only": (OSError(30, "Read-only file system", "x/y"), 2, "x/y: Read-only file system;"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_not_our_fault_is_told_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    error, code, said = FAILURES[name]
    outcome = failing(raiser(error), monkeypatch, tmp_path / "out")
    assert outcome.code == code and not outcome.out
    assert outcome.err.startswith(f"plaudit: {said}") and outcome.err.count("\n") == 1


def a_library() -> None:
    int("three")


OURS = {
    "a bug": raiser(KeyError("ours")),
    "a missing file": raiser(FileNotFoundError(2, "No such file", "x")),
    "a value error by the user's function": raiser(ValueError("theirs")),
    "a value error by a library": a_library,
    "a disk's error": raiser(OSError(5, "Input/output error", "x")),
    "no one's permission": raiser(PermissionError(13, "Permission denied")),
    "an error without a number": raiser(OSError("strange")),
    "another runtime error": raiser(RuntimeError("strange")),
}


@pytest.mark.parametrize("name", OURS)
def test_all_else_keeps_its_traceback(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises((KeyError, OSError, ValueError, RuntimeError)) as raised:
        failing(OURS[name], monkeypatch, tmp_path / "out")
    assert raised.traceback[-1].path == Path(__file__)


def test_a_library_that_refuses_what_our_code_gave_it_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with pytest.raises(ValueError, match="could not convert string to float"):
        failing(lambda: auc(["high"], [1.0]), monkeypatch, tmp_path / "out")  # pyright: ignore


def test_a_bug_ends_a_process_with_its_traceback(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import plaudit.pipeline as p\np.read_recipe = lambda *a: 1 / 0\n"
    )
    (tmp_path / "r.yaml").touch()
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    outcome = plaudit_process("run", "r.yaml", cwd=tmp_path, PYTHONPATH=path)
    assert outcome.code == 1 and "ZeroDivisionError" in outcome.err.splitlines()[-1]
    assert "Traceback" in outcome.err and "plaudit: " not in outcome.err

"""Mistakes in options and recipes: one line that says what, where and what was expected.

Nothing is written. Mistakes in data, models and outputs are in ``test_mistakes_files``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import entries, plaudit, plaudit_process, the_mistake

SFT = "model: m\ndataset: d.jsonl\n"
RL = {"model": "m", "dataset": "d.jsonl", "max_steps": 1, "reward_model": "r"}
CONFIGS = {
    "not YAML": (b"model: [m", ":1: not valid YAML"),
    "a tab": (b"model: m\n\tseed: 1", ":2: not valid YAML"),
    "a list": (b"- model: m", "found a list; expected lines of 'key: value'"),
    "no space": (b"model:m", "found a str; expected lines of 'key: value', with a space"),
    "a key twice": (b"seed: 1\nmodel: m\nseed: 2", ":3: not valid YAML: 'seed' is given twice"),
    "not text": (b"\xff\xfe\x00", "not UTF-8 text"),
    "a list for a key": (b"? [a]\n: 1", ":1: not valid YAML"),
    "unknown key": (
        SFT + "learning_rte: 1",
        "learning_rte: no such option; did you mean learning_rate?",
    ),
    "unlike any key": (SFT + "zzz: 1", "zzz: no such option; there are"),
    "words for a number": (
        SFT + "learning_rate: fast",
        "learning_rate: input should be a valid number, unable to parse string as a number, found",
    ),
    "half an integer": (SFT + "batch_size: 1.5", "batch_size: input should be a valid integer"),
    "a negative rate": (
        SFT + "learning_rate: -1e-4",
        "learning_rate: input should be greater than 0, found -0.0001",
    ),
    "not a number": (SFT + "learning_rate: .nan", "learning_rate: input should be"),
    "without end": (SFT + "learning_rate: .inf", "learning_rate: input should be a finite number"),
    "yes for a number": (SFT + "batch_size: yes", "batch_size: expected int, found true"),
    "one number": (SFT + "portion: 0.5", "portion: input should be a valid tuple, found 0.5"),
    "three numbers": (SFT + "portion: [0, 0.5, 1]", "portion: tuple should have at most 2 items"),
    "unknown choice": (
        SFT + "precision: float16",
        "precision: input should be 'float32' or 'bfloat16', found \"float16\"",
    ),
    "no value": (SFT + "seed:", "seed: input should be a valid integer, found null"),
    "a mapping": (SFT + "seed: {a: 1}", 'seed: input should be a valid integer, found {"a": 1}'),
    "nothing": (b"", "model, dataset: required, but not given"),
    "two faults": (
        "model: 3\nsed: 1",
        "dataset: required, but not given; model: input should be a valid string, found 3; sed: no",
    ),
    "a recipe": ("output: x\nsteps: {sft: {}}", "steps: this is a recipe; use plaudit run"),
    "an output": (SFT + "output: runs/x", "output: no option; use --output runs/x"),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_a_config_with_a_fault_is_named_with_its_key(tmp_path: Path, fault: str):
    text, said = CONFIGS[fault]
    config = tmp_path / "options.yaml"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    outcome = plaudit("sft", "--config", config, "--output", tmp_path / "out")
    the_mistake(outcome, f"plaudit: {config}", said)
    assert entries(tmp_path) == {"options.yaml"}


OVERRIDES = {
    "no equals sign": (["seed"], "'seed': expected key=value, for example learning_rate=1e-4"),
    "with dashes": (
        ["--model=m", "--dataset", "d"],
        "--model=m: no such option; the command's own are --config, --output and --dry-run, the "
        "stage's are key=value, such as model=... (plaudit sft --help",
    ),
    "no key": (["=1"], "'=1': expected key=value"),
    "into a value": (["model=m", "model.name=n"], "model.name: model is a value, not a group"),
    "not YAML": (["dataset=*.jsonl"], "dataset: '*.jsonl' is not valid YAML", "quotes"),
    "unknown": (["mdel=m", "dataset=d"], "sft: model: required", "mdel: no such option; did you"),
}


@pytest.mark.parametrize("fault", OVERRIDES)
def test_an_override_with_a_fault_is_named(tmp_path: Path, fault: str):
    overrides, *said = OVERRIDES[fault]
    the_mistake(plaudit("sft", *overrides, "--output", tmp_path / "out"), *said)
    assert not entries(tmp_path)


RULES = {
    "unknown inside": (
        {"critic": {"warmup": 1}, "algorithm": "ppo"},
        "critic.warmup: no such option; did you mean warmup_steps?",
    ),
    "two rewards": ({"reward_function": "a:b"}, "reward_model or reward_function: exactly one"),
    "no reward": ({"reward_model": None}, "reward_model or reward_function: exactly one"),
    "a critic for grpo": ({"critic": {"lam": 0.9}}, "critic: grpo has none"),
    "one answer": ({"num_generations": 1}, "num_generations: grpo needs at least 2"),
    "adapting nothing": (
        {"adaptive_kl": {"target": 5}, "beta": 0},
        "adaptive_kl: needs a beta above 0 to begin from",
    ),
    "no target": ({"adaptive_kl": {}}, "adaptive_kl.target: required, but not given"),
    "unknown row": ({"algorithm": "gppo"}, "algorithm: input should be 'ppo', 'reinforce',"),
    "no prompts": ({"dataset": None}, "dataset: input should be a valid string, found null"),
}


@pytest.mark.parametrize("fault", RULES)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, fault: str):
    options, said = RULES[fault]
    config = tmp_path / "rl.yaml"
    config.write_text(json.dumps(RL | options))
    outcome = plaudit("rl", "--config", config, "--output", tmp_path / "out")
    assert the_mistake(outcome, said).startswith(f"plaudit: {config}: ")
    assert entries(tmp_path) == {"rl.yaml"}


STEP = {"model": "m", "dataset": "d.jsonl"}
RECIPES = {
    "not YAML": ("steps: [", ":1: not valid YAML"),
    "no steps": ({"output": "o"}, "steps: required, but not given"),
    "empty steps": ({"output": "o", "steps": {}}, "steps: expected at least one"),
    "no output": ({"steps": {"sft": STEP}}, "output: required, but not given"),
    "a slip": ({"output": "o", "step": {"sft": STEP}}, "step: no such option; did you mean steps?"),
    "an empty step": ({"steps": {"sft": None}}, "steps.sft: input should be a valid dictionary"),
    "unknown stage": (
        {"steps": {"a": {"stage": "rewrd"}}},
        "steps.a: stage: rewrd is no stage; did you mean reward?",
    ),
    "a step's name": ({"steps": {"warm": STEP}}, "steps.warm: stage: warm is no stage"),
    "no stage's name": ({"steps": {"a": {"stage": 3}}}, "steps.a: stage: 3 is no stage"),
    "unknown step": (
        {"steps": {"sft": STEP, "rl": {"model": "${sfft}"}}},
        "steps.rl.model: ${sfft} is no step or variable; did you mean sft?",
    ),
    "unknown in text": (
        {"steps": {"sft": {**STEP, "dataset": "${dir}/d"}}},
        "steps.sft.dataset: ${dir} is no step",
    ),
    "no name": ({"steps": {"sft": {**STEP, "model": "${}"}}}, "steps.sft.model: ${} is no step"),
    "a circle": (
        {"steps": {"a": {"stage": "sft", "model": "${c}"}, "c": {"stage": "sft", "model": "${a}"}}},
        "in a circle: a -> c -> a",
    ),
    "itself": ({"steps": {"sft": {**STEP, "model": "${sft}"}}}, "in a circle: sft -> sft"),
    "one name": (
        {"variables": {"sft": 1}, "steps": {"sft": STEP}},
        "sft is both a step and a variable",
    ),
    "published": (
        {"publish": {"sft": "x"}, "steps": {"sft": STEP}},
        "sft is both a step and a published file",
    ),
    "a path for a name": ({"steps": {"../sft": {"stage": "sft"}}}, "steps.../sft: expected a name"),
    "below": (
        {"variables": {"a": "${b}", "b": 1}, "steps": {"sft": STEP}},
        "variables.a: ${b} is no step or variable",
    ),
    "unknown option": (
        {"steps": {"sft": {**STEP, "learning_rte": 1}}},
        "steps.sft: learning_rte: no such option; did you mean learning_rate?",
    ),
    "inside": (
        {"steps": {"rl": {**RL, "critic": {"lambda": 1}}}},
        "steps.rl: critic.lambda: no such option; did you mean lam?",
    ),
    "missing option": (
        {"steps": {"sft": {"model": "m"}}},
        "steps.sft: dataset: required, but not given",
    ),
    "nothing to publish": (
        {
            "publish": {"r.html": "${report}/r"},
            "steps": {"sft": {"model": "o/m", "dataset": "o/d"}},
        },
        "publish.r.html: ${report} is no step",
    ),
}


@pytest.mark.parametrize("fault", RECIPES)
def test_a_recipe_with_a_fault_is_named_with_its_key(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    recipe, said = RECIPES[fault]
    if isinstance(recipe, dict) and fault not in ("no steps", "no output"):
        recipe = {"output": "runs"} | recipe
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(recipe if isinstance(recipe, str) else json.dumps(recipe))
    the_mistake(plaudit("run", "recipe.yaml"), "plaudit: recipe.yaml", said)
    assert entries(tmp_path) == {"recipe.yaml"}


OVERLAID = {
    "unknown variable": (
        "variables.sede=1",
        "variables.sede: the recipe has no sede among its variables; did you mean seed?",
    ),
    "unknown step": (
        "steps.sftt.seed=1",
        "the recipe has no sftt among its steps; did you mean sft?",
    ),
    "a step in short": ("sft.seed=1", "sft is one of the recipe's steps; write steps.sft.seed"),
    "a variable in short": (
        "seed=1",
        "seed is one of the recipe's variables; write variables.seed",
    ),
    "unknown option": ("steps.sft.sede=1", "steps.sft: sede: no such option; did you mean seed?"),
    "no equals sign": ("variables.seed", "expected key=value"),
}


@pytest.mark.parametrize("fault", OVERLAID)
def test_an_override_must_meet_something_the_recipe_has(tmp_path: Path, fault: str):
    override, said = OVERLAID[fault]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"output": "o", "variables": {"seed": 0}, "steps": {"sft": STEP}}))
    the_mistake(plaudit("run", recipe, override), said)


def test_recipes_that_are_not_there(tmp_path: Path):
    the_mistake(plaudit("run", tmp_path / "no.yaml"), "no.yaml: no such recipe file")
    the_mistake(plaudit("run", "starter"), "starter: a template, filled in by plaudit init")
    the_mistake(plaudit("run", tmp_path), "a directory; expected a YAML file")


def test_a_later_step_s_missing_input_is_found_before_the_first_step_runs(tmp_path: Path):
    data = tmp_path / "d.jsonl"
    data.write_text('{"prompt": "a", "completion": "b"}')
    steps = {
        "sft": {"model": str(data), "dataset": str(data)},
        "reward": {"model": "${sft}", "dataset": str(tmp_path / "pears.jsonl")},
    }
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"output": str(tmp_path / "runs"), "steps": steps}))
    the_mistake(plaudit("run", recipe), f"{recipe}: steps.reward: ", "pears.jsonl: no such file")
    assert entries(tmp_path) == {"d.jsonl", "recipe.yaml"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sft"], "sft: no options given; expected plaudit sft --output DIR"),
        (["sft", "model=m"], "--output: required, but not given"),
        (["sft", "--config", "no.yaml", "--output", "out"], "no.yaml: no such configuration file"),
        (["sft", "--config", ".", "--output", "out"], ".: a directory; expected a YAML file"),
    ],
)
def test_what_a_command_needs(arguments: list[str], said: str, tmp_path: Path):
    outcome = plaudit_process(*arguments, cwd=tmp_path)
    the_mistake(outcome, said)
    assert not entries(tmp_path)


@pytest.mark.parametrize("arguments", [["trian"], ["run", "--frob"], ["run"], ["sft", "-o"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]):
    outcome = plaudit(*arguments)
    assert outcome.code == 2 and "Error" in outcome.err and not outcome.out
    assert "Traceback" not in outcome.err


def test_a_slip_in_a_command_s_name_is_told():
    assert "Did you mean 'sft'?" in plaudit("stf").err

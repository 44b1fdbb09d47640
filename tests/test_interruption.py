"""kill -9 at any step, then the same command: the same result as uninterrupted, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plaudit.artifacts import read_artifact
from tests.small import DIALOGUES, TOOLS, polite_pairs, small_checkpoint, write_rows

PAIRS = {"batch_size": 4, "learning_rate": 1e-3, "save_steps": 2}
RL = {
    "max_steps": 12, "batch_size": 4, "num_generations": 4, "max_completion_length": 10,
    "learning_rate": 1e-2, "save_steps": 2,
}  # fmt: skip
STAGES = {
    "pretrain": {
        "corpora": {"c": {"path": DIALOGUES, "kind": "taskmaster", "portion": [0.0, 0.02]}},
        "vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "batch_size": 4, "save_steps": 2,
        "holdout": 0.1, "precision": "bfloat16",
    },
    "sft": {"dataset": DIALOGUES, "portion": [0.0, 0.02], **PAIRS},
    "reward": {"num_train_epochs": 2, **PAIRS},
    "preference": {"num_train_epochs": 2, **PAIRS},
    "grpo": {"algorithm": "grpo", "reward_function": "tests.small:count_of_e", **RL},
    "ppo": {
        "algorithm": "ppo", "reward_function": "tests.small:count_of_e", "num_ppo_epochs": 2,
        "num_mini_batches": 2, "reward_normalisation": "running", "lora_r": 2,
        "adaptive_kl": {"target": 1.0, "horizon": 100}, "critic": {"warmup_steps": 2}, **RL,
    },
    "online": {"reward_function": "tests.small:count_of_e", **RL},
    "sample": {
        # Long enough for a model of random weights to stop now and then: what is cut is not kept.
        "num_generations": 8, "max_completion_length": 100, "save_prompts": 4,
        "reward_function": "tests.small:count_of_e",
    },
    "evaluate": {"num_generations": 8, "max_completion_length": 200, "tools": TOOLS},
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def judge(base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("judge")
    pairs = write_rows(place / "pairs.jsonl", polite_pairs())
    config = config_file(place, {"model": base, "dataset": pairs, **PAIRS})
    subprocess.run(command("reward", config, place / "judge"), env=environment(), check=True)
    return str(place / "judge")


def options(name: str, base: str, judge: str, place: Path) -> dict:
    found = dict(STAGES[name])
    if name == "evaluate":
        found |= {"baseline": base, "policies": {"same": base}, "judge": judge}
    elif name != "pretrain":
        found["model"] = base
    if name == "ppo":
        found["critic"] = {**found["critic"], "model": base}
    if name not in ("pretrain", "sft"):
        found["dataset"] = write_rows(place / "pairs.jsonl", polite_pairs())
    return found


def config_file(place: Path, values: dict) -> Path:
    file = place / "config.yaml"
    file.write_text(json.dumps(values))  # JSON is YAML
    return file


def command(stage: str, config: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "plaudit", stage, "-c", str(config), "-o", str(output)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}


def kill_once_at_work(stage: str, config: Path, output: Path, rng: random.Random) -> int:
    """Start the command, kill it at a random moment after its first checkpoint; its exit code."""
    process = subprocess.Popen(
        command(stage, config, output), env=environment(), stderr=subprocess.DEVNULL
    )
    draft = output.parent / f".{output.name}.draft"
    mark = draft if stage == "evaluate" else draft / "checkpoint"
    while process.poll() is None and not mark.exists():
        time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.15))
    process.send_signal(signal.SIGKILL)
    return process.wait()


LONG = ("evaluate", "sample")
"""Others stand for them in an ordinary run of the tests."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in STAGES]
)
def test_a_killed_stage_ends_as_an_uninterrupted_one(
    name: str, base: str, judge: str, tmp_path: Path
):
    stage = "rl" if name in ("ppo", "grpo") else name
    config = config_file(tmp_path, options(name, base, judge, tmp_path))
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    subprocess.run(command(stage, config, straight), env=environment(), check=True)

    rng = random.Random(name)
    killed = kill_once_at_work(stage, config, cut, rng)
    assert killed == -signal.SIGKILL, "the stage ended before it was killed: give it more steps"
    assert read_artifact(cut) is None, "a stage that was killed left a finished artifact"
    subprocess.run(command(stage, config, cut), env=environment(), check=True)

    expected, found = read_artifact(straight), read_artifact(cut)
    assert expected is not None and found is not None
    assert found.record["files"] == expected.record["files"]
    assert found.metrics == expected.metrics
    steps = [json.loads(line)["step"] for line in metrics(cut)]
    assert steps == [json.loads(line)["step"] for line in metrics(straight)]
    assert metrics(cut) == metrics(straight)


def metrics(output: Path) -> list[str]:
    file = output / "metrics.jsonl"
    return file.read_text().splitlines() if file.exists() else []

"""What the GPU's suite adds: Qwen-shaped models, the script, and (on a GPU) the device's memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from benchmarks import making, plaudit_side, workload
from benchmarks.peak import tflop_per_s
from benchmarks.results import Row, differing
from benchmarks.run import one_side, parse
from benchmarks.suite import cases
from benchmarks.workload import MODELS, Files, Work

SCRIPT = Path(making.__file__).with_name("gpu.sh")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A Qwen with a vocabulary larger than its tokenizer's, as the large ones have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workload, "RUNS", tmp_path_factory.mktemp("runs"))
        patch.setattr(making, "ROWS", {"short": 16, "long": 4})
        return Files(making.make(Work(task="sft", model="toy-qwen")))


def test_the_large_models_are_qwens_of_their_size() -> None:
    for name, millions in (("0.5b", 494), ("1.5b", 1544)):
        shape = MODELS[name]
        heads = shape.hidden_size // shape.num_attention_heads * shape.num_key_value_heads
        layer = 2 * shape.hidden_size**2 + 2 * shape.hidden_size * heads
        layer += 3 * shape.hidden_size * shape.intermediate_size
        parameters = shape.num_hidden_layers * layer + shape.vocab_size * shape.hidden_size
        assert parameters / 1e6 == pytest.approx(millions, rel=0.01)
        assert shape.family == "qwen2" and shape.vocab_size == 151_936


@pytest.mark.parametrize("task", ["grpo", "sample"])
def test_tokens_without_text_are_sampled_and_learned_from(made: Files, task: str) -> None:
    config = AutoConfig.from_pretrained(made.policy)
    assert (config.model_type, config.vocab_size) == ("qwen2", 768)
    work = Work(task=task, model="toy-qwen", steps=2, examples=8, precision="bfloat16")  # pyright: ignore[reportArgumentType]
    measured = plaudit_side.run(work, made, "")
    assert all(len(step) == work.prompts_per_step for step in measured.lengths)


def test_the_script_asks_for_what_the_suite_takes(tmp_path: Path) -> None:
    """A program in Python's place says what it was asked for; one that fails is reported."""
    asked, python = tmp_path / "asked", tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift\necho "$@" >> {asked}\n')
    python.chmod(0o755)
    told = {"PYTHON": str(python), "PEERS": "trl", "VENV": "v", "DEVICE": "cpu"}
    subprocess.run([SCRIPT, "dpo", "0.5b"], check=True, env={**os.environ, **told})
    subprocess.run([SCRIPT], check=True, env={**os.environ, **told})
    [alone, *all_] = [parse(line.split()) for line in asked.read_text().splitlines()]
    assert alone.section == "gpu" and alone.device == "cpu"
    [short, long] = cases(alone)
    assert (short.model, short.precision, short.peer) == ("0.5b", "bfloat16", "trl")
    assert (short.data, long.data) == ("short", "long")
    assert len(all_) == 2 * len(workload.TASKS)
    python.write_text("#!/bin/sh\nexit 2\n")
    done = subprocess.run(
        [SCRIPT, "sft", "1.5b"], capture_output=True, text=True, env={**os.environ, **told}
    )
    assert done.returncode == 1 and "sft, 1.5b: failed or cut off" in done.stderr


def test_a_case_without_a_peer_is_a_row() -> None:
    ours = [{"examples_per_s": 2.0, "tokens_per_s": 9.0, "least_tflop_per_s": 0.1}] * 2
    ours = [{**one, "peak_rss_mb": 5.0, "first_losses": [1.0]} for one in ours]
    row = Row(
        case="dpo, 0.5b", precision="bfloat16", sampled=False, peer="",
        ours=ours, theirs=[], peaks=[1.0, 1.0],
    )  # fmt: skip
    assert not differing(row)
    assert row.cells()[:2] == ["dpo, 0.5b", "2.0"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("default::UserWarning:torch.*")
@pytest.mark.filterwarnings("default:The .grad attribute:UserWarning")
def test_on_a_gpu_the_device_s_memory_is_reported(
    made: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "RUNS", made.directory.parent)
    for task in ("sft", "dpo", "grpo", "sample", "score"):
        work = Work(task=task, model="toy-qwen", steps=2, examples=8, device="cuda")  # pyright: ignore[reportArgumentType]
        found = one_side(work, "plaudit", "")
        assert found["peak_device_mb"] > 0 and found["settings"]["gpu"]
    assert tflop_per_s(torch.bfloat16, "cuda") > 1

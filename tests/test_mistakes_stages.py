"""Mistakes that only the stages can see: told in one line, before anything is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.command import plaudit, the_mistake
from tests.made import CHATS, Made, command, make, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made"))


EVALUATE = "evaluate baseline={base} policies.p={policy} judge={judge} "
REPORT = "report evaluation={evaluation} stages.p={policy} "
SEEN_BY_STAGES = {
    "no device": ("sft model={base} device=tpu", "device: tpu: no device; expected cpu, cuda"),
    "no such GPU": ("sft model={base} device=cuda:99", "device: cuda:99: torch"),
    "the judge's directory": (
        EVALUATE + "judge={reward}/model",
        "judge: ",
    ),
    "the policy's directory": (
        EVALUATE + "policies.p={policy}/model judge={reward}",
        "judge: ",
    ),
    "judged by the reward": (
        EVALUATE + "policies.p={base} judge={reward} reward_model={reward}",
        "judge: ",
    ),
    "a policy of another tokenizer": (
        EVALUATE + "policies.p={other}",
        "its tokenizer",
    ),
    "a policy named baseline": (
        EVALUATE + "policies.baseline={policy}",
        "policies.baseline",
    ),
    "tools for plain text": (
        EVALUATE + "tools=plaudit/coffee-bar/tools.json",
        "tools",
    ),
    "tools that are none": (
        EVALUATE + "tools={base}/config.json",
        "expected a JSON list of tools",
    ),
    "an evaluation of another stage": (
        "report evaluation={policy} stages.p={policy}",
        "evaluation",
    ),
    "a reward that is no stage": (
        REPORT + "reward=rewrd",
        "reward: rewrd",
    ),
    "a policy for a reward": (
        REPORT + "reward=p",
        "reward: p",
    ),
    "less than no examples": (
        REPORT + "examples=-1",
        "examples: input should be greater than or equal to 0",
    ),
    "a held-out portion backwards": (
        "sft model={base} eval_portion=[0.9,0.1]",
        "expected 0 <= from < to <= 1",
    ),
    "an empty held-out portion": (
        "reward model={base} eval_portion=[0,1e-9]",
        "none of its 3 usable rows is in the portion",
    ),
    "a mean without end": (
        "sft model={base} adam_beta1=1",
        "adam_beta1: input should be less than 1",
    ),
    "adapters of random weights": (
        "reward model={base} random_init=true lora_r=2",
        "random_init",
    ),
    "more than certain": (
        "rl model={base} reward_model={reward} top_p=2",
        "top_p: input should be less than or equal to 1",
    ),
    "labels turned round": (
        "preference model={base} label_smoothing=1",
        "label_smoothing: input should be less than 0.5",
    ),
}


@pytest.mark.parametrize("fault", SEEN_BY_STAGES)
def test_a_mistake_in_how_stages_meet(made: Made, tmp_path: Path, fault: str):
    line, said = SEEN_BY_STAGES[fault]
    stage, *options = line.split()
    the_mistake(plaudit(*command(made, tmp_path, stage, options)), said)
    assert not {".out.draft", "out"} & {path.name for path in tmp_path.iterdir()}


def test_a_portion_backwards_is_refused_before_anything_is_read(tmp_path: Path):
    options = ["model=m", "dataset=d.jsonl", "portion=[0.9, 0.1]"]
    the_mistake(plaudit("sft", *options, "--dry-run"), "portion: expected 0 <= from < to <= 1")


def test_a_row_that_cannot_be_rendered_is_named(made: Made, tmp_path: Path):
    rows = json.loads(json.dumps(CHATS))
    rows[1]["messages"][0]["content"] = "<|end|>"
    data = write(tmp_path / "d.jsonl", rows)
    options = [f"model={made.base}", f"dataset={data}"]
    the_mistake(plaudit("sft", *options, "--output", tmp_path / "out"), "d.jsonl:2: ", "<|end|>")


def test_a_model_without_a_template_is_named(made: Made, tmp_path: Path):
    shutil.copytree(made.base, tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").unlink()
    options = [f"model={tmp_path}/m", f"dataset={write(tmp_path / 'd.jsonl', CHATS)}"]
    outcome = plaudit("sft", *options, "--output", tmp_path / "out")
    the_mistake(outcome, f"{tmp_path}/m", "chat template")


def test_one_conversation_is_too_few_to_evaluate_on(made: Made, tmp_path: Path):
    options = ["baseline={base}", "policies.p={policy}", "judge={judge}", "max_prompts=1"]
    the_mistake(plaudit(*command(made, tmp_path, "evaluate", options)), "needs at least 2")
    assert not (tmp_path / ".out.draft").exists()

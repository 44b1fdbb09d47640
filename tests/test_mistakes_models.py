"""Mistakes in models, rewards and judges: one line that names the model and what was expected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertConfig, BertLMHeadModel

from tests.command import entries, plaudit, the_mistake
from tests.made import CHATS, TEXTS, Made, command, make, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made"))


def without(*names: str) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        for name in names:
            (model / name).unlink()

    return spoil


def with_text(name: str, text: str) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        (model / name).write_text(text)

    return spoil


def with_values(name: str, **values: object) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        read = json.loads((model / name).read_text()) | values
        (model / name).write_text(json.dumps(read))

    return spoil


def cut_short(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def a_bert(model: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = BertConfig(vocab_size=500, intermediate_size=8, is_decoder=True, **sizes)
    BertLMHeadModel(config).save_pretrained(model)
    with_values("config.json", is_decoder=False)(model)


NO_TEMPLATE = without("chat_template.jinja")
MODELS = {
    "nothing": (shutil.rmtree, "./m: no such directory (and not a hub name like org/model)"),
    "no config": (without("config.json"), "m: holds no model (no config.json in m)"),
    "half a config": (with_text("config.json", "{"), "m: no"),
    "an empty config": (with_text("config.json", "{}"), "m: not a model: Unrecognized model in m"),
    "unknown family": (
        with_values("config.json", model_type="x"),
        "m: not a model: The checkpoint",
    ),
    "odd heads": (
        with_values("config.json", num_attention_heads=5),
        "m: no",
    ),
    "words for sizes": (
        with_values("config.json", hidden_size="big"),
        "m: no",
    ),
    "no weights": (without("model.safetensors"), "m: cannot load the model: Error no file named"),
    "half the weights": (cut_short, "m: cannot load the model: Error while deserializing header"),
    "other shapes": (
        with_values("config.json", intermediate_size=64),
        "is [48, 96] in the checkpoint, but config.json makes it [48, 64]",
    ),
    "more layers": (
        with_values("config.json", num_hidden_layers=3),
        "needs model.layers.2.input_layernorm.weight, which is not in the checkpoint (9 missing)",
    ),
    "no tokenizer": (
        without("tokenizer.json", "tokenizer_config.json"),
        "m: no usable tokenizer: Couldn't instantiate",
    ),
    "half a tokenizer": (with_text("tokenizer.json", "{"), "m: no usable tokenizer: "),
    "no end": (
        with_values("tokenizer_config.json", eos_token=None),
        "m: the tokenizer has no EOS token, so nothing can ever stop",
    ),
    "half a generation config": (
        with_text("generation_config.json", "{"),
        "m/generation_config.json: cannot be read",
    ),
    "no template": (NO_TEMPLATE, "the chat template of m refuses 'user'"),
    "a broken template": (with_text("chat_template.jinja", "{% for %}"), "the chat template"),
    "a template without an end": (
        with_text("chat_template.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}"),
        "the chat template ends an assistant's turn with none of the stop tokens ['<|end|>']",
    ),
    "not causal": (a_bert, "m: bert reads in both directions; expected a causal language model"),
}


@pytest.mark.parametrize("fault", MODELS)
def test_a_model_with_a_fault_is_named(
    made: Made, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    spoil, said = MODELS[fault]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.base, "m")
    spoil(Path("m"))
    write(Path("d.jsonl"), CHATS if "template" in fault else TEXTS)
    before = entries(tmp_path)
    the_mistake(plaudit("sft", "model=./m", "dataset=d.jsonl", "--output", "out"), said)
    assert entries(tmp_path) == before


REWARDS = {
    "a reward model to imitate with": ("sft", ["model={reward}"], "reward: a reward model or"),
    "logs for a model": ("sft", ["model={reward}/tensorboard"], "tensorboard: holds no model"),
    "an evaluation for a model": ("sft", ["model={evaluation}"], "evaluation: holds no model"),
    "a language model as reward": (
        "rl",
        ["model={base}", "reward_model={base}"],
        "base: a language model, not a reward model (train one: plaudit reward)",
    ),
    "no reference": (
        "rl",
        ["model={base}", "reward_model={bare}", "reward_normalisation=reference"],
        "bare/reward.json: missing, so scores cannot be standardised",
    ),
    "no critic": (
        "rl",
        ["model={base}", "reward_model={reward}", "algorithm=ppo", "critic.model=/no/critic"],
        "/no/critic: no such directory",
    ),
    "no module": ("rl", ["model={base}", "reward_function=nowhere:f"], "nowhere:f: cannot be"),
    "no function": ("rl", ["model={base}", "reward_function=json:load_s"], "json:load_s: cannot"),
    "no colon": ("rl", ["model={base}", "reward_function=json"], "json: expected package.module"),
    "not a function": ("rl", ["model={base}", "reward_function=json:decoder"], "json:decoder: is"),
    "the judge optimised": (
        "evaluate",
        ["baseline={base}", "policies.p={policy}", "judge={reward}"],
        "judge: {reward} is also the reward of p, which was optimised; judge with a reward model",
    ),
    "a language model as judge": (
        "evaluate",
        ["baseline={base}", "policies.p={policy}", "judge={base}"],
        "base: a language model, not a reward model",
    ),
    "no policies": (
        "evaluate",
        ["baseline={base}", "policies={}", "judge={judge}"],
        "policies: dictionary should have at least 1 item",
    ),
    "no tools": (
        "evaluate",
        ["baseline={base}", "policies.p={policy}", "judge={judge}", "tools=no.json"],
        "no.json: no such file",
    ),
    "a report of a model": (
        "report",
        ["evaluation={base}", "stages.p={policy}"],
        "base: not a finished artifact; run its stage first",
    ),
    "a report of nothing": (
        "report",
        ["evaluation={evaluation}", "stages.p=/no/policy"],
        "/no/policy: no such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REWARDS)
def test_a_model_in_the_wrong_place_is_named(made: Made, tmp_path: Path, fault: str):
    stage, options, said = REWARDS[fault]
    if fault == "no reference":
        shutil.copytree(made.reward / "model", tmp_path / "bare")
        (tmp_path / "bare" / "reward.json").unlink()
    outcome = plaudit(*command(made, tmp_path, stage, options))
    the_mistake(outcome, said.format_map(made._asdict()))
    assert not {".out.draft", "out"} & {path.name for path in tmp_path.iterdir()}

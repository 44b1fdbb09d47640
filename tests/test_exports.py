"""What is saved is a plain Hugging Face checkpoint, in every family; what is loaded is whole.

Shapes: M branches, T tokens of the longest sequence.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GraniteConfig,
    GraniteForCausalLM,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from plaudit.models import (
    AdapterRoles,
    SeparateRoles,
    collate,
    load_language_model,
    load_scalar_model,
    save_model,
    stop_ids,
)
from plaudit.models.loading import init_scalar_head
from plaudit.models.nano import new_llama
from plaudit.text import Tree
from tests.tiny import BRANCHING, random_tree, tiny_language_model, tiny_scalar_model


@pytest.fixture(autouse=True)
def _no_load_reports(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR, logger="transformers")


def some_trees() -> list[Tree]:
    rng = np.random.default_rng(0)
    return [random_tree(rng, prompt=p, branches=b) for p, b in [(5, [4, 7, 1]), (9, [3, 8])]]


def plain(auto: Any, path: Path, family: str) -> PreTrainedModel:
    """Loaded as anybody would; Gemma 2's own documents ask for eager attention."""
    options = {"attn_implementation": "eager"} if family == "gemma2" else {}
    return auto.from_pretrained(path, **options)


def plain_scores(model: PreTrainedModel, trees: Sequence[Tree]) -> Tensor:
    """transformers' own scores: every prompt with every response, padded on the right."""
    rows = [np.concatenate([t.prompt_P, b.ids]) for t in trees for b in t.branches]
    ids_MT = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.long)
    mask_MT = torch.zeros_like(ids_MT)
    for m, row in enumerate(rows):
        ids_MT[m, : len(row)], mask_MT[m, : len(row)] = torch.as_tensor(row), 1
    return model(input_ids=ids_MT, attention_mask=mask_MT).logits[:, 0]


def role_scores(roles: SeparateRoles | AdapterRoles, role: str, trees: Sequence[Tree]) -> Tensor:
    batch = collate(trees, layout=roles.layout)
    return roles.outputs(batch, [f"{role}.scores"], temperature=1.0)[f"{role}.scores"]


def adapted(family: str) -> AdapterRoles:
    """Adapters that change the model, a scalar head that is not small."""
    roles = AdapterRoles(tiny_language_model(family), ["policy", "reward"], r=4, alpha=8, seed=0)
    torch.manual_seed(5)
    with torch.no_grad():
        for role in roles.trained:
            for parameter in roles.parameters(role).values():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return roles


IDS = torch.arange(3, 40)[None]


@pytest.mark.parametrize("family", BRANCHING)
def test_a_policy_loads_with_plain_transformers(family: str, coffee_tokenizer, tmp_path: Path):
    roles = SeparateRoles({"policy": tiny_language_model(family)}, trained=["policy"])
    roles.save("policy", coffee_tokenizer, tmp_path)
    loaded = plain(AutoModelForCausalLM, tmp_path, family)
    weights = roles.model("policy").state_dict()
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    expected = roles.model("policy")(input_ids=IDS).logits
    torch.testing.assert_close(loaded(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)
    again = load_language_model(str(tmp_path), precision="float32")
    assert torch.equal(again(input_ids=IDS).logits, expected) and not again.training


@pytest.mark.parametrize("family", BRANCHING)
def test_a_reward_model_scores_alike_with_plain_transformers(
    family: str, coffee_tokenizer, tmp_path: Path
):
    trees = some_trees()
    roles = SeparateRoles({"reward": tiny_scalar_model(family)}, trained=["reward"])
    roles.save("reward", coffee_tokenizer, tmp_path)
    expected = role_scores(roles, "reward", trees)
    loaded = plain(AutoModelForSequenceClassification, tmp_path, family)
    torch.testing.assert_close(plain_scores(loaded, trees), expected, atol=1e-5, rtol=1e-5)
    again = load_scalar_model(str(tmp_path), precision="float32", seed=9)
    found = role_scores(SeparateRoles({"reward": again}, trained=[]), "reward", trees)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", BRANCHING)
def test_adapters_merge_into_plain_checkpoints(family: str, coffee_tokenizer, tmp_path: Path):
    roles, trees = adapted(family), some_trees()
    for role in roles.trained:
        roles.save(role, coffee_tokenizer, tmp_path / role)
    policy = plain(AutoModelForCausalLM, tmp_path / "policy", family)
    expected = roles.model("policy")(input_ids=IDS).logits
    torch.testing.assert_close(policy(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)
    reward = plain(AutoModelForSequenceClassification, tmp_path / "reward", family)
    expected = role_scores(roles, "reward", trees)
    torch.testing.assert_close(plain_scores(reward, trees), expected, atol=1e-5, rtol=1e-5)
    before = tiny_language_model(family)(input_ids=IDS).logits
    assert (policy(input_ids=IDS).logits - before).abs().max() > 0.01


def test_adapters_stand_on_every_linear_layer_of_gpt2_but_the_head():
    base = tiny_language_model("gpt2")
    layers = {name for name, module in base.named_modules() if isinstance(module, Conv1D)}
    roles = AdapterRoles(base, ["policy"], r=4, alpha=8, seed=0)
    found = {name.split(".lora_")[0] for name in roles.parameters("policy")}
    assert len(layers) == 12 and found == layers


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_language_model_gets_a_new_scalar_head(family: str, coffee_tokenizer, tmp_path: Path):
    save_model(tiny_language_model(family), coffee_tokenizer, tmp_path)
    models = [load_scalar_model(str(tmp_path), precision="float32", seed=s) for s in (0, 0, 1)]
    same, again, other = (model.score.weight for model in models)
    assert torch.equal(same, again) and not torch.equal(same, other)
    assert float(same.detach().std()) == pytest.approx(1 / math.sqrt(33), rel=0.3)
    expected = tiny_language_model(family).base_model(input_ids=IDS).last_hidden_state
    assert torch.equal(models[0].base_model(input_ids=IDS).last_hidden_state, expected)


def test_a_scalar_heads_size_is_that_of_the_paper():
    head = nn.Linear(8191, 1)
    init_scalar_head(head, seed=0)
    assert float(head.weight.detach().std()) == pytest.approx(1 / math.sqrt(8192), rel=0.05)
    assert head.bias.tolist() == [0.0]


def test_a_new_model_in_bfloat16_is_the_one_its_checkpoint_holds(coffee_tokenizer, tmp_path: Path):
    model = new_llama(
        coffee_tokenizer, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512, seed=0,
        precision="bfloat16",
    )  # fmt: skip
    save_model(model, coffee_tokenizer, tmp_path)
    loaded = load_language_model(str(tmp_path), precision="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    buffers = dict(loaded.named_buffers())
    for name, buffer in model.named_buffers():
        assert buffer.dtype == buffers[name].dtype and torch.equal(buffer, buffers[name]), name
    ids = torch.arange(500)[None]
    assert torch.equal(model(input_ids=ids).logits, loaded(input_ids=ids).logits)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == model.config.vocab_size


def test_a_reward_models_stop_tokens_come_from_its_backbone(coffee_tokenizer, tmp_path: Path):
    save_model(tiny_scalar_model(), coffee_tokenizer, tmp_path)
    assert stop_ids(str(tmp_path), coffee_tokenizer) == (coffee_tokenizer.eos_token_id,)


def without_a_weight(path: Path) -> None:
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


def cut_short(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [(without_a_weight, r"needs model\.layers\.1\.mlp\.up_proj\.weight"), (cut_short, "not fully")],
)
@pytest.mark.parametrize("scalar", [False, True])
def test_a_checkpoint_that_is_not_whole_is_refused(
    damage, message: str, scalar: bool, coffee_tokenizer, tmp_path: Path
):
    model = tiny_scalar_model() if scalar else tiny_language_model()
    save_model(model, coffee_tokenizer, tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        if scalar:
            load_scalar_model(str(tmp_path), precision="float32", seed=0)
        else:
            load_language_model(str(tmp_path), precision="float32")


def test_models_of_another_kind_are_refused(coffee_tokenizer, tmp_path: Path):
    save_model(tiny_scalar_model(), coffee_tokenizer, tmp_path / "reward")
    with pytest.raises(ValueError, match="expected a language model"):
        load_language_model(str(tmp_path / "reward"), precision="float32")
    save_model(tiny_language_model("mamba"), coffee_tokenizer, tmp_path / "mamba")
    with pytest.raises(ValueError, match="cannot load the model"):
        load_scalar_model(str(tmp_path / "mamba"), precision="float32", seed=0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    granite = GraniteConfig(vocab_size=64, num_attention_heads=2, num_key_value_heads=1, **sizes)
    with pytest.raises(ValueError, match="no scalar head"):
        AdapterRoles(GraniteForCausalLM(granite), ["reward"], r=2, alpha=4, seed=0)

"""Models whose layers are computed by our own kernels are the models that transformers computes."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from plaudit.models import AdapterRoles, collate, hidden_states, native_layers
from plaudit.native import library
from tests.tiny import random_tree, tiny_language_model

pytestmark = pytest.mark.skipif(library() is None, reason="there is no C++ compiler here")

FAMILIES = ["llama", "mistral", "qwen2", "qwen3"]


def learned(model: PreTrainedModel, read: list[int] | range = range(28)) -> list[Tensor]:
    """Hidden states of packed trees, and the gradient of every weight that has one."""
    rng = np.random.default_rng(0)
    trees = [random_tree(rng, prompt=7, branches=[3, 5]), random_tree(rng, prompt=4, branches=[9])]
    model.zero_grad()
    hidden = hidden_states(model, collate(trees, layout="packed"), torch.tensor(read))
    drawn = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0))
    (hidden.float() * drawn).sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return [hidden.detach().float(), *(g.float() for g in grads)]


def without_kernels(model: PreTrainedModel) -> PreTrainedModel:
    plain = copy.deepcopy(model)
    for module in plain.modules():
        for name in ("forward", "has_own_kernels"):
            vars(module).pop(name, None)
    return plain


def fused(model: nn.Module) -> list[str]:
    """What kernels compute; linear layers may compute otherwise for want of bfloat16."""
    own = (m for m in model.modules() if "forward" in vars(m) and not isinstance(m, nn.Linear))
    return [type(m).__name__ for m in own]


@pytest.mark.parametrize("family", FAMILIES)
def test_states_and_gradients_are_those_of_transformers(family: str):
    model = tiny_language_model(family)
    plain = without_kernels(model)
    assert fused(model) and not fused(plain)
    for found, expected in zip(learned(model), learned(plain), strict=True):
        torch.testing.assert_close(
            found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


READ = {
    "one a branch": [9, 14, 27],
    "of one tree alone": [6, 7, 8],
    "of one branch alone, out of order": [14, 11, 13],
    "one of them twice": [6, 6, 9, 27, 18],
    "of the trunks alone": [1, 17],
}


@pytest.mark.parametrize("read", READ.values(), ids=READ.keys())
@pytest.mark.parametrize("family", FAMILIES)
def test_a_last_layer_that_answers_for_what_is_read_learns_as_a_whole_one(family, read):
    model = tiny_language_model(family)
    plain = without_kernels(model)
    assert native_layers.last_layer_reads(model) and not native_layers.last_layer_reads(plain)
    for found, expected in zip(learned(model, read), learned(plain, read), strict=True):
        torch.testing.assert_close(
            found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


def test_nothing_is_taken_from_what_the_last_layer_did_not_compute(monkeypatch):
    """Memory that is handed out unwritten is NaN."""
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a, **k: empty(*a, **k).fill_(math.nan))
    for values in learned(tiny_language_model("llama"), READ["one a branch"]):
        assert values.isfinite().all()


def test_what_the_kernels_do_not_take_is_read_too():
    model = tiny_language_model("llama").double()
    plain, read = without_kernels(model), READ["one a branch"]
    for found, expected in zip(learned(model, read), learned(plain, read), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_as_near_to_float32_as_that_of_transformers(family: str):
    errors = np.zeros(2)
    for seed in range(3):
        model = tiny_language_model(family, seed)
        plain = without_kernels(model)
        exact = learned(plain)
        for i, one in enumerate((model, plain)):
            found = learned(one.to(torch.bfloat16))  # pyright: ignore[reportArgumentType]
            errors[i] += sum(
                float((x - y).norm() / y.norm()) for x, y in zip(found, exact, strict=True)
            )
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pass_without_a_gradient_has_the_same_bits(dtype: torch.dtype):
    model = tiny_language_model("qwen3").to(dtype)  # pyright: ignore[reportArgumentType]
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        alone = model(ids).logits
    assert torch.equal(alone, model(ids).logits)


@pytest.mark.parametrize("family", ["gemma3", "phi3", "gpt2"])
def test_families_that_compute_otherwise_are_left_alone(family: str):
    assert not fused(tiny_language_model(family))


def test_another_activation_is_left_alone():
    model = tiny_language_model("llama")
    model.model.layers[0].mlp.act_fn = nn.GELU()
    plain = without_kernels(model)
    native_layers.use_native_layers(plain)
    assert fused(plain).count("LlamaMLP") == 2


def test_a_copy_and_a_pickle_compute_with_their_own_weights():
    model = tiny_language_model("llama")
    before = learned(model)[0]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert fused(other) == fused(model)
        assert torch.equal(learned(other)[0], before)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(0.5)
        assert not torch.allclose(learned(other)[0], before)
        assert torch.equal(learned(model)[0], before)


def test_files_are_those_of_the_plain_model(tmp_path):
    model = tiny_language_model("qwen3")
    model.save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert not fused(plain)
    ids = torch.arange(3, 20)[None]
    torch.testing.assert_close(model(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-4)


def test_cached_keys_continue_as_one_pass_does():
    model = tiny_language_model("qwen2")
    ids = torch.arange(3, 20)[None]
    whole = model(ids).logits
    first = model(ids[:, :9], use_cache=True)
    rest = model(ids[:, 9:], past_key_values=first.past_key_values).logits
    torch.testing.assert_close(rest, whole[:, 9:], rtol=1e-4, atol=1e-4)


def test_adapters_within_an_mlp_are_used_and_learn():
    base = tiny_language_model("llama")
    roles = AdapterRoles(base, ["policy"], r=2, alpha=4, seed=0)
    parameters = roles.parameters("policy")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.fill_(0.05 if "lora_B" in name else 0.02)
    with_adapters = learned(base)
    gradients = {name: p.grad for name, p in parameters.items()}
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())
    for found, expected in zip(with_adapters, learned(without_kernels(base)), strict=True):
        torch.testing.assert_close(
            found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


def test_a_norm_in_float32_in_a_model_in_bfloat16_is_computed_as_transformers_does():
    model = tiny_language_model("llama").to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    norm = model.model.norm
    norm.weight.data = norm.weight.data.float()
    x = torch.randn(2, 3, 32, dtype=torch.bfloat16)
    assert norm(x).dtype == torch.float32
    assert torch.equal(norm(x), type(norm).forward(norm, x))

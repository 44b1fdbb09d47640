"""LoRA layers that add in place give what PEFT's give, and the same gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from plaudit.models import low_rank
from plaudit.models.low_rank import add_in_place
from tests.tiny import tiny_language_model

IDS_BT = torch.arange(2, 26).view(2, 12)


def llama() -> PreTrainedModel:
    return tiny_language_model(seed=0)


def gpt2() -> PreTrainedModel:
    """Its layers hold their weights transposed, and have biases."""
    config = GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=300, n_positions=64)
    return GPT2LMHeadModel(config)


def adapted(model: PreTrainedModel) -> PeftModel:
    """With one adapter whose matrices are all of random numbers."""
    transposed = isinstance(model, GPT2LMHeadModel)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", fan_in_fan_out=transposed)
    found = PeftModel(model, lora, adapter_name="policy")
    generator = torch.Generator().manual_seed(1)
    for name, parameter in found.named_parameters():
        if ".lora_" in name:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return found.eval()


def passes(model: PeftModel) -> dict[str, Tensor]:
    logits = model(input_ids=IDS_BT).logits
    drawn = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    logits.backward(drawn.to(logits.dtype))
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **grads}


@pytest.mark.parametrize("make", [llama, gpt2])
def test_passes_are_those_of_peft(make):
    model = adapted(make())
    expected = passes(copy.deepcopy(model))
    add_in_place(model)
    found = passes(model)
    assert found.keys() == expected.keys() and len(found) > 8
    for name, values in expected.items():
        assert float((found[name] - values).abs().max() / values.abs().max()) < 1e-4, name


def test_without_the_adapter_it_is_the_frozen_model():
    frozen = llama().eval()
    expected = frozen(input_ids=IDS_BT).logits
    model = adapted(copy.deepcopy(frozen))
    add_in_place(model)
    assert not torch.allclose(model(input_ids=IDS_BT).logits, expected, atol=1e-3)
    with model.disable_adapter():
        assert torch.equal(model(input_ids=IDS_BT).logits, expected)


@pytest.mark.parametrize("multiplies", [True, False])
def test_bfloat16_is_float32_but_for_rounding(multiplies: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(low_rank, "multiplies_bfloat16", lambda: multiplies)
    x, weights = torch.randn(3, 5, 24), nn.Linear(24, 40).requires_grad_(False)
    layer = adapted_layer(weights)
    expected = layer_passes(layer, x)
    add_in_place(layer)
    layer.base_layer.bfloat16()
    found = layer_passes(layer, x.bfloat16())
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max())
        torch.testing.assert_close(one.float(), other, rtol=2**-6, atol=2**-6 * scale)
    assert [one.dtype for one in found] == [torch.bfloat16] * 2 + [torch.float32] * 2


def adapted_layer(weights: nn.Linear) -> nn.Module:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = weights

    model = PeftModel(Model(), LoraConfig(r=4, lora_alpha=8, target_modules=["layer"]))  # pyright: ignore
    layer = model.base_model.model.layer
    for matrices in (layer.lora_A, layer.lora_B):
        nn.init.normal_(matrices["default"].weight)
    return layer


def layer_passes(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """What it gives, and the gradients of what it was given and of the adapter's matrices."""
    x = x.clone().requires_grad_()
    learned = [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    y = layer(x)
    grads = torch.autograd.grad(y.float().square().sum(), [x, *learned])
    return [y.detach(), *grads]


def test_nothing_is_kept_for_the_adapter():
    layer = adapted_layer(nn.Linear(24, 40).requires_grad_(False))
    add_in_place(layer)
    x, kept = torch.randn(50, 24, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    held = {t.untyped_storage().data_ptr() for t in kept}
    own = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    assert held - own == {x.untyped_storage().data_ptr()}

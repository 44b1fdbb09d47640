"""bfloat16 by products of float32 is what products of bfloat16 are, to their one rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from plaudit.models.products import use_float32_products
from tests.tiny import tiny_language_model


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def passes(layer: nn.Linear, x: Tensor) -> list[Tensor]:
    """What a layer gives, and the gradients of what it was given and of its weights."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(drawn(*y.shape, seed=2))
    grads = [p.grad for p in (x, *layer.parameters())]
    return [y.detach(), *(g for g in grads if g is not None)]


@pytest.mark.parametrize("shape", [(24,), (1, 24), (3, 5, 24)])
@pytest.mark.parametrize("bias", [False, True])
def test_passes_are_those_of_float32_rounded(shape: tuple[int, ...], bias: bool):
    layer = nn.Linear(24, 40, bias=bias).bfloat16()
    exact = passes(copy.deepcopy(layer).float(), drawn(*shape, seed=1).float())
    use_float32_products(layer)
    found = passes(layer, drawn(*shape, seed=1))
    assert len(found) == len(exact) == 3 + bias
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.bfloat16 and one.shape == other.shape
        torch.testing.assert_close(one.float(), other, rtol=2**-7, atol=2**-7)


def test_a_frozen_weight_gets_no_gradient_and_a_first_input_none():
    layer = nn.Linear(8, 8, bias=False).bfloat16()
    use_float32_products(layer)
    x = drawn(4, 8, seed=1).requires_grad_()
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None
    layer.weight.requires_grad_(True)
    layer(x.detach()).sum().backward()
    assert layer.weight.grad is not None


def test_other_dtypes_have_their_own_products():
    layer = nn.Linear(8, 8)
    plain = copy.deepcopy(layer)
    use_float32_products(layer)
    x = drawn(4, 8, seed=1).float()
    assert torch.equal(layer(x), plain(x))


def test_a_model_keeps_its_precision():
    model = tiny_language_model("llama")
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        exact = model(ids).logits
        use_float32_products(model.bfloat16())
        logits = model(ids).logits
    assert logits.dtype == torch.bfloat16
    assert float((logits.float() - exact).norm() / exact.norm()) < 0.02

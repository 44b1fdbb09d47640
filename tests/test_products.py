"""bfloat16 by kernels or by products of float32 is what its products are, to their one rounding."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from plaudit.models import products
from plaudit.models.loading import as_dtype
from plaudit.models.products import compiles_products, use_float32_products, use_own_products
from plaudit.native.products import has_products, linear, linear_back, linear_weights
from tests.tiny import tiny_language_model

KERNELS = pytest.mark.skipif(not has_products(), reason="no kernels of products on this processor")
WAYS = [use_float32_products, pytest.param(use_own_products, marks=KERNELS)]
Install = Callable[[nn.Module], None]


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def passes(layer: nn.Linear, x: Tensor) -> list[Tensor]:
    """What a layer gives, and the gradients of what it was given and of its weights."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(drawn(*y.shape, seed=2))
    grads = [p.grad for p in (x, *layer.parameters())]
    return [y.detach(), *(g for g in grads if g is not None)]


@pytest.mark.parametrize("shape", [(48,), (1, 48), (3, 5, 48), (0, 48)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("install", WAYS)
def test_passes_are_those_of_float32_rounded(
    shape: tuple[int, ...], bias: bool, install: Install
) -> None:
    layer = nn.Linear(48, 80, bias=bias).bfloat16()
    exact = passes(copy.deepcopy(layer).float(), drawn(*shape, seed=1).float())
    install(layer)
    found = passes(layer, drawn(*shape, seed=1))
    assert len(found) == len(exact) == 3 + bias
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.bfloat16 and one.shape == other.shape
        torch.testing.assert_close(one.float(), other, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("install", WAYS)
def test_a_frozen_weight_gets_no_gradient_and_a_first_input_none(install: Install) -> None:
    layer = nn.Linear(16, 16, bias=False).bfloat16()
    install(layer)
    x = drawn(4, 16, seed=1).requires_grad_()
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None
    layer.weight.requires_grad_(True)
    layer(x.detach()).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("install", WAYS)
def test_other_dtypes_have_their_own_products(install: Install) -> None:
    layer = nn.Linear(16, 16)
    plain = copy.deepcopy(layer)
    install(layer)
    x = drawn(4, 16, seed=1).float()
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("install", WAYS)
def test_a_model_keeps_its_precision(install: Install) -> None:
    model = tiny_language_model("llama")
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        exact = model(ids).logits
        install(model.bfloat16())
        logits = model(ids).logits
    assert logits.dtype == torch.bfloat16
    assert float((logits.float() - exact).norm() / exact.norm()) < 0.02


@KERNELS
@pytest.mark.parametrize("rows", [1, 2, 5, 47, 49, 1100])
@pytest.mark.parametrize("size", [(16, 16), (64, 48), (80, 176), (1040, 32)])
def test_kernels_sum_every_number_once(rows: int, size: tuple[int, int]) -> None:
    """Small whole numbers have exact products: what is left out or doubled would show."""
    outputs, inputs = size
    generator = torch.Generator().manual_seed(rows)
    x, w, dy, b = (
        torch.randint(-1, 2, shape, generator=generator).bfloat16()
        for shape in ((rows, inputs), size, (rows, outputs), (outputs,))
    )
    found = linear(x, w, b), linear_back(dy, w), linear_weights(dy, x)
    exact = x.float() @ w.float().T + b.float(), dy.float() @ w.float(), dy.float().T @ x.float()
    for one, other in zip(found, exact, strict=True):
        assert torch.equal(one, other.bfloat16())


@KERNELS
def test_a_row_is_what_it_is_alone_on_any_number_of_threads() -> None:
    x, w = drawn(205, 80, seed=1), drawn(176, 80, seed=2)
    together = linear(x, w, None)
    assert all(torch.equal(linear(x[k : k + 1], w, None)[0], together[k]) for k in (0, 48, 204))
    strided = linear(x.T.contiguous().T, w, None)
    assert torch.equal(strided, together)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = linear(x, w, None), linear_weights(together, x)
        torch.set_num_threads(3)
        three = linear(x, w, None), linear_weights(together, x)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(alone[0], three[0]) and torch.equal(alone[1], three[1])


@KERNELS
def test_what_is_no_number_stays_none() -> None:
    x, w = drawn(50, 32, seed=1), drawn(32, 32, seed=2)
    x[7, 3] = float("nan")
    bad = linear(x, w, None).isnan()
    assert bad[7].all() and bad.sum() == 32
    assert linear_weights(drawn(50, 32, seed=3), x).isnan().any(0).tolist() == [
        k == 3 for k in range(32)
    ]


@KERNELS
def test_other_sizes_are_left_to_pytorch() -> None:
    layer = nn.Linear(24, 40).bfloat16()
    plain = copy.deepcopy(layer)
    use_own_products(layer)
    x = drawn(4, 24, seed=1)
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("install", WAYS)
def test_a_wrong_number_of_inputs_is_refused(install: Install) -> None:
    layer = nn.Linear(32, 16).bfloat16()
    install(layer)
    with pytest.raises(RuntimeError, match="shapes"):
        layer(drawn(4, 48, seed=1))


def test_what_onednn_multiplies_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_language_model("llama")
    as_dtype(model, "bfloat16")
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: True)
    assert compiles_products(model) is not has_products()
    model.lm_head = Conv1D(16, 16).bfloat16()
    assert compiles_products(model)
    assert not compiles_products(model.float())
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: False)
    assert not compiles_products(model.bfloat16())

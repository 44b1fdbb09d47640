"""The kernels between products and attention, against the formulas in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from plaudit.models.token_head import logprobs_and_entropy
from plaudit.native import library
from plaudit.native.gated import silu_times
from plaudit.native.norms import rms_norm, rms_norm_of_sum
from plaudit.native.rotary import turned

pytestmark = pytest.mark.skipif(library() is None, reason="there is no C++ compiler here")

EPSILON = 1e-6
DTYPES = [torch.float32, torch.bfloat16]
SIZES = [(1, 2), (3, 5), (2, 16), (70, 33), (200, 48)]
"""Tokens and numbers of each: below, at and past the vectors, and more tokens than chunks."""
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def draw(*size: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator).to(dtype).requires_grad_()


def plain_norm(s: Tensor, weight: Tensor) -> Tensor:
    return weight * s / (s.pow(2).mean(-1, keepdim=True) + EPSILON).sqrt()


def plain_turned(x_BTHD: Tensor, cos_BTD: Tensor, sin_BTD: Tensor) -> Tensor:
    a, b = x_BTHD.chunk(2, dim=-1)
    cos, sin = cos_BTD[:, :, None], sin_BTD[:, :, None]
    return x_BTHD * cos + torch.cat((-b, a), dim=-1) * sin


def angles(rows: int, tokens: int, size: int) -> tuple[Tensor, Tensor]:
    angle = draw(rows, tokens, size // 2, seed=9).detach().repeat(1, 1, 2)
    return angle.cos(), angle.sin()


def assert_alike(
    native: Callable[..., Tensor | tuple[Tensor, ...]],
    plain: Callable[..., Tensor | tuple[Tensor, ...]],
    inputs: list[Tensor],
) -> None:
    """Outputs and gradients, under a random gradient of every output."""
    tolerance = TOLERANCE[inputs[0].dtype]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    found, expected = as_tuple(native(*inputs)), as_tuple(plain(*exact))
    grads = [draw(*x.shape, seed=5 + i, dtype=x.dtype).detach() for i, x in enumerate(found)]
    back = torch.autograd.grad(found, inputs, grads)
    back_expected = torch.autograd.grad(expected, exact, [g.double() for g in grads])
    for one, other in zip((*found, *back), (*expected, *back_expected), strict=True):
        scale = float(other.detach().abs().max()) + 1e-3
        torch.testing.assert_close(
            one.double(), other, rtol=tolerance, atol=tolerance * scale * 0.3
        )


def as_tuple(x: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "size"), SIZES)
def test_a_norm_and_its_gradients_are_those_of_the_formula(tokens, size, dtype):
    inputs = [draw(tokens, size, dtype=dtype), draw(size, seed=1, dtype=dtype)]
    assert_alike(lambda x, w: rms_norm(x, w, EPSILON), plain_norm, inputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "size"), SIZES)
def test_a_norm_of_a_sum_gives_both_and_takes_gradients_of_both(tokens, size, dtype):
    x, added = (draw(tokens, size, seed=i, dtype=dtype) for i in (0, 2))
    weight = draw(size, seed=1, dtype=dtype)
    assert_alike(
        lambda x, a, w: rms_norm_of_sum(x, a, w, EPSILON),
        lambda x, a, w: (x + a, plain_norm(x + a, w)),
        [x, added, weight],
    )
    assert_alike(
        lambda x, w: rms_norm_of_sum(x, None, w, EPSILON),
        lambda x, w: (x * 1, plain_norm(x, w)),
        [x, weight],
    )


def test_a_sum_alone_sends_its_gradient_to_both_sides():
    x, added, weight = draw(3, 8), draw(3, 8, seed=1), draw(8, seed=2)
    total, _ = rms_norm_of_sum(x, added, weight, EPSILON)
    found = torch.autograd.grad(total.sum(), [x, added])
    assert all(bool((grad == 1).all()) for grad in found)


def test_a_frozen_weight_has_no_gradient_and_changes_none():
    x, weight = draw(9, 20), draw(20, seed=1)
    grads = [
        torch.autograd.grad(rms_norm(x, w, EPSILON).square().sum(), x)[0]
        for w in (weight, weight.detach())
    ]
    assert torch.equal(*grads)


def test_rounding_in_bfloat16_is_that_of_transformers():
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    module = LlamaRMSNorm(48, eps=EPSILON).to(torch.bfloat16)
    with torch.no_grad():
        module.weight.copy_(draw(48, seed=1))
        x = draw(500, 48, dtype=torch.bfloat16)
        other = rms_norm(x, module.weight, EPSILON) != module(x)
    assert other.float().mean() < 0.002, "the mean of squares is summed in another order"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "size"), [(1, 2), (3, 10), (2, 32), (2, 64), (1, 34)])
@pytest.mark.parametrize("rows", [1, 2])
def test_turning_and_back_is_the_formula(heads, size, rows, dtype):
    cos, sin = (x.to(dtype) for x in angles(rows, 7, size))
    plain = lambda x: plain_turned(x, cos.double(), sin.double())  # noqa: E731
    x = draw(rows, 7, heads, size, dtype=dtype)
    assert_alike(lambda x: turned(x, cos, sin), plain, [x])
    assert_alike(lambda x: turned(x, cos[:1], sin[:1]), lambda x: plain_turned(
        x, cos[:1].double(), sin[:1].double()), [x])  # fmt: skip


def test_what_does_not_lie_together_is_turned_alike():
    cos, sin = angles(1, 7, 8)
    x_BHTD = draw(1, 3, 7, 8)
    apart, together = x_BHTD.transpose(1, 2), x_BHTD.transpose(1, 2).contiguous()
    assert torch.equal(turned(apart, cos, sin), turned(together, cos, sin))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1,), (17,), (5, 33), (3, 4096), (9000,)])
def test_a_gated_product_and_its_gradients_are_those_of_the_formula(size, dtype):
    gate, up = (draw(*size, seed=i, dtype=dtype) for i in (0, 1))
    assert_alike(silu_times, lambda g, u: torch.nn.functional.silu(g) * u, [gate, up])


def test_a_gate_far_from_zero_is_shut_or_open():
    gate, up = torch.tensor([-200.0, -90.0, 90.0, 200.0]), torch.full((4,), 2.0)
    assert silu_times(gate, up).tolist() == pytest.approx([0.0, 0.0, 180.0, 400.0], abs=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vocab", [2, 16, 21, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_head_of_any_vocabulary_is_that_of_the_formula(vocab, temperature, dtype):
    target_N = torch.arange(6) % vocab
    logits_NV = draw(6, vocab, dtype=dtype)

    def plain(logits: Tensor) -> tuple[Tensor, Tensor]:
        log_NV = (logits / temperature).log_softmax(-1)
        return log_NV[torch.arange(6), target_N], -(log_NV.exp() * log_NV).sum(-1)

    assert_alike(
        lambda x: logprobs_and_entropy(x, target_N, temperature=temperature, with_entropy=True),
        plain,
        [logits_NV],
    )


def test_a_token_that_is_barred_has_no_share_of_the_entropy():
    logits_NV = torch.tensor([[0.0, 0.0, -torch.inf]], requires_grad=True)
    found = logprobs_and_entropy(logits_NV, torch.tensor([0]), temperature=1.0, with_entropy=True)
    assert [x.item() for x in found] == pytest.approx([-0.6931472, 0.6931472])
    (found[0] + found[1]).sum().backward()
    torch.testing.assert_close(logits_NV.grad, torch.tensor([[0.5, -0.5, 0.0]]))


def test_a_target_outside_the_vocabulary_is_nan_and_not_another_row():
    logits_NV = draw(3, 20)
    logprob_N, _ = logprobs_and_entropy(
        logits_NV, torch.tensor([1, 20, -1]), temperature=1.0, with_entropy=False
    )
    assert logprob_N.isnan().tolist() == [False, True, True]


def outputs_and_gradients() -> Iterator[Tensor]:
    """Of every kernel, at sizes that several threads share."""
    for dtype in DTYPES:
        x, weight = draw(300, 40, dtype=dtype), draw(40, seed=1, dtype=dtype)
        gate, up = draw(300, 90, dtype=dtype), draw(300, 90, seed=3, dtype=dtype)
        q_BTHD = draw(1, 300, 4, 10, dtype=dtype)
        cos, sin = (a.to(dtype) for a in angles(1, 300, 10))
        head = logprobs_and_entropy(
            gate, torch.arange(300) % 90, temperature=0.9, with_entropy=True
        )
        for found in (
            *rms_norm_of_sum(x, x, weight, EPSILON), silu_times(gate, up), turned(q_BTHD, cos, sin),
            *head,
        ):  # fmt: skip
            yield found
            inputs = [x, weight, gate, up, q_BTHD]
            grads = torch.autograd.grad(
                found.float().square().sum(), inputs, retain_graph=True, allow_unused=True
            )
            yield from (grad for grad in grads if grad is not None)


def test_no_number_depends_on_how_many_threads_there_are():
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(list(outputs_and_gradients()))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_in_is_nan_out_and_stays_in_its_row(dtype):
    x, weight = draw(4, 37, dtype=dtype).detach(), draw(37, seed=1, dtype=dtype).detach()
    for column in (3, 36):
        bad = x.clone()
        bad[1, column] = torch.nan
        head, entropy = logprobs_and_entropy(
            bad, torch.arange(4), temperature=1.0, with_entropy=True
        )
        for found in (rms_norm(bad, weight, EPSILON)[:, 0], head, entropy):
            assert found.isnan().tolist() == [False, True, False, False]
        assert silu_times(bad, x).isnan().sum() == silu_times(x, bad).isnan().sum() == 1

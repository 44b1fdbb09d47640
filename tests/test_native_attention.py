"""Our kernels of attention over packed trees, against the plain formula and PyTorch's kernels.

Shapes: X tokens of the row, H query heads, G key heads, D head size.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from plaudit.models import collate, tree_attention
from plaudit.models.layout import attention_mask
from plaudit.models.tree_attention import TreeSpan
from plaudit.native import attention, calls, library
from tests.tiny import random_tree

SHAPES = [(5, [4, 7, 1]), (1, [2, 9, 40]), (12, [6]), (150, [1, 140, 30]), (70, [61])]
WINDOWS = [0, 1, 6, 133]
HEADS = [(4, 2, 32), (3, 3, 8), (6, 1, 20), (2, 1, 80), (20, 1, 16)]

pytestmark = pytest.mark.skipif(library() is None, reason="no C++ compiler")


def spans_of(shapes=SHAPES) -> tuple[TreeSpan, ...]:
    rng = np.random.default_rng(0)
    return collate(
        [random_tree(rng, prompt=p, branches=b) for p, b in shapes], layout="packed"
    ).spans


def tokens_of(spans) -> int:
    return spans[-1].start + spans[-1].tokens


def draw(heads: int, tokens: int, size: int, seed: int = 0) -> Tensor:
    """[heads, X, D], as a view of projections [X, heads * D]."""
    generator = torch.Generator().manual_seed(seed)
    projected = torch.randn(tokens, heads * size, generator=generator)
    return projected.view(tokens, heads, size).transpose(0, 1)


def drawn(heads: tuple[int, int, int]) -> list[Tensor]:
    """Queries, keys and values."""
    h, g, size = heads
    return [draw(n, tokens_of(spans_of()), size, seed) for seed, n in enumerate((h, g, g))]


def with_grads(attend, tensors, grad_HXD, **options) -> list[Tensor]:
    """The output, and the gradients of the three."""
    leaves = [x.detach().requires_grad_() for x in tensors]
    out = attend(*leaves, **options)
    return [out.detach(), *torch.autograd.grad(out, leaves, grad_HXD.to(out.dtype))]


def plain(query, key, value, *, shapes=SHAPES, scale: float, window: int) -> Tensor:
    """The formula, tree by tree, over the mask of the layout ``tree``."""
    rng, found = np.random.default_rng(0), []
    shared = len(query) // len(key)
    for (prompt, branches), span in zip(shapes, spans_of(shapes), strict=True):
        tree = collate([random_tree(rng, prompt=prompt, branches=branches)], layout="tree")
        mask = attention_mask(tree, window=window or None)[0, 0]
        here = slice(span.start, span.start + span.tokens)
        k, v = (x[:, here].repeat_interleave(shared, 0) for x in (key, value))
        scores = scale * query[:, here] @ k.mT
        found.append(scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v)
    return torch.cat(found, 1)


def in_pieces(query, key, value, *, monkeypatch, **options) -> Tensor:
    with monkeypatch.context() as patch:
        patch.setattr(tree_attention, "attends", lambda *tensors: False)
        return tree_attention.tree_attention(query, key, value, spans_of(), **options)


def ours(query, key, value, **options) -> Tensor:
    assert attention.attends(query, key, value)
    return tree_attention.tree_attention(query, key, value, spans_of(), **options)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("heads", HEADS)
def test_outputs_and_gradients_are_those_of_the_formula(heads, window: int) -> None:
    tensors, grad_HXD = drawn(heads), draw(heads[0], tokens_of(spans_of()), heads[2], 9)
    options = {"scale": 0.3, "window": window}
    found = with_grads(ours, tensors, grad_HXD, **options)
    exact = with_grads(plain, [x.double() for x in tensors], grad_HXD.double(), **options)
    most = max(x.abs().max() for x in exact)  # a window of 1 leaves gradients of nought
    for a, b in zip(found, exact, strict=True):
        assert (a - b).abs().max() < 5e-6 * most


@pytest.mark.parametrize("window", [0, 40])
@pytest.mark.parametrize("heads", HEADS)
def test_bfloat16_is_float32_within_its_rounding(heads, window: int) -> None:
    tensors = [x.bfloat16() for x in drawn(heads)]
    grad_HXD = draw(heads[0], tokens_of(spans_of()), heads[2], 9).bfloat16()
    options = {"scale": heads[2] ** -0.5, "window": window}
    found = with_grads(ours, tensors, grad_HXD, **options)
    exact = with_grads(plain, [x.float() for x in tensors], grad_HXD.float(), **options)
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.bfloat16
        error = (a.float() - b).abs()
        assert error.max() < 0.02 * b.abs().max()
        assert error.square().mean() < (0.006 * b.std()) ** 2


@pytest.mark.parametrize("window", WINDOWS)
def test_pieces_by_pytorch_say_the_same(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, grad_HXD = drawn((4, 2, 32)), draw(4, tokens_of(spans_of()), 32, 9)
    options = {"scale": 0.2, "window": window}
    found = with_grads(ours, tensors, grad_HXD, **options)
    expected = with_grads(in_pieces, tensors, grad_HXD, monkeypatch=monkeypatch, **options)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_threads_gives_the_same_bits(dtype: torch.dtype) -> None:
    tensors = [x.to(dtype) for x in drawn((4, 2, 32))]
    grad_HXD = draw(4, tokens_of(spans_of()), 32, 9)
    before, runs = torch.get_num_threads(), []
    for threads in (1, 2, 5, 2):
        torch.set_num_threads(threads)
        runs.append(with_grads(ours, tensors, grad_HXD, scale=0.2))
    torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(map(torch.equal, run, runs[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("which", range(3))
def test_what_is_not_a_number_in_a_branch_stays_in_it(which: int, dtype: torch.dtype) -> None:
    """Tree 3's second branch is poisoned: its siblings and the other trees never see it."""
    tensors, grad_HXD = drawn((4, 2, 32)), draw(4, tokens_of(spans_of()), 32, 9)
    tensors = [x.to(dtype) for x in tensors]
    clean = with_grads(ours, tensors, grad_HXD, scale=0.2)
    span = spans_of()[3]
    start = span.start + span.prompt_tokens + span.branch_tokens[0]
    branch = slice(start, start + span.branch_tokens[1])
    tensors[which][:, branch] = torch.nan
    found = with_grads(ours, tensors, grad_HXD, scale=0.2)
    outside = torch.ones(tokens_of(spans_of()), dtype=torch.bool)
    outside[branch] = False
    for i, (a, b) in enumerate(zip(found, clean, strict=True)):
        assert a[:, branch].isnan().all() or (i, which) in {(1, 2), (3, 2)}
        if i > 1:  # the trunk's keys are the branch's too
            outside[span.start : span.start + span.prompt_tokens] = False
        assert torch.equal(a[:, outside], b[:, outside])


def test_tensors_are_read_as_they_lie() -> None:
    tensors, grad_HXD = drawn((4, 2, 32)), draw(4, tokens_of(spans_of()), 32, 9)
    expected = with_grads(ours, tensors, grad_HXD, scale=0.2)
    otherwise = [x.contiguous() for x in tensors]
    otherwise[1] = tensors[1].transpose(1, 2).contiguous().transpose(1, 2)  # D not dense
    for a, b in zip(with_grads(ours, otherwise, grad_HXD, scale=0.2), expected, strict=True):
        assert torch.equal(a, b)
    ones = torch.ones(()).expand_as(grad_HXD)
    found = with_grads(ours, tensors, ones, scale=0.2)
    for a, b in zip(found, with_grads(ours, tensors, ones.contiguous(), scale=0.2), strict=True):
        assert torch.equal(a, b)


def test_scores_far_from_zero_neither_overflow_nor_vanish() -> None:
    tensors = [100 * drawn((4, 2, 32))[0], *drawn((4, 2, 32))[1:]]
    found = ours(*tensors, scale=1.0)
    exact = plain(*(x.double() for x in tensors), scale=1.0, window=0)
    assert (found - exact).abs().max() < 1e-3


def test_other_tensors_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = drawn((4, 2, 32))
    assert attention.attends(*tensors)
    assert not attention.attends(*(x.double() for x in tensors))
    assert not attention.attends(*(x.half() for x in tensors))
    assert not attention.attends(tensors[0].bfloat16(), *tensors[1:])
    assert not attention.attends(*(x.to("meta") for x in tensors))
    monkeypatch.setattr(calls, "library", lambda: None)
    assert not attention.attends(*tensors)

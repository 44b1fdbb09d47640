"""FlexAttention over packed trees, on a CPU as far as it goes: the mask entry by entry, its blocks,
and whole models with the kernel's plain formula in the kernel's place (``test_gpu.py`` has the
kernels).

Shapes: X positions of a row, I and J blocks of them.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import flex_attention as torchs
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, create_mask

from plaudit.models import SeparateRoles, attention, collate, flex_attention, layout
from plaudit.models.flex_attention import BLOCK, block_mask, flex_tree_attention
from plaudit.models.forward import layout_of
from plaudit.models.layout import attention_mask
from plaudit.models.tree_attention import TreeSpan, tree_attention
from tests.learning_trees import (
    OBJECTIVES,
    adapter_roles,
    labelled_trees,
    learner_for,
    separate_roles,
)
from tests.test_trees import tree_logprobs
from tests.tiny import BRANCHING, random_tree, tiny_language_model

SHAPES = [(5, [4, 7, 1]), (130, [3, 140, 300]), (1, [2, 9, 4, 5]), (12, [6]), (260, [1, 1])]
WINDOWS = [0, 1, 6, 300]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formula FlexAttention is tested by itself; on a CPU it refuses gradients at the door."""
    monkeypatch.setattr(torchs, "_validate_device", lambda *tensors: None)
    monkeypatch.setattr(torchs, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(flex_attention, "_compiled", lambda: flex_attention._attend)


@pytest.fixture
def as_on_a_gpu(plain: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows laid out and attended to as on a GPU; gives the lengths of the rows as they come."""
    lengths: list[int] = []

    def attend(query_HXD, *others, **options):
        lengths.append(query_HXD.shape[1])
        options.pop("read_R")  # a GPU's kernel answers for all
        return flex_tree_attention(query_HXD, *others, **options)

    monkeypatch.setattr(attention, "tree_attention", attend)
    monkeypatch.setattr(layout, "_is_cpu", lambda device: False)
    return lengths


def some_trees(shapes=SHAPES):
    rng = np.random.default_rng(0)
    return [random_tree(rng, prompt=p, branches=b) for p, b in shapes]


def spans_of(shapes) -> tuple[TreeSpan, ...]:
    return collate(some_trees(shapes), layout="packed").spans


def expected_mask(shapes, tokens: int, window: int) -> torch.Tensor:
    """Each tree's own mask, as its row of the layout ``tree`` has it, one after another. [X, X]"""
    mask_XX = torch.eye(tokens, dtype=torch.bool)
    for tree, span in zip(some_trees(shapes), spans_of(shapes), strict=True):
        own = attention_mask(collate([tree], layout="tree"), window=window or None)[0, 0]
        here = slice(span.start, span.start + span.tokens)
        mask_XX[here, here] = own
    return mask_XX


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("tokens", [896, 1152])
def test_the_mask_is_that_of_the_trees_entry_by_entry(window: int, tokens: int) -> None:
    mask = block_mask(spans_of(SHAPES), tokens, window, torch.device("cpu"))
    found_XX = create_mask(mask.mask_mod, 1, 1, tokens, tokens, "cpu")[0, 0]
    assert torch.equal(found_XX, expected_mask(SHAPES, tokens, window))


@pytest.mark.parametrize("window", WINDOWS)
def test_blocks_are_those_counted_from_the_whole_mask(window: int) -> None:
    shapes = [*SHAPES, (400, [300, 20]), (1, [140, 3])]
    mask = block_mask(spans_of(shapes), 1792, window, torch.device("cpu"))
    whole = create_block_mask(mask.mask_mod, 1, 1, 1792, 1792, "cpu", BLOCK)
    for full in (False, True):
        assert torch.equal(blocks_of(mask, full), blocks_of(whole, full))
        assert torch.equal(blocks_of(mask, full, "q").T, blocks_of(whole, full))
    assert blocks_of(mask, full=True).any() == (window in (0, 300))
    assert torch.equal(mask.to_dense(), whole.to_dense())


def blocks_of(mask: BlockMask, full: bool, by: str = "kv") -> torch.Tensor:
    """Which blocks the kernel is told of: [I, J], or [J, I] where each block of keys has a list."""
    kind = f"full_{by}" if full else by
    counts, lists = getattr(mask, f"{kind}_num_blocks")[0, 0], getattr(mask, f"{kind}_indices")
    found = torch.zeros(lists.shape[2:], dtype=torch.bool)
    for row, (count, listed) in enumerate(zip(counts, lists[0, 0], strict=True)):
        found[row, listed[:count].long()] = True
    return found


@pytest.mark.parametrize("window", [0, 9])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)])
def test_outputs_and_gradients_are_those_of_attention_in_pieces(
    plain: None, window: int, heads: tuple[int, int]
) -> None:
    spans = spans_of(SHAPES)
    tokens = spans[-1].start + spans[-1].tokens
    generator = torch.Generator().manual_seed(0)
    draw = lambda heads, x=1024: torch.randn(heads, x, 8, generator=generator)  # noqa: E731
    padded = [draw(h).requires_grad_() for h in (heads[0], heads[1], heads[1])]
    exact = [x[:, :tokens] for x in padded]
    grad = draw(heads[0], tokens)
    for scale in (8**-0.5, 0.2):
        found = flex_tree_attention(*padded, spans, scale=scale, window=window)
        expected = tree_attention(*exact, spans, scale=scale, window=window)
        torch.testing.assert_close(found[:, :tokens], expected, atol=2e-6, rtol=0)
        found, expected = (
            torch.autograd.grad((grad * x[:, :tokens]).sum(), padded) for x in (found, expected)
        )
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", [f for f in BRANCHING if f != "gemma2"])
def test_whole_models_have_the_logprobs_and_gradients_of_the_cpu(
    family: str, request: pytest.FixtureRequest
) -> None:
    model, trees = (
        tiny_language_model(family),
        some_trees([(5, [4, 7, 1]), (40, [30, 9])]),
    )
    expected_N = tree_logprobs(model, trees, "packed")
    expected = torch.autograd.grad(expected_N.sum(), list(model.base_model.parameters()))
    lengths = request.getfixturevalue("as_on_a_gpu")
    found_N = tree_logprobs(model, trees, "packed")
    found = torch.autograd.grad(found_N.sum(), list(model.base_model.parameters()))
    assert lengths == [BLOCK] * model.config.num_hidden_layers
    torch.testing.assert_close(found_N, expected_N, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("roles_of", [separate_roles, adapter_roles])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_whole_update_is_that_of_the_cpu(
    name: str, roles_of, request: pytest.FixtureRequest
) -> None:
    trees = labelled_trees()
    before = learner_for(roles_of())
    expected = before.update(trees, OBJECTIVES[name])
    lengths = request.getfixturevalue("as_on_a_gpu")
    after = learner_for(roles_of())
    assert after.update(trees, OBJECTIVES[name]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert set(lengths) == {BLOCK}
    for role in before.roles.trained:
        ours, theirs = after.roles.parameters(role), before.roles.parameters(role)
        for key in theirs:
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-4, rtol=1e-3)


def test_a_row_on_a_gpu_is_a_multiple_of_the_block(as_on_a_gpu) -> None:
    trees = some_trees()
    batch = collate(trees, layout="packed", pad_id=7)
    assert batch.ids_BT.shape == (1, 896)
    tokens = batch.spans[-1].start + batch.spans[-1].tokens
    assert batch.ids_BT[0, tokens:].unique().tolist() == [7]
    assert batch.segment_BT[0, tokens:].unique().tolist() == [layout.PADDING]
    assert collate(trees[:1], layout="tree").ids_BT.shape == (1, 17)


def test_one_mask_is_made_for_the_layers_of_a_window_and_for_all_models(as_on_a_gpu) -> None:
    models = {"policy": tiny_language_model("gemma3"), "reference": tiny_language_model("gemma3")}
    roles = SeparateRoles(models, trained=[])
    batch = collate(some_trees(), layout="packed")
    block_mask.cache_clear()
    roles.outputs(batch, ["policy.logprobs", "reference.logprobs"], temperature=1.0)
    found = block_mask.cache_info()
    assert (found.misses, found.hits + found.misses) == (2, len(as_on_a_gpu))  # two windows


# Dynamo hides a notice of its own making, which warnings as errors would raise.
@pytest.mark.filterwarnings("default:The .grad attribute:UserWarning")
def test_rows_of_other_lengths_are_not_compiled_for_again(monkeypatch, request) -> None:
    """Dynamo and AOTAutograd trace as for a GPU; what the kernels are made of is not reached."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compile_ = partial(torch.compile, backend=counter)
    monkeypatch.setattr(torchs, "_validate_device", lambda *tensors: None)
    monkeypatch.setattr(flex_attention.torch, "compile", compile_)
    flex_attention._compiled.cache_clear()
    request.addfinalizer(flex_attention._compiled.cache_clear)
    for blocks in (2, 3, 4, 5, 16, 17):
        for window, scale in ((0, 0.25), (40, 0.5)):
            spans = spans_of([(100, [BLOCK * blocks - 120, 9])])
            tensors = [torch.randn(h, BLOCK * blocks, 16, requires_grad=True) for h in (4, 2, 2)]
            found = flex_tree_attention(*tensors, spans, scale=scale, window=window)
            found.sum().backward()
            tokens = spans[0].tokens
            expected = tree_attention(
                *(x[:, :tokens] for x in tensors), spans, scale=scale, window=window
            )
            torch.testing.assert_close(found[:, :tokens], expected, atol=2e-6, rtol=0)
    assert counter.frame_count <= 2


def test_a_gpu_takes_packed_trees_where_it_has_kernels() -> None:
    wide = tiny_language_model(head_size=16)
    capped = tiny_language_model("gemma2", head_size=16)
    others = [tiny_language_model(head_size=8), tiny_language_model(head_size=512), capped]
    assert layout_of(wide, "cuda") == layout_of(wide, "cpu") == "packed"
    assert [layout_of(model, "cuda") for model in others] == ["tree"] * 3
    assert layout_of(tiny_language_model("mamba"), "cuda") == "rows"
    wide.set_attn_implementation("sdpa")  # as a user may have asked for
    assert layout_of(wide, "cuda") == "tree"


@pytest.mark.parametrize(
    ("triton", "compiler", "layout"),
    [(True, "gcc", "packed"), (True, None, "tree"), (False, "gcc", "tree")],
)
def test_where_kernels_cannot_be_compiled_trees_have_rows_of_their_own(
    monkeypatch, triton: bool, compiler: str | None, layout: str
) -> None:
    wide = tiny_language_model(head_size=16)
    monkeypatch.setattr(attention.torch, "cuda", SimpleNamespace(is_available=lambda: True))
    monkeypatch.setattr(attention, "has_triton", lambda: triton)
    monkeypatch.setattr(attention.shutil, "which", lambda name: compiler)
    monkeypatch.delenv("CC", raising=False)
    assert layout_of(wide, "cuda") == layout

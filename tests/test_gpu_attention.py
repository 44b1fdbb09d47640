"""FlexAttention's kernels on a GPU: their numbers, their memory, how often they are compiled.

Shapes: X positions of a row, H query heads, G key heads, D head size.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn.functional import scaled_dot_product_attention

from plaudit.learning import Learner
from plaudit.models import SeparateRoles, collate
from plaudit.models.flex_attention import BLOCK, flex_tree_attention
from plaudit.models.forward import layout_of
from plaudit.models.tree_attention import TreeSpan
from tests.learning_trees import OBJECTIVES, labelled_trees, optimiser_for
from tests.test_flex_attention import SHAPES, expected_mask, some_trees, spans_of
from tests.test_trees import tree_logprobs
from tests.tiny import tiny_language_model, tiny_scalar_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    # The compiler advises (of TF32, of a GPU's size) and touches gradients that are not there.
    pytest.mark.filterwarnings("default::UserWarning:torch.*"),
    pytest.mark.filterwarnings("default:The .grad attribute:UserWarning"),
]
HEADS = [(14, 2, 64), (12, 2, 128), (8, 8, 96), (4, 1, 256), (4, 2, 16)]
WIDE = 16
"""The least head size that there are kernels for."""


def drawn(heads: tuple[int, int, int], tokens: int) -> list[Tensor]:
    """Queries, keys and values in float64, which rounding to any dtype then tells apart."""
    generator = torch.Generator().manual_seed(0)
    query, shared, size = heads
    shapes = [(h, tokens, size) for h in (query, shared, shared)]
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def dense(tensors: list[Tensor], mask_XX: Tensor, scale: float) -> Tensor:
    """The same by the whole mask."""
    found = scaled_dot_product_attention(
        *(x[None] for x in tensors), attn_mask=mask_XX, scale=scale, enable_gqa=True
    )
    return found[0]


@pytest.mark.parametrize("window", [0, 100])
@pytest.mark.parametrize(
    ("heads", "dtype"),
    [*((heads, torch.bfloat16) for heads in HEADS), (HEADS[0], torch.float32)],
)
def test_outputs_and_gradients_are_as_near_as_those_by_the_whole_mask(
    heads, dtype: torch.dtype, window: int
) -> None:
    spans, scale = spans_of(SHAPES), heads[2] ** -0.5
    tokens = BLOCK * 7
    mask_XX = expected_mask(SHAPES, tokens, window).cuda()
    exact = [x.to(dtype).double().cuda().requires_grad_() for x in drawn(heads, tokens)]
    near = [x.detach().to(dtype).requires_grad_() for x in exact]
    grad = torch.randn(heads[0], tokens, heads[2], device="cuda").to(dtype)
    expected, usual = dense(exact, mask_XX, scale), dense(near, mask_XX, scale)
    found = flex_tree_attention(*near, spans, scale=scale, window=window)
    outputs = [[x] for x in (found, usual, expected)]
    for output, inputs in zip(outputs, (near, near, exact), strict=True):
        output += torch.autograd.grad(output[0], inputs, grad.to(output[0].dtype))
    for ours, theirs, right in zip(*outputs, strict=True):
        assert ours.dtype == dtype and torch.isfinite(ours).all()
        error, usual_error = ((x - right).abs().max() for x in (ours, theirs))
        assert error <= 3 * usual_error + 1e-6


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral", "gemma3", "gpt_neox"])
def test_whole_models_have_the_logprobs_and_gradients_of_the_cpu(family: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        model = tiny_language_model(family, head_size=WIDE).to(device)  # pyright: ignore[reportArgumentType]
        assert layout_of(model) == "packed"
        logprob_N = tree_logprobs(model, some_trees([(5, [4, 7]), (40, [30, 9])]), "packed")
        grads = torch.autograd.grad(logprob_N.sum(), list(model.base_model.parameters()))
        found.append([x.detach().cpu() for x in (logprob_N, *grads)])
    for expected, other in zip(*found, strict=True):
        assert (other - expected).abs().max() < 1e-3 * expected.abs().max().clamp(min=1.0)


def learner(device: str) -> Learner:
    models = {
        "policy": tiny_language_model(seed=1, head_size=WIDE).to(device),  # pyright: ignore[reportArgumentType]
        "reference": tiny_language_model(seed=1, head_size=WIDE).to(device),  # pyright: ignore[reportArgumentType]
        "critic": tiny_scalar_model(seed=2, head_size=WIDE).to(device),  # pyright: ignore[reportArgumentType]
        "reward": tiny_scalar_model(seed=3, head_size=WIDE).to(device),  # pyright: ignore[reportArgumentType]
    }
    roles = SeparateRoles(models, trained=["policy", "critic", "reward"])
    assert roles.layout == "packed"
    return Learner(roles, optimiser_for(roles), token_budget=64)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_update_is_that_of_the_cpu(name: str) -> None:
    trees = labelled_trees()
    here, there = learner("cpu"), learner("cuda")
    expected = here.update(trees, OBJECTIVES[name])
    assert there.update(trees, OBJECTIVES[name]) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for role in here.roles.trained:
        ours, theirs = there.roles.parameters(role), here.roles.parameters(role)
        for key in theirs:
            torch.testing.assert_close(ours[key].cpu(), theirs[key], atol=1e-4, rtol=1e-3)


def test_rows_of_many_lengths_share_their_kernels() -> None:
    torch._dynamo.reset()
    before = counters["stats"]["unique_graphs"]
    for blocks in np.random.default_rng(0).permutation(np.arange(1, 33)):
        spans = (TreeSpan(0, 20, (int(blocks) * BLOCK - 30, 10)),)
        tensors = [x.bfloat16().cuda() for x in drawn((6, 3, 64), int(blocks) * BLOCK)]
        assert torch.isfinite(flex_tree_attention(*tensors, spans, scale=0.125)).all()
    assert counters["stats"]["unique_graphs"] - before <= 4


def test_a_long_row_never_holds_a_pair_of_positions_each() -> None:
    tokens = 32_768
    spans = (TreeSpan(0, 16_384, (4_096,) * 4),)
    tensors = [x.bfloat16().cuda().requires_grad_() for x in drawn((2, 1, 64), tokens)]
    flex_tree_attention(*tensors, spans, scale=0.125).sum().backward()  # compiled, mask made
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    flex_tree_attention(*tensors, spans, scale=0.125).sum().backward()
    assert torch.cuda.max_memory_allocated() - before < tokens**2 / 8


def test_a_batch_on_a_gpu_is_whole_there() -> None:
    batch = collate(some_trees(), layout="packed", device="cuda")
    assert batch.ids_BT.shape[1] % BLOCK == 0 and batch.ids_BT.is_cuda
    assert batch.position_BT.is_cuda and batch.predict_N.is_cuda

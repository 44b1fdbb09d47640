"""Attention over trees packed one after another in a single row, on a GPU.

One call of PyTorch's FlexAttention (Dong et al. 2024, https://arxiv.org/abs/2412.05496) for the
whole row: its kernel passes over blocks of queries and keys of which no pair may attend, and asks
of single pairs only where some may and some may not.

A query attends to at most two runs of keys: some of its tree's trunk, and, up to itself, some of
its own branch. So what is allowed is three numbers a query (``Reach``), and how many pairs of a
block are allowed is arithmetic on them; no mask of X times X is ever made.

Shapes: X positions of the row, I and J blocks of them, H query heads, G key heads, D head size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from plaudit.models.layout import GPU_BLOCK as BLOCK
from plaudit.models.tree_attention import TreeSpan

_VARIANTS = 64
"""Head counts, head sizes, dtypes, with and without a gradient: each is compiled once."""


class Reach(NamedTuple):
    """The keys that the query at each position attends to: those from ``trunk`` up to, but not
    with, ``trunk_end``, and those from ``own`` up to and with itself."""

    trunk_X: Tensor
    trunk_end_X: Tensor
    own_X: Tensor


def flex_tree_attention(
    query_HXD: Tensor,
    key_GXD: Tensor,
    value_GXD: Tensor,
    spans: Sequence[TreeSpan],
    *,
    scale: float,
    window: int = 0,
) -> Tensor:
    """``softmax(scale q k^T) v`` over what each token may attend to. [H, X, D]

    As ``tree_attention``, in the query's dtype. Positions after the last tree are padding.
    """
    tokens, size = query_HXD.shape[1:]
    mask = block_mask(tuple(spans), tokens, window, query_HXD.device)
    # Given as an argument a scale would be compiled as a number that changes.
    share = scale * math.sqrt(size)
    query = query_HXD if math.isclose(share, 1.0) else query_HXD * share
    tensors = [x[None] for x in (query, key_GXD, value_GXD)]
    for tensor in tensors:
        # Else a row with as many blocks as there are heads would be compiled for alone.
        torch._dynamo.mark_static(tensor, [1, 3])
    return _compiled()(*tensors, mask, gqa=len(query_HXD) != len(key_GXD))[0]


@cache
def _compiled() -> Any:
    """The kernels, for rows of any length.

    Whole or not at all: past the limit of variants the uncompiled function would take over, which
    holds all X times X scores.
    """
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _VARIANTS)
    return torch.compile(_attend, dynamic=True, fullgraph=True)


def _attend(
    query_1HXD: Tensor, key_1GXD: Tensor, value_1GXD: Tensor, mask: BlockMask, *, gqa: bool
) -> Tensor:
    # Known to the compiler, it leaves out the kernels' checks at the row's end.
    torch._check(query_1HXD.shape[2] % BLOCK == 0)
    return flex_attention(query_1HXD, key_1GXD, value_1GXD, block_mask=mask, enable_gqa=gqa)


@lru_cache(maxsize=8)
def block_mask(
    spans: tuple[TreeSpan, ...], tokens: int, window: int, device: torch.device
) -> BlockMask:
    """What the kernel reads: made once a batch, for all layers of a window and all models."""
    assert tokens % BLOCK == 0, f"a row of {tokens} positions, no multiple of {BLOCK}"
    reach = Reach(*(torch.as_tensor(x).to(device) for x in _reach(spans, tokens, window)))
    pairs_IJ = _pairs(reach).unflatten(0, (-1, BLOCK)).sum(1)
    full_IJ = pairs_IJ == BLOCK * BLOCK
    return BlockMask.from_kv_blocks(
        *_listed((pairs_IJ > 0) & ~full_IJ), *_listed(full_IJ),
        BLOCK_SIZE=BLOCK, mask_mod=allowed(reach), seq_lengths=(tokens, tokens),
    )  # fmt: skip


def allowed(reach: Reach) -> Any:
    """Whether a query may attend to a key, as FlexAttention asks it."""
    trunk_X, trunk_end_X, own_X = reach

    def mask_mod(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        in_trunk = (key >= trunk_X[query]) & (key < trunk_end_X[query])
        return in_trunk | ((key >= own_X[query]) & (key <= query))

    return mask_mod


def _pairs(reach: Reach) -> Tensor:
    """How many keys of each block each query attends to. [X, J]"""
    at_X = torch.arange(len(reach.own_X), dtype=torch.int32, device=reach.own_X.device)
    block_J = at_X[::BLOCK]
    runs = ((reach.trunk_X, reach.trunk_end_X), (reach.own_X, at_X + 1))
    shared = (
        torch.minimum(end[:, None], block_J + BLOCK) - torch.maximum(begin[:, None], block_J)
        for begin, end in runs
    )
    return sum((s.clamp_(min=0) for s in shared), torch.zeros_like(at_X)[:, None])


def _listed(has_IJ: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries has, and which: those first, in order."""
    which_IJ = has_IJ.int().argsort(dim=1, descending=True, stable=True)
    return has_IJ.sum(1, dtype=torch.int32)[None, None], which_IJ.int()[None, None]


def _reach(spans: Sequence[TreeSpan], tokens: int, window: int) -> tuple[np.ndarray, ...]:
    runs = list(_runs(spans))
    end = runs[-1].start + runs[-1].tokens
    runs += [_Run(at, 1, at, 0) for at in range(end, tokens)]  # padding attends to itself
    lengths = [run.tokens for run in runs]
    start, _, trunk, prompt = (np.repeat(x, lengths) for x in zip(*runs, strict=True))
    at, seen = np.arange(tokens), window or tokens
    depth = at - start + prompt  # the token's position in its sequence
    trunk_end = trunk + prompt
    trunk = np.clip(trunk + depth - seen + 1, trunk, trunk_end)
    own = np.maximum(start, at - seen + 1)
    return tuple(x.astype(np.int32) for x in (trunk, trunk_end, own))


class _Run(NamedTuple):
    """A trunk or a branch in the row, and the trunk before it."""

    start: int
    tokens: int
    trunk: int
    prompt_tokens: int


def _runs(spans: Sequence[TreeSpan]) -> Iterator[_Run]:
    for span in spans:
        yield _Run(span.start, span.prompt_tokens, span.start, 0)
        begin = span.start + span.prompt_tokens
        for tokens in span.branch_tokens:
            yield _Run(begin, tokens, span.start, span.prompt_tokens)
            begin += tokens

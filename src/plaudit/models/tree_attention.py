"""Attention over trees packed one after another in a single row, on a CPU.

Our own kernels take each branch as a path of its own (``native/attention.h``). Without them a tree
is attended to in pieces, each a plain call of PyTorch's flash kernel: the trunk with its first
branch to itself, the other branches to the trunk, each of them to itself. Where two pieces answer
for the same queries their outputs are joined by their normalisers (Rabe and Staats 2021; Dao et
al. 2022, section 3.1). Either way nothing is computed for pairs that may not attend, and no mask is
read.

Shapes: X tokens of the row, R of them that are read, H query heads, G key heads, D head size,
P paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plaudit.native.attention import attends, path_attention

_FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class TreeSpan(NamedTuple):
    """Where a tree stands in the row."""

    start: int
    prompt_tokens: int
    branch_tokens: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + sum(self.branch_tokens)

    @property
    def longest_tokens(self) -> int:
        return self.prompt_tokens + max(self.branch_tokens)


def tree_attention(
    query_HXD: Tensor,
    key_GXD: Tensor,
    value_GXD: Tensor,
    spans: Sequence[TreeSpan],
    *,
    scale: float,
    window: int = 0,
    read_R: Tensor | None = None,
) -> Tensor:
    """``softmax(scale q k^T) v`` over what each token may attend to. [H, X, D]

    A token attends to the trunk and its own branch, to positions not after its own and, with a
    ``window``, less than that many before it. The result has the query's dtype.

    Args:
        read_R: the tokens whose answers are read; others' need not be computed.
    """
    assert spans[-1].start + spans[-1].tokens == query_HXD.shape[1], "trees fill the row"
    if attends(query_HXD, key_GXD, value_GXD):
        path_P5 = _paths(spans)
        if read_R is not None:
            path_P5 = _from_first_read(path_P5, read_R)
        return path_attention(query_HXD, key_GXD, value_GXD, path_P5, scale, window)
    pieces = [piece for span in spans for piece in _pieces(span, window)]
    return _TreeAttention.apply(query_HXD, key_GXD, value_GXD, pieces, scale)  # pyright: ignore[reportReturnType]


def _paths(spans: Sequence[TreeSpan]) -> Tensor:
    """The branches of each tree as ``path_attention`` takes them. [P, 5]"""
    found = []
    for start, prompt, branches in spans:
        begin = start + prompt
        for k, tokens in enumerate(branches):
            found.append((start, prompt, begin, prompt if k else 0, prompt + tokens))
            begin += tokens
    return torch.tensor(found)


def _from_first_read(path_P5: Tensor, read_R: Tensor) -> Tensor:
    """The paths without the queries before the first that is read; a path without any has none."""
    _, prompt_P, branch_P, first_P, last_P = path_P5.unbind(1)
    begin_P, end_P = branch_P - prompt_P + first_P, branch_P - prompt_P + last_P
    sorted_R = torch.cat([read_R, end_P.max()[None]]).sort().values
    read_P = sorted_R[torch.searchsorted(sorted_R, begin_P)]
    narrowed_P5 = path_P5.clone()
    narrowed_P5[:, 3] += read_P.minimum(end_P) - begin_P
    return narrowed_P5


class _Piece(NamedTuple):
    """Queries and the keys they are held against."""

    queries: slice
    keys: slice
    causal: bool = False
    continues: bool = False
    """Whether an earlier piece answered for these queries."""
    mask_11QK: Tensor | None = None
    """Added to the logits."""


def _pieces(span: TreeSpan, window: int) -> Iterator[_Piece]:
    if window and span.longest_tokens > window:
        whole = slice(span.start, span.start + span.tokens)
        yield _Piece(whole, whole, mask_11QK=_mask(span, window))
        return
    trunk = slice(span.start, span.start + span.prompt_tokens)
    first, *others = span.branch_tokens
    plain = slice(span.start, trunk.stop + first)
    yield _Piece(plain, plain, causal=True)
    begin = plain.stop
    if others:
        yield _Piece(slice(begin, span.start + span.tokens), trunk)
    for tokens in others:
        own = slice(begin, begin + tokens)
        yield _Piece(own, own, causal=True, continues=True)
        begin = own.stop


def _mask(span: TreeSpan, window: int) -> Tensor:
    lengths = torch.tensor([span.prompt_tokens, *span.branch_tokens])
    segment = torch.arange(len(lengths)).repeat_interleave(lengths)
    first = lengths.cumsum(0) - lengths
    position = torch.arange(span.tokens) - first[segment] + span.prompt_tokens * (segment > 0)
    distance = position[:, None] - position
    own = (segment[:, None] == segment) | (segment == 0)
    allowed = own & (distance >= 0) & (distance < window)
    return torch.zeros(allowed.shape).masked_fill_(~allowed, -torch.inf)[None, None]


class _TreeAttention(torch.autograd.Function):
    """Computed in float32, which PyTorch's bfloat16 kernels are slower than. They take rows of one
    sequence as ``[1, heads, tokens, D]``."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        pieces: Sequence[_Piece],
        scale: float,
    ) -> Tensor:
        q_1HXD, k_1GXD, v_1GXD = (x.float()[None] for x in (query, key, value))
        out_1HXD = _empty_like(q_1HXD)
        normaliser_1HX = _empty_like(q_1HXD[..., :1])[..., 0]
        for piece in pieces:
            rows, keys = piece.queries, piece.keys
            answer = _FORWARD(
                q_1HXD[:, :, rows], k_1GXD[:, :, keys], v_1GXD[:, :, keys],
                is_causal=piece.causal, attn_mask=piece.mask_11QK, scale=scale,
            )  # fmt: skip
            if piece.continues:
                answer = _joined(out_1HXD[:, :, rows], normaliser_1HX[:, :, rows], *answer)
            out_1HXD[:, :, rows], normaliser_1HX[:, :, rows] = answer
        out_HXD = out_1HXD[0].to(query.dtype)
        ctx.pieces, ctx.scale = pieces, scale
        ctx.save_for_backward(query, key, value, out_HXD, normaliser_1HX)
        return out_HXD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, normaliser_1HX = ctx.saved_tensors
        grad, q, k, v, out = (x.float()[None] for x in (*grads, *tensors))
        found = [_empty_like(x).zero_() for x in (q, k, v)]
        for piece in ctx.pieces:
            rows, keys = piece.queries, piece.keys
            # With the normaliser over all pieces, each gives its share of the whole gradient.
            parts = _BACKWARD(
                grad[:, :, rows], q[:, :, rows], k[:, :, keys], v[:, :, keys],
                out[:, :, rows], normaliser_1HX[:, :, rows],
                0.0, piece.causal, attn_mask=piece.mask_11QK, scale=ctx.scale,
            )  # fmt: skip
            for whole, part, at in zip(found, parts, (rows, keys, keys), strict=True):
                whole[:, :, at] += part
        return *(x[0].to(grads[0].dtype) for x in found), None, None


def _joined(
    out: Tensor, normaliser: Tensor, other: Tensor, other_normaliser: Tensor
) -> tuple[Tensor, Tensor]:
    """The answer over the keys of both, from the answers over each."""
    both = torch.logaddexp(normaliser, other_normaliser)
    share, other_share = (normaliser - both).exp_(), (other_normaliser - both).exp_()
    return out * share[..., None] + other * other_share[..., None], both


def _empty_like(x_1HXD: Tensor) -> Tensor:
    """Laid out token by token, as the projections around it are."""
    one, heads, tokens, size = x_1HXD.shape
    return x_1HXD.new_empty(one, tokens, heads, size).transpose(1, 2)

"""A scalar model's forward pass over packed trees by kernels, where no gradient is asked for.

Shapes: X tokens of the row, R positions that are read, C hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.models.tree_attention import TreeSpan
from plaudit.native.decoder import PAGE_TOKENS, Decoder, is_decodable
from plaudit.native.structures import ROW

NOBODY = -1


def passes_natively(model: PreTrainedModel) -> bool:
    """Whether a pass of the model may be ``native_hidden_states``.

    Not of a language model: a reference is held against the policy, whose pass with a gradient
    rounds as modules do, and in bfloat16 two ways of rounding would look like a difference.
    """
    scalar = model.get_output_embeddings() is None
    return scalar and not torch.is_grad_enabled() and is_decodable(model)


def native_hidden_states(
    model: PreTrainedModel, ids_X: Tensor, spans: Sequence[TreeSpan], read_R: Tensor
) -> Tensor:
    """Last hidden states [R, C], in the model's dtype."""
    segments = list(_segments(spans))
    rows = np.zeros(len(ids_X), ROW)
    rows["token"] = ids_X.numpy()
    pages = [-(-s.tokens // PAGE_TOKENS) for s in segments]
    table = np.full((len(segments), max(pages)), NOBODY, np.int32)
    taken = 0
    for holder, (segment, many) in enumerate(zip(segments, pages, strict=True)):
        own = rows[segment.start : segment.start + segment.tokens]
        own["holder"], own["parent"], own["parent_tokens"] = holder, segment.parent, segment.before
        own["position"] = segment.before + np.arange(segment.tokens)
        table[holder, :many] = taken + np.arange(many)
        taken += many
    decoder = Decoder(model)
    decoder.make_room_for_one_call(taken)
    read, place_R = np.unique(read_R.numpy(), return_inverse=True)
    return decoder.hidden(rows, table, read)[place_R].to(model.dtype)


class _Segment(NamedTuple):
    """A trunk, or a branch, which sees the trunk's pages before its own."""

    start: int
    tokens: int
    parent: int = NOBODY
    before: int = 0


def _segments(spans: Sequence[TreeSpan]) -> Iterator[_Segment]:
    holders = 0
    for span in spans:
        trunk, start = holders, span.start + span.prompt_tokens
        yield _Segment(span.start, span.prompt_tokens)
        for tokens in span.branch_tokens:
            yield _Segment(start, tokens, trunk, span.prompt_tokens)
            start += tokens
        holders += 1 + len(span.branch_tokens)

"""Attention to pages: each answers for itself, and a row's answers are joined by their normalisers
(Rabe and Staats 2021), so that a token of every row is a fixed number of products however many
sequences of whatever lengths there are.

Shapes: B rows, H query heads, G key heads, Q = H / G, N pages, M rows asking a page, E = N M
answers, K most answers to a row, W tokens of a page, T tokens of a prompt, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from plaudit.sampling.pages import PAGE_TOKENS, Kept


class Scoring(NamedTuple):
    """How a layer turns products of queries and keys into scores."""

    scale: float
    window: int | None
    """Keys this far back are no longer seen; None: all are."""
    cap: float | None
    """Scores s become ``cap tanh(s / cap)`` (Gemma 2)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks each page, in all layers alike."""

    row_NM: Tensor
    """B where nobody does."""
    newest_NM: Tensor
    """Position of the newest token of each who asks."""
    first_N: Tensor
    """Position of the page's first token."""
    tokens_N: Tensor
    """Of the holder from the page's first one on."""
    _masks: dict[int | None, Tensor] = field(default_factory=dict, init=False)

    def mask_NMW(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """To be added to scores: 0 where a token is seen; M is 1 where all see the same."""
        if window not in self._masks:
            at_W = torch.arange(PAGE_TOKENS, device=self.row_NM.device)
            hidden_NMW = (at_W >= self.tokens_N[:, None])[:, None]
            if window is not None:
                position_N1W = (self.first_N[:, None] + at_W)[:, None]
                hidden_NMW = hidden_NMW | (position_N1W <= self.newest_NM[..., None] - window)
            # Finite: a page that lies wholly behind a window must answer, with no weight.
            least = torch.finfo(dtype).min / 4
            mask_NMW = torch.zeros(hidden_NMW.shape, dtype=dtype, device=at_W.device)
            self._masks[window] = mask_NMW.masked_fill_(hidden_NMW, least)
        return self._masks[window]


class Answers(NamedTuple):
    """Of pages, one to each who asks."""

    found_EGQD: Tensor
    normaliser_EGQ: Tensor
    """Logarithm of the sum of the scores' exponentials."""


def with_nobody(query_BGQD: Tensor) -> Tensor:
    """One more row, of zeros, that asks where nobody does."""
    return pad(query_BGQD, (0, 0, 0, 0, 0, 0, 0, 1))


def answers(query_BGQD: Tensor, kept: Kept, asked: Asked, how: Scoring) -> Answers:
    """What every page says to those who ask it; queries are scaled, and have ``with_nobody``."""
    pages, rows = asked.row_NM.shape
    query_NMGQD = query_BGQD.index_select(0, asked.row_NM.flatten()).unflatten(0, (pages, rows))
    query_NGAD = query_NMGQD.transpose(1, 2).flatten(2, 3)  # A = M Q
    score_NGAW = capped(query_NGAD @ kept.key_NGWD.transpose(-1, -2), how.cap)
    mask_NMW = asked.mask_NMW(how.window, score_NGAW.dtype)
    score_NGAW.unflatten(2, (rows, -1)).add_(mask_NMW[:, None, :, None])
    prob_NGAW = score_NGAW.softmax(-1, dtype=torch.float32)
    normaliser_NGA = score_NGAW.amax(-1).float() - prob_NGAW.amax(-1).log()
    found_NGAD = prob_NGAW.to(kept.value_NGWD.dtype) @ kept.value_NGWD
    each = (x.unflatten(2, (rows, -1)).transpose(1, 2) for x in (found_NGAD, normaliser_NGA))
    return Answers(*(x.flatten(0, 1) for x in each))


def joined(parts: Sequence[Answers], answer_BK: Tensor) -> Tensor:
    """``sum_k w_k found_k`` with ``w = softmax(normalisers)`` of a row's answers. [B, H, D]

    Args:
        answer_BK: which answers are a row's, over all parts; E where it has fewer than K.
    """
    rows, most = answer_BK.shape
    found_EGQD, normaliser_EGQ = (torch.cat(x) for x in zip(*parts, strict=True))
    normaliser_EGQ = pad(normaliser_EGQ, (0, 0, 0, 0, 0, 1), value=-torch.inf)
    found_EGQD = with_nobody(found_EGQD)
    at = answer_BK.flatten()
    normaliser_BKGQ = normaliser_EGQ.index_select(0, at).unflatten(0, (rows, most))
    found_BKGQD = found_EGQD.index_select(0, at).unflatten(0, (rows, most))
    weight_BKGQ = normaliser_BKGQ.softmax(1).to(found_EGQD.dtype)
    return (found_BKGQD * weight_BKGQ[..., None]).sum(1).flatten(1, 2)


def capped(scores: Tensor, cap: float | None) -> Tensor:
    return scores if cap is None else cap * torch.tanh(scores / cap)


def causal(query_HTD: Tensor, key_GTD: Tensor, value_GTD: Tensor, how: Scoring) -> Tensor:
    """A prompt's attention to itself. [H, T, D]"""
    tokens = query_HTD.shape[1]
    if how.cap is None and (how.window is None or tokens <= how.window):
        dtype = query_HTD.dtype
        # bfloat16's kernel on a CPU is several times slower.
        if query_HTD.device.type == "cpu":
            query_HTD, key_GTD, value_GTD = (x.float() for x in (query_HTD, key_GTD, value_GTD))
        return scaled_dot_product_attention(
            query_HTD[None], key_GTD[None], value_GTD[None], is_causal=True, scale=how.scale,
            enable_gqa=query_HTD.shape[0] != key_GTD.shape[0],
        )[0].to(dtype)  # fmt: skip
    query_GQTD = query_HTD.unflatten(0, (key_GTD.shape[0], -1))
    scores = capped(query_GQTD * how.scale @ key_GTD[:, None].transpose(-1, -2), how.cap)
    seen_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=scores.device).tril()
    if how.window is not None:
        seen_TT = seen_TT.triu(1 - how.window)
    scores = scores.masked_fill(~seen_TT, -torch.inf)
    probs = scores.softmax(-1, dtype=torch.float32).to(value_GTD.dtype)
    return (probs @ value_GTD[:, None]).flatten(0, 1)

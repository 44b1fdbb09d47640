"""Attention of sequences that are sampled together: their prompts packed, then a token of each.

A model is told to use it for as long as it samples; the keys reach it through the model's keyword
arguments.

Shapes: T prompt tokens one after another, B rows that are written to, H query heads,
D head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from plaudit.models.attention import SHARED_KEYS, hands_on
from plaudit.models.forward import layout_of
from plaudit.sampling.keys import Keys
from plaudit.sampling.page_attention import Scoring

SAMPLING = "plaudit_sampling"
_OTHERWISE = {"diffllama", "hrm_text", "phimoe"}
"""Families that attend several times in a layer, or whose window only a mask would tell."""


class Pass(Protocol):
    """What one call of the model does with queries, keys and values."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Scoring, /
    ) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Prompts:
    """Packed prompts are read."""

    keys: Keys

    def attend(
        self, layer: int, query_1HTD: Tensor, key: Tensor, value: Tensor, how: Scoring
    ) -> Tensor:
        return self.keys.read(layer, query_1HTD[0], key[0], value[0], how)[None]


@dataclass(frozen=True, slots=True)
class NextTokens:
    """Every row goes on by one token."""

    keys: Keys

    def attend(
        self, layer: int, query_BH1D: Tensor, key: Tensor, value: Tensor, how: Scoring
    ) -> Tensor:
        query_BHD, key_BGD, value_BGD = (x[:, :, 0] for x in (query_BH1D, key, value))
        return self.keys.go_on(layer, query_BHD, key_BGD, value_BGD, how)[:, :, None]


def can_be_packed(model: PreTrainedModel) -> bool:
    """True where the attention is known whole: softmax of scaled, perhaps capped, products.

    What else transformers computes eagerly (sinks) or in code of its own it is left to do.
    """
    plain = model.config._attn_implementation in (SHARED_KEYS, "sdpa")
    capped = bool(getattr(model.config, "attn_logit_softcapping", None))
    known = model._supports_attention_backend and model.config.model_type not in _OTHERWISE
    return layout_of(model) != "rows" and (plain or capped) and known and hands_on(model)


@contextmanager
def sampling_attention(model: PreTrainedModel) -> Iterator[None]:
    """Attend as here; the learner, whose model it may be, finds it as it was."""
    usual = model.config._attn_implementation
    model.config._attn_implementation = SAMPLING
    try:
        yield
    finally:
        model.config._attn_implementation = usual


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    sampling: Pass,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    assert attention_mask is None, "which keys are seen is theirs to know"
    layer = module.layer_idx
    assert isinstance(layer, int)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = sampling.attend(layer, query, key, value, Scoring(scale, sliding_window, softcap))
    return found.transpose(1, 2).contiguous(), None


# Without a mask function of this name transformers makes no masks.
AttentionInterface.register(SAMPLING, _attention)

"""Attention on a CPU without copies of keys and values for the heads that share them.

Shapes: B rows, H query heads, G key heads, T queries, S keys, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

SHARED_KEYS = "plaudit_sdpa"


def share_keys(model: PreTrainedModel) -> None:
    """Make a model that attends by SDPA leave its keys and values where they are.

    transformers repeats them for every query head of a group once there is a mask, which a GPU's
    kernels need and a CPU's do not: in sampling that copies the whole buffer for every token.
    """
    if model.config._attn_implementation == "sdpa" and model._supports_sdpa:
        model.set_attn_implementation(SHARED_KEYS)


def _attention(
    module: torch.nn.Module,
    query_BHTD: Tensor,
    key_BGSD: Tensor,
    value_BGSD: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    on_cpu = query_BHTD.device.type == "cpu"
    if attention_mask is None or not on_cpu or options.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query_BHTD, key_BGSD, value_BGSD, attention_mask,
            dropout=dropout, scaling=scaling, **options,
        )  # fmt: skip
    found_BHTD = scaled_dot_product_attention(
        query_BHTD, key_BGSD, value_BGSD, attn_mask=attention_mask, dropout_p=dropout,
        scale=scaling, enable_gqa=query_BHTD.shape[1] != key_BGSD.shape[1],
    )  # fmt: skip
    return found_BHTD.transpose(1, 2).contiguous(), None


AttentionInterface.register(SHARED_KEYS, _attention)
AttentionMaskInterface.register(SHARED_KEYS, sdpa_mask)

"""Which attention models compute with: of packed trees, and on a CPU without copies of keys and
values that heads share.

Shapes: B rows, H query heads, G key heads, T queries, S keys, D head size, R queries that are read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._triton import has_triton
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from plaudit.models.tree_attention import TreeSpan, tree_attention

SHARED_KEYS = "plaudit_sdpa"
_DEAF = {"doge", "nemotron"}
"""Families whose layers do not hand attention what they are told, or rewrite its mask."""
_HEAD_SIZES = range(16, 257)
"""That FlexAttention's kernels are tuned for on a GPU; smaller ones they refuse."""


def share_keys(model: PreTrainedModel) -> None:
    """Make a model that attends by SDPA leave its keys and values where they are.

    transformers repeats them for every query head of a group once there is a mask, which a GPU's
    kernels need and a CPU's do not.
    """
    if model.config._attn_implementation == "sdpa" and model._supports_sdpa:
        model.set_attn_implementation(SHARED_KEYS)


def hands_on(model: PreTrainedModel) -> bool:
    """Whether attention is given all that the model is called with."""
    return model.config.model_type not in _DEAF


def attends_to_trees(model: PreTrainedModel, device_type: str) -> bool:
    """Whether the model's attention is ours on such a device, and takes trees packed in one row."""
    config = model.config
    # DeepSeek's values are of another size than its keys; Gemma 2 caps the logits.
    other = any(getattr(config, name, None) for name in ("v_head_dim", "attn_logit_softcapping"))
    ours = config._attn_implementation == SHARED_KEYS and model._supports_attention_backend
    if not ours or other or not hands_on(model):
        return False
    return device_type == "cpu" or (device_type == "cuda" and _has_kernels(config))


def _has_kernels(config: PreTrainedConfig) -> bool:
    """Whether a GPU has kernels for the model's heads: this machine's, or any where it has none."""
    config = config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Gemma 4's full attention has heads of another size than the rest.
    sizes = (size, getattr(config, "global_head_dim", None) or size)
    here = not torch.cuda.is_available() or _compiles_kernels()
    return here and all(_HEAD_SIZES.start <= s < _HEAD_SIZES.stop for s in sizes)


def _compiles_kernels() -> bool:
    """Whether Triton is here, and the C compiler that it builds with what starts its kernels."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return has_triton() and compiler is not None


def window_alone(window: int | None) -> Tensor:
    """What stands in the mask's place where trees are packed: the sliding window, 0 for none."""
    return torch.full((1, 1, 1, 1), window or 0)


def _attention(
    module: torch.nn.Module,
    query_BHTD: Tensor,
    key_BGSD: Tensor,
    value_BGSD: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    trees: Sequence[TreeSpan] | None = None,
    read_R: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    if trees is not None:
        assert attention_mask is not None, "packed trees come with their window"
        for name in ("position_bias", "softcap", "s_aux"):
            if options.get(name) is not None:
                raise ValueError(f"attention with {name} cannot be computed over packed trees")
        on_cpu = query_BHTD.device.type == "cpu"
        attend = partial(tree_attention, read_R=read_R) if on_cpu else _on_gpu()
        found_HXD = attend(
            query_BHTD[0], key_BGSD[0], value_BGSD[0], trees,
            scale=scaling or query_BHTD.shape[-1] ** -0.5, window=int(attention_mask),
        )  # fmt: skip
        return found_HXD.transpose(0, 1)[None], None
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


def _on_gpu() -> Callable[..., Tensor]:
    from plaudit.models.flex_attention import flex_tree_attention

    return flex_tree_attention


AttentionInterface.register(SHARED_KEYS, _attention)
AttentionMaskInterface.register(SHARED_KEYS, sdpa_mask)

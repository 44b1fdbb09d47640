"""A model's sizes without its weights: from its ``config.json``, or from a table of published ones.

Parameters are counted on a model without storage (torch's meta device), so that every family is
counted as it would be built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.pytorch_utils import Conv1D

from plaudit.config import nearest
from plaudit.models import model_path
from plaudit.models.forward import layout_of
from plaudit.models.layout import Layout
from plaudit.models.native_layers import has_native_layers, use_own_kernels

Head = Literal["language", "scalar"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A model's sizes; parameters are counted, the rest is read from its config."""

    name: str
    said: str
    """Where the sizes are from."""
    config: PretrainedConfig
    layout: Layout
    """On a CPU."""
    gpu_layout: Layout
    parameters: int
    """Of the language model, embeddings that are tied counted once."""
    head_parameters: int
    """Of the language head alone; 0 where it is the embedding."""
    matrix_parameters: int
    """That a token is multiplied with in the layers; of experts those that a token meets."""
    adapter_ends: int
    """Inputs and outputs of every linear layer but the head: an adapter of rank r has r times as
    many parameters."""
    layers: int
    hidden_size: int
    query_size: int
    """Heads times the size of a head."""
    key_size: int
    """The same of the heads that keys are kept for."""
    intermediate_size: int
    gated: bool
    """Three matrices in the feed-forward layer, and not two."""
    query_norms: bool
    """Queries and keys are normed."""
    by_kernels: bool
    """On this machine's CPU its layers are computed by kernels."""
    vocab_size: int

    @property
    def scalar_parameters(self) -> int:
        """Of a reward model or critic: a head of one number in place of the language head."""
        return self.parameters - self.head_parameters + self.hidden_size

    def counted(self, head: Head) -> int:
        return self.parameters if head == "language" else self.scalar_parameters


def _llama(hidden: int, inner: int, layers: int, heads: int, *, tied: bool) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128_256, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, tie_word_embeddings=tied,
        max_position_embeddings=131_072,
    )  # fmt: skip


def _qwen2(
    hidden: int, inner: int, layers: int, heads: tuple[int, int], *, tied: bool, vocab: int
) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads[0], num_key_value_heads=heads[1], tie_word_embeddings=tied,
        max_position_embeddings=32_768,
    )  # fmt: skip


def _qwen3(hidden: int, inner: int, layers: int, heads: int, *, tied: bool) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=151_936, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, head_dim=128, tie_word_embeddings=tied,
        max_position_embeddings=40_960,
    )  # fmt: skip


PUBLISHED: Mapping[str, PretrainedConfig] = {
    "meta-llama/Llama-3.2-1B": _llama(2048, 8192, 16, 32, tied=True),
    "meta-llama/Llama-3.2-3B": _llama(3072, 8192, 28, 24, tied=True),
    "meta-llama/Llama-3.1-8B": _llama(4096, 14336, 32, 32, tied=False),
    "meta-llama/Llama-3.1-70B": _llama(8192, 28672, 80, 64, tied=False),
    "Qwen/Qwen2.5-0.5B": _qwen2(896, 4864, 24, (14, 2), tied=True, vocab=151_936),
    "Qwen/Qwen2.5-1.5B": _qwen2(1536, 8960, 28, (12, 2), tied=True, vocab=151_936),
    "Qwen/Qwen2.5-3B": _qwen2(2048, 11008, 36, (16, 2), tied=True, vocab=151_936),
    "Qwen/Qwen2.5-7B": _qwen2(3584, 18944, 28, (28, 4), tied=False, vocab=152_064),
    "Qwen/Qwen2.5-14B": _qwen2(5120, 13824, 48, (40, 8), tied=False, vocab=152_064),
    "Qwen/Qwen2.5-32B": _qwen2(5120, 27648, 64, (40, 8), tied=False, vocab=152_064),
    "Qwen/Qwen2.5-72B": _qwen2(8192, 29568, 80, (64, 8), tied=False, vocab=152_064),
    "Qwen/Qwen3-0.6B": _qwen3(1024, 3072, 28, 16, tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 6144, 28, 16, tied=True),
    "Qwen/Qwen3-4B": _qwen3(2560, 9728, 36, 32, tied=True),
    "Qwen/Qwen3-8B": _qwen3(4096, 12288, 36, 32, tied=False),
}
"""Sizes as their authors published them, under the names the hub has them by."""

_TUNED = re.compile(r"-(instruct|base|it)$", re.IGNORECASE)


def shape_of(name: str) -> Shape:
    """The sizes of a model: published, of a path, a shipped name, or a hub's org/name.

    Raises:
        ValueError: it is neither in the table nor to be found.
    """
    if found := published(name):
        return count(found, name=name, said="published sizes")
    path = model_path(name)
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise ValueError(
            f"{name}: no config.json to be had, here or on the hub, and no published "
            f"sizes{nearest(name, PUBLISHED)}"
        ) from error
    return count(config, name=name, said="its config.json")


def published(name: str) -> PretrainedConfig | None:
    """The table's entry; models tuned from one of it have its sizes."""
    plain = _TUNED.sub("", name).lower()
    return next((c for known, c in PUBLISHED.items() if known.lower() == plain), None)


def count(config: PretrainedConfig, *, name: str, said: str) -> Shape:
    """Count a model as it would be built, without storage.

    Raises:
        ValueError: it is no causal language model that transformers can build.
    """
    model = without_storage(config, name)
    backbone, head = model.base_model, model.get_output_embeddings()
    embedding = model.get_input_embeddings()
    tied = head is None or head.weight is embedding.weight
    linear = [m for m in backbone.modules() if isinstance(m, (nn.Linear, Conv1D))]
    inner = _first(config, "intermediate_size", "n_inner", "ffn_dim") or 4 * config.hidden_size
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    return Shape(
        name=name,
        said=said,
        config=config,
        layout=layout_of(model, "cpu"),
        gpu_layout=layout_of(model, "cuda"),
        parameters=sum(p.numel() for p in model.parameters()),
        head_parameters=0 if tied or head is None else head.weight.numel(),
        matrix_parameters=sum(m.weight.numel() for m in linear) + _met_experts(backbone, config),
        adapter_ends=sum(sum(m.weight.shape) for m in linear),
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        query_size=heads * size,
        key_size=shared * size,
        intermediate_size=inner,
        gated=_is_gated(linear, inner, config.num_hidden_layers),
        query_norms=any(name.endswith("q_norm") for name, _ in backbone.named_modules()),
        by_kernels=has_native_layers(model),
        vocab_size=config.vocab_size,
    )


def without_storage(config: PretrainedConfig, name: str) -> PreTrainedModel:
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (ValueError, KeyError, ImportError) as error:
        raise ValueError(f"{name}: no causal language model: {error}") from error
    use_own_kernels(model)  # as loading does
    return model


def _met_experts(backbone: nn.Module, config: PretrainedConfig) -> int:
    """Experts are matrices stacked in one parameter, of which a token meets a few."""
    stacked = sum(p.numel() for p in backbone.parameters() if p.ndim == 3)
    total = _first(config, "num_local_experts", "num_experts", "n_routed_experts")
    met = _first(config, "num_experts_per_tok")
    return round(stacked * met / total) if total and met else stacked


def _is_gated(linear: list[Any], inner: int, layers: int) -> bool:
    """Whether a layer has three sides of the inner size: gate, up and down, two of them fused or
    not; experts have."""
    sides = sum(m.weight.shape.count(inner) + 2 * m.weight.shape.count(2 * inner) for m in linear)
    return not sides or sides >= 3 * layers


def _first(config: PretrainedConfig, *names: str) -> int | None:
    """The first of a size's names that the config has."""
    return next((value for n in names if (value := getattr(config, n, None))), None)

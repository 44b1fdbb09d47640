"""nano: the small Llama that ships with Plaudit, and its relatives."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from plaudit.models.loading import Precision, as_dtype, on_device
from plaudit.models.native_layers import use_own_kernels

SPECIAL = ("bos", "eos", "pad")


def new_llama(
    tokenizer: PreTrainedTokenizerBase,
    *,
    hidden_size: int,
    intermediate_size: int,
    num_hidden_layers: int,
    num_attention_heads: int,
    num_key_value_heads: int,
    max_position_embeddings: int,
    seed: int,
    precision: Precision = "float32",
    device: str = "cpu",
) -> LlamaForCausalLM:
    """A Llama with random weights (tied embeddings) for a tokenizer.

    Raises:
        ValueError: the heads do not divide the hidden size, or each other.
    """
    if hidden_size % num_attention_heads or num_attention_heads % num_key_value_heads:
        raise ValueError(
            f"hidden_size={hidden_size}, num_attention_heads={num_attention_heads}, "
            f"num_key_value_heads={num_key_value_heads}: each must divide the one before"
        )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        num_key_value_heads=num_key_value_heads,
        max_position_embeddings=max_position_embeddings,
        tie_word_embeddings=True,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in SPECIAL},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    use_own_kernels(model)
    model.eval()
    as_dtype(model, precision)
    on_device(model, device)
    return model

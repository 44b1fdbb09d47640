"""Tiny real models and trees for the tests: random weights, real architectures."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import transformers as hf

from plaudit.models.native_layers import use_own_kernels
from plaudit.text import Tokens, Tree

VOCAB = 64


def _sized(head_size: int, **more) -> dict:
    return {
        "vocab_size": VOCAB,
        "hidden_size": 4 * head_size,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **more,
    }


def _configs(head_size: int = 8) -> dict[str, hf.PretrainedConfig]:
    width = 4 * head_size
    gpt2 = {"vocab_size": VOCAB, "n_embd": width, "n_layer": 3, "n_head": 4, "n_positions": 128}
    head = {"head_dim": head_size}
    scale = {"query_pre_attn_scalar": head_size}
    sizes = partial(_sized, head_size)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return {
        "llama": hf.LlamaConfig(**sizes()),
        "qwen2": hf.Qwen2Config(**sizes()),
        "qwen3": hf.Qwen3Config(**sizes(**head)),
        "mistral": hf.MistralConfig(**sizes(sliding_window=6)),
        "gemma2": hf.Gemma2Config(**sizes(**head, sliding_window=6, **scale)),
        "gemma3": hf.Gemma3TextConfig(
            **sizes(**head, sliding_window=6, sliding_window_pattern=2, **scale)
        ),
        "phi3": hf.Phi3Config(**sizes()),
        "gpt2": hf.GPT2Config(**gpt2, **ends),
        "gpt_neox": hf.GPTNeoXConfig(**sizes()),
        "opt": hf.OPTConfig(
            vocab_size=VOCAB,
            hidden_size=width,
            ffn_dim=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=128,
            word_embed_proj_dim=width,
            **ends,
        ),
        "mamba": hf.MambaConfig(
            vocab_size=VOCAB, hidden_size=width, num_hidden_layers=2, state_size=4, **ends
        ),
        "jamba": hf.JambaConfig(
            **sizes(
                num_experts=2, use_mamba_kernels=False, attn_layer_period=2, attn_layer_offset=1
            ),
        ),
    }


FAMILIES = tuple(_configs())
BRANCHING = tuple(f for f in FAMILIES if f not in ("mamba", "jamba"))


def _attention(config: hf.PretrainedConfig) -> dict[str, str]:
    """SDPA cannot cap the attention's logits (Gemma 2)."""
    capped = getattr(config, "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def tiny_language_model(
    family: str = "llama", seed: int = 0, *, head_size: int = 8
) -> hf.PreTrainedModel:
    """A language model of a family; weights large enough for logits to differ."""
    config = _configs(head_size)[family]
    torch.manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config(config, **_attention(config))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(1.0 if family == "mamba" else 4.0)
    use_own_kernels(model)  # as loading does
    return model.eval()


def tiny_scalar_model(
    family: str = "llama", seed: int = 0, *, head_size: int = 8
) -> hf.PreTrainedModel:
    """A reward model or critic of a family, with a head of a size like its scores'."""
    config = _configs(head_size)[family]
    config.num_labels = 1
    torch.manual_seed(seed)
    model = hf.AutoModelForSequenceClassification.from_config(config, **_attention(config))
    torch.nn.init.normal_(model.score.weight, std=0.3)
    use_own_kernels(model)
    return model.eval()


def random_tree(rng: np.random.Generator, *, prompt: int, branches: list[int]) -> Tree:
    """A tree of random tokens; every third token of a branch is context, not the policy's."""
    draw = lambda n: rng.integers(3, VOCAB, n).astype(np.int32)  # noqa: E731
    return Tree(
        id="random",
        prompt_P=draw(prompt),
        branches=tuple(
            Tokens(ids=draw(n), mask=np.arange(n) % 3 != 2 if n > 1 else np.ones(n, bool))
            for n in branches
        ),
    )

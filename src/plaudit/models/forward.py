"""The forward pass over trees: hidden states for every position, heads only where needed.

Shapes: B rows, T positions, D hidden size, V vocabulary, N policy tokens, M branches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from plaudit.models.layout import Layout, TreeBatch, attention_mask

# Layers whose state runs through the tokens one by one cannot skip a sibling.
_BRANCHING_LAYERS = {"full_attention", "sliding_attention"}


def layout_of(model: PreTrainedModel) -> Layout:
    """``tree`` where every layer is attention with a mask, else ``rows`` (K separate rows)."""
    config = model.config
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    stateful = bool(getattr(model, "_is_stateful", False))
    return "rows" if stateful or not layer_types <= _BRANCHING_LAYERS else "tree"


def hidden_states(model: PreTrainedModel, batch: TreeBatch) -> Tensor:
    """Last hidden states ``[B, T, D]`` of the backbone; nothing of size V is computed."""
    inputs: dict = {"input_ids": batch.ids_BT, "use_cache": False}
    if batch.branched:
        inputs["attention_mask"] = layer_masks(model, lambda w: attention_mask(batch, window=w))
        inputs["position_ids"] = batch.position_BT
    return model.base_model(**inputs).last_hidden_state


def layer_masks(
    model: PreTrainedModel, mask: Callable[[int | None], Tensor]
) -> Tensor | dict[str, Tensor]:
    """Masks as this model takes them: one, or one for each kind of layer.

    Args:
        mask: makes the boolean mask for a sliding window (None: no window).
    """
    config = model.config
    window = getattr(config, "sliding_window", None)
    layer_types = set(getattr(config, "layer_types", None) or [])
    if "sliding_attention" in layer_types:
        windows = {"full_attention": None, "sliding_attention": window}
        return {kind: _as_expected(model, mask(windows[kind])) for kind in sorted(layer_types)}
    # With layer types but none sliding, a window in the config is not in use (Qwen2's default).
    return _as_expected(model, mask(None if layer_types else window))


def _as_expected(model: PreTrainedModel, mask: Tensor) -> Tensor:
    """Boolean for SDPA; additive, in the model's dtype, for the eager attention."""
    if model.config._attn_implementation != "eager":
        return mask
    dtype = model.dtype
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(
        ~mask, torch.finfo(dtype).min
    )


class TokenLogprobs(NamedTuple):
    """What the language head says of each policy token, in nats."""

    logprob_N: Tensor
    entropy_N: Tensor


def token_logprobs(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    target_N: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> TokenLogprobs:
    """Log-probability of each target, and the entropy of the distribution it was drawn from.

    ``logprob = logits[target] / t - logsumexp(logits / t)``, in float32 whatever the model's
    dtype, a chunk of tokens at a time: ``[chunk, V]`` is the largest tensor, and under autograd
    each chunk is computed again in the backward pass rather than kept.
    """
    chunks = [
        _chunk_logprobs(model, hidden_ND[i : i + chunk_tokens], target_N[i : i + chunk_tokens],
                        temperature, recompute=len(target_N) > chunk_tokens)
        for i in range(0, max(1, len(target_N)), chunk_tokens)
    ]  # fmt: skip
    return TokenLogprobs(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


def _chunk_logprobs(
    model: PreTrainedModel, hidden: Tensor, target: Tensor, temperature: float, *, recompute: bool
) -> tuple[Tensor, Tensor]:
    def head(hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits_NV = language_logits(model, hidden).float() / temperature
        log_normaliser_N = logits_NV.logsumexp(-1)
        logprob_N = logits_NV.gather(-1, target[:, None])[:, 0] - log_normaliser_N
        probs_NV = (logits_NV - log_normaliser_N[:, None]).exp()
        return logprob_N, log_normaliser_N - (probs_NV * logits_NV).sum(-1)

    if recompute and torch.is_grad_enabled():
        logprob, entropy = checkpoint(head, hidden, use_reentrant=False)
        return logprob, entropy
    return head(hidden)


def log_collisions(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> Tensor:
    """``log sum_v pi(v)^2`` at each policy token: how likely two draws there are to agree. [N]

    In float32, without gradient, a chunk of tokens at a time.
    """
    with torch.no_grad():
        parts = [
            (2 * _log_probs(model, part, temperature)).logsumexp(-1)
            for part in hidden_ND.split(chunk_tokens)
        ]
        return torch.cat(parts)


def reference_kls(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    reference: PreTrainedModel,
    reference_hidden_ND: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> Tensor:
    """``KL(reference || model) = sum_v ref(v) (log ref(v) - log pi(v))`` at each policy token. [N]

    In nats and float32; the gradient is the model's alone, each chunk computed again for it.
    """

    def head(hidden: Tensor, reference_hidden: Tensor) -> Tensor:
        with torch.no_grad():
            log_reference_NV = _log_probs(reference, reference_hidden, temperature)
        log_ratio_NV = log_reference_NV - _log_probs(model, hidden, temperature)
        return (log_reference_NV.exp() * log_ratio_NV).sum(-1)

    pairs = zip(hidden_ND.split(chunk_tokens), reference_hidden_ND.split(chunk_tokens), strict=True)
    return torch.cat([checkpoint(head, *pair, use_reentrant=False) for pair in pairs])


def _log_probs(model: PreTrainedModel, hidden_ND: Tensor, temperature: float) -> Tensor:
    return (language_logits(model, hidden_ND).float() / temperature).log_softmax(-1)


def language_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits over the vocabulary, with the scaling and capping some families apply."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module), f"{type(model).__name__} has no language head"
    logits = head(hidden)
    config = model.config
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
        logits = cap * torch.tanh(logits / cap)
    return logits

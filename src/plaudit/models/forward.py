"""The forward pass over trees: hidden states where they are read, heads only there.

Shapes: B rows, T positions, R positions that are read, D hidden size, V vocabulary, N policy
tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from plaudit.models.attention import attends_to_trees, window_alone
from plaudit.models.blocks import lengthened, rows_short
from plaudit.models.layout import Layout, TreeBatch, attention_mask
from plaudit.models.native_forward import native_hidden_states, passes_natively
from plaudit.models.native_layers import last_layer_reads
from plaudit.models.token_head import logprobs_and_entropy
from plaudit.models.tree_attention import TreeSpan

# Layers whose state runs through the tokens one by one cannot skip a sibling.
_BRANCHING_LAYERS = {"full_attention", "sliding_attention"}
_SCALES = ("logit_scale", "lm_head_multiplier")
"""Of logits, by the names that configs have for them: Cohere, Falcon H1."""
_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Gemma 2, RecurrentGemma, xLSTM."""
_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""How far two ways of computing one logit may be apart, relative to the largest."""
_LOGITS_KEPT = 1 << 25
"""Entries of ``[N, V]`` that a pass may hold at once: 128 MB in float32."""


def layout_of(model: PreTrainedModel, device_type: str | None = None) -> Layout:
    """``packed`` where our own attention takes trees, ``tree`` where every layer is attention with
    a mask, else ``rows`` (K separate rows); on the model's own device where none is said."""
    config = model.config
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    stateful = bool(getattr(model, "_is_stateful", False))
    if stateful or not layer_types <= _BRANCHING_LAYERS or not _takes_places(model):
        return "rows"
    packed = attends_to_trees(model, device_type or model.device.type)
    return "packed" if packed else "tree"


def _takes_places(model: PreTrainedModel) -> bool:
    """Whether positions and a mask are all that the model knows of where tokens stand: not where
    it reckons distances along the row itself."""
    config = model.config
    biased = bool(getattr(config, "alibi", False))  # Falcon; others with ALiBi take no positions
    windowed = "local" in (getattr(config, "attention_layers", None) or ())  # GPT-Neo
    own_mask = config.model_type == "openai-gpt"
    named = inspect.signature(type(model.base_model).forward).parameters
    return "position_ids" in named and not (biased or windowed or own_mask)


def hidden_states(model: PreTrainedModel, batch: TreeBatch, read_R: Tensor) -> Tensor:
    """Last hidden states ``[R, D]`` of the backbone; nothing of size V is computed.

    Args:
        read_R: indices into the flattened ``B * T``. Where trees are packed and layers are ours,
            the last layer answers for these positions alone.
    """
    if batch.spans:
        return _packed_states(model, batch, read_R)
    inputs: dict = {"input_ids": batch.ids_BT, "use_cache": False}
    if batch.branched:
        inputs["attention_mask"] = layer_masks(model, lambda w: attention_mask(batch, window=w))
        inputs["position_ids"] = batch.position_BT
    states_BTD = model.base_model(**inputs).last_hidden_state
    return states_BTD.flatten(0, 1).index_select(0, read_R)


def _packed_states(model: PreTrainedModel, batch: TreeBatch, read_R: Tensor) -> Tensor:
    if passes_natively(model):
        return native_hidden_states(model, batch.ids_BT[0], batch.spans, read_R)
    asked, short = len(read_R), rows_short(model, batch.ids_BT.shape[1])
    read_R = torch.cat([read_R, read_R[-1:].expand(rows_short(model, asked))])
    inputs: dict = {"read_R": read_R} if last_layer_reads(model) else {}
    states_1TD = model.base_model(
        input_ids=lengthened(batch.ids_BT[0], short)[None], use_cache=False,
        position_ids=lengthened(batch.position_BT[0], short)[None],
        attention_mask=layer_masks(model, window_alone), trees=_filled(batch.spans, short),
        **inputs,
    ).last_hidden_state  # fmt: skip
    if not inputs:
        return states_1TD[0].index_select(0, read_R[:asked])
    assert states_1TD.shape[1] == len(read_R), "the last layer answers for what is read"
    return states_1TD[0, :asked]


def _filled(spans: tuple[TreeSpan, ...], short: int) -> tuple[TreeSpan, ...]:
    """What fills the row is a trunk without a branch."""
    return (*spans, TreeSpan(spans[-1].start + spans[-1].tokens, short, (0,))) if short else spans


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
    """Zeros where it was not asked for."""


def chunk_tokens(vocab_size: int) -> int:
    """Tokens whose logits are held at once."""
    return max(1, _LOGITS_KEPT // vocab_size)


def token_logprobs(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    target_N: Tensor,
    *,
    temperature: float = 1.0,
    with_entropy: bool = True,
    at_once: int | None = None,
) -> TokenLogprobs:
    """Log-probability of each target, and the entropy of the distribution it was drawn from.

    Where there are more tokens than ``at_once`` (``chunk_tokens`` where not said) they are taken a
    chunk at a time, and under autograd each chunk's logits are computed again in the backward pass
    rather than kept.
    """
    rows = at_once or chunk_tokens(model.config.get_text_config().vocab_size)
    head = partial(_head, model, temperature=temperature, with_entropy=with_entropy)
    if len(target_N) <= rows:
        return TokenLogprobs(*head(hidden_ND, target_N))
    parts = zip(hidden_ND.split(rows), target_N.split(rows), strict=True)
    if torch.is_grad_enabled():
        head = partial(checkpoint, head, use_reentrant=False)
    return TokenLogprobs(*map(torch.cat, zip(*(head(*part) for part in parts), strict=True)))


def _head(
    model: PreTrainedModel, hidden_ND: Tensor, target_N: Tensor, **options: Any
) -> tuple[Tensor, Tensor]:
    asked, short = len(target_N), rows_short(model, len(target_N))
    logits_NV = language_logits(model, lengthened(hidden_ND, short))
    logprob_N, entropy_N = logprobs_and_entropy(logits_NV, lengthened(target_N, short), **options)
    return logprob_N[:asked], entropy_N[:asked]


def language_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits over the vocabulary, with the scaling and capping some families apply."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module), f"{type(model).__name__} has no language head"
    config = model.config
    if config.model_type == "modernbert-decoder":
        hidden = model.lm_head(hidden)
    logits = head(hidden)
    for name in _SCALES:
        if scale := getattr(config, name, None):
            logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):
        # HyperCLOVA X has Granite's name for its inverse.
        logits = logits * scaling if config.model_type == "hyperclovax" else logits / scaling
    for name in _CAPS:
        if cap := getattr(config, name, None):
            logits = cap * torch.tanh(logits / cap)
    return logits


def knows_head(model: PreTrainedModel) -> bool:
    """Whether ``language_logits`` of its hidden states are the model's own logits."""
    ids_1T = torch.arange(2, device=model.device)[None]
    with torch.no_grad():
        expected_1TV = model(input_ids=ids_1T, use_cache=False).logits.float()
        states = model.base_model(input_ids=ids_1T, use_cache=False)
        if not hasattr(states, "last_hidden_state"):
            return False
        found_1TV = language_logits(model, states.last_hidden_state).float()
    if found_1TV.shape != expected_1TV.shape:
        return False
    off = (found_1TV - expected_1TV).abs().max()
    # Logits that are no numbers are for those to tell who read them.
    return not bool(off > _ROUNDING[model.dtype] * expected_1TV.abs().max())

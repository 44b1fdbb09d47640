"""Layers of the Llama kind computed by our own kernels, where these take their tensors.

Installed on a model's own modules, which stay what they are: names, weights and files are the
same, a copy or a pickle of the model is computed so too, and projections are called as modules,
whatever an adapter made of them. What the kernels do not take is computed as transformers does.

Shapes: B rows, T tokens, D hidden size, R positions that are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import SiLUActivation
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama as llama
from transformers.models.mistral import modeling_mistral as mistral
from transformers.models.qwen2 import modeling_qwen2 as qwen2
from transformers.models.qwen3 import modeling_qwen3 as qwen3

from plaudit.models.attention import share_keys
from plaudit.models.products import use_own_products
from plaudit.native import library
from plaudit.native.calls import takes
from plaudit.native.gated import silu_times
from plaudit.native.norms import rms_norm, rms_norm_of_sum
from plaudit.native.rotary import turned

_NORMS = (
    llama.LlamaRMSNorm, mistral.MistralRMSNorm, qwen2.Qwen2RMSNorm, qwen3.Qwen3RMSNorm,
)  # fmt: skip
_MLPS = (llama.LlamaMLP, mistral.MistralMLP, qwen2.Qwen2MLP, qwen3.Qwen3MLP)
_ATTENTIONS = (
    llama.LlamaAttention, mistral.MistralAttention, qwen2.Qwen2Attention, qwen3.Qwen3Attention,
)  # fmt: skip
_LAYERS = (
    llama.LlamaDecoderLayer, mistral.MistralDecoderLayer, qwen2.Qwen2DecoderLayer,
    qwen3.Qwen3DecoderLayer,
)  # fmt: skip


def use_own_kernels(model: PreTrainedModel) -> None:
    """What every model is told that is made or loaded here: attention, and on a CPU its layers."""
    share_keys(model)
    use_native_layers(model)
    use_own_products(model)


def use_native_layers(model: PreTrainedModel) -> None:
    """Have the model's norms, MLPs, rotary positions and residual sums computed by the kernels."""
    if library() is None:
        return
    for module in model.modules():
        if found := _forward_of(module):
            module.forward = partial(found, module)
            vars(module)["has_own_kernels"] = True


def has_native_layers(model: PreTrainedModel) -> bool:
    """Whether they are installed, for tensors on a CPU."""
    return any(map(_is_native, model.modules()))


def last_layer_reads(model: PreTrainedModel) -> bool:
    """Whether the model takes ``read_R``, the tokens (of one row) that its last layer answers
    for."""
    layers = getattr(model.base_model, "layers", None)
    return bool(layers) and _is_native(layers[-1])


def _is_native(module: nn.Module) -> bool:
    return type(module) in _LAYERS and "has_own_kernels" in vars(module)


def _forward_of(module: nn.Module) -> Callable[..., Any] | None:
    kind = type(module)
    if kind in _NORMS:
        return _norm
    if kind in _MLPS:
        return _mlp if isinstance(module.act_fn, nn.SiLU | SiLUActivation) else None
    if kind in _ATTENTIONS:
        return _attention
    return _layer if kind in _LAYERS else None


def _norm(module: Any, hidden_states: Tensor) -> Tensor:
    if not takes(hidden_states, module.weight):
        return type(module).forward(module, hidden_states)
    return rms_norm(hidden_states, module.weight, module.variance_epsilon)


def _mlp(module: Any, x: Tensor) -> Tensor:
    gate, up = module.gate_proj(x), module.up_proj(x)
    inner = silu_times(gate, up) if takes(gate, up) else module.act_fn(gate) * up
    return module.down_proj(inner)


def _layer(
    module: Any, hidden_states: Tensor, *args: Any, read_R: Tensor | None = None, **options: Any
) -> Tensor:
    """Pre-norm: ``h += attention(norm(h))`` and ``h += mlp(norm(h))``.

    The last layer does so for what is read alone: later tokens see keys and values of the rest,
    and nothing else of it.
    """
    is_last = module.self_attn.layer_idx == module.self_attn.config.num_hidden_layers - 1
    read_R = read_R if is_last else None
    before, after = module.input_layernorm, module.post_attention_layernorm
    norms = (before, after)
    if not all(type(n) in _NORMS and takes(hidden_states, n.weight) for n in norms):
        return _read(type(module).forward(module, hidden_states, *args, **options), read_R)
    h_BTD, normed_BTD = rms_norm_of_sum(hidden_states, None, before.weight, before.variance_epsilon)
    added_BTD, _ = module.self_attn(normed_BTD, *args, read_R=read_R, **options)
    h_BTD, normed_BTD = rms_norm_of_sum(
        _read(h_BTD, read_R), added_BTD, after.weight, after.variance_epsilon
    )
    return h_BTD + module.mlp(normed_BTD)


def _read(x_BT: Tensor, read_R: Tensor | None) -> Tensor:
    """Tokens of one row, where there is such a choice."""
    return x_BT if read_R is None else x_BT[0].index_select(0, read_R)[None]


def _attention(
    module: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    read_R: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    chosen = module.config._attn_implementation
    cos, sin = position_embeddings
    if chosen == "eager" or not takes(hidden_states, cos, sin):
        found_BTD, weights = type(module).forward(
            module, hidden_states, position_embeddings, attention_mask, past_key_values, **options
        )
        return _read(found_BTD, read_R), weights
    shape = (*hidden_states.shape[:-1], -1, module.head_dim)
    projections = (module.q_proj, module.k_proj, module.v_proj)
    q_BTHD, k_BTGD, v_BTGD = (p(hidden_states).view(shape) for p in projections)
    if hasattr(module, "q_norm"):  # Qwen 3
        q_BTHD, k_BTGD = module.q_norm(q_BTHD), module.k_norm(k_BTGD)
    q_BTHD, k_BTGD = turned(q_BTHD, cos, sin), turned(k_BTGD, cos, sin)
    query, key, value = (x.transpose(1, 2) for x in (q_BTHD, k_BTGD, v_BTGD))
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, module.layer_idx)
    window = getattr(module, "sliding_window", getattr(module.config, "sliding_window", None))
    found_BTHD, weights = ALL_ATTENTION_FUNCTIONS[chosen](
        module, query, key, value, attention_mask,
        dropout=module.attention_dropout if module.training else 0.0, scaling=module.scaling,
        sliding_window=window, read_R=read_R, **options,
    )  # fmt: skip
    return module.o_proj(_read(found_BTHD.flatten(2), read_R)), weights

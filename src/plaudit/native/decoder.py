"""A Llama-like model's layers over new tokens, in one call a token: see ``decoder.cpp``.

Shapes: X new tokens, R of them that are read, C hidden size, D head size, P positions,
V vocabulary.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.native.build import library
from plaudit.native.calls import NAMES, address, kernel, threads_for
from plaudit.native.linear import Product, is_product, product_of
from plaudit.native.structures import Layer, Model, Pages, Scratch, Weights

PAGE_TOKENS = 64
_TOGETHER = 4
_PRODUCTS_AT_ONCE = 16
"""Multiplications that a core does in the time of one number read."""
_INPUTS_OF_ATTENTION = 3
_MULTIPLE = 16
"""Of which every size is one: the widest vector's."""
_LARGEST_HEAD = 256
_FAMILIES = {"llama", "mistral", "qwen2", "qwen3"}
_TURNED_BY_POSITION_ALONE = {"default", "linear", "llama3", "yarn"}


def is_decodable(model: Any) -> bool:
    """Whether the kernels are here and know all that the model computes."""
    config, base = model.config, model.base_model
    if library() is None or config.model_type not in _FAMILIES or config.hidden_act != "silu":
        return False
    dtypes = {p.dtype for name, p in model.named_parameters() if ".lora_" not in name}
    here = {p.device.type for p in model.parameters()} == {"cpu"}
    if not here or len(dtypes) != 1 or not dtypes <= NAMES.keys():
        return False
    plain = type(base.embed_tokens) is nn.Embedding and all(map(_has_plain_products, base.layers))
    # Hooks may compute what the kernels know nothing of.
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    turned = base.rotary_emb.rope_type in _TURNED_BY_POSITION_ALONE
    dropped = model.training and bool(config.attention_dropout)
    return plain and turned and not (hooked or dropped) and _fits(config, base)


def _has_plain_products(layer: Any) -> bool:
    projections = _projections(layer)
    biased = projections[_INPUTS_OF_ATTENTION:]
    return all(map(is_product, projections)) and all(x.bias is None for x in biased)


def has_plain_head(model: Any) -> bool:
    """Whether the language head, too, is nothing but a product, of a size the kernels take."""
    head = model.get_output_embeddings()
    return is_product(head) and head.out_features % _MULTIPLE == 0


def _fits(config: Any, base: Any) -> bool:
    size = base.layers[0].self_attn.head_dim
    sizes = (size, config.hidden_size, config.intermediate_size)
    one_window = len(set(getattr(config, "layer_types", None) or ["full_attention"])) == 1
    return one_window and size <= _LARGEST_HEAD and not any(s % _MULTIPLE for s in sizes)


def _projections(layer: Any) -> list[Any]:
    attention, mlp = layer.self_attn, layer.mlp
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    return [*(getattr(attention, n) for n in names), mlp.gate_proj, mlp.up_proj, mlp.down_proj]


class Decoder:
    """A model as it is now: what is learned later needs another.

    Products are in the model's dtype with sums in float32, and what stands between them is float32.
    A token's result depends on its own sequence alone, bit for bit.

    Args:
        model: for which ``is_decodable`` holds.
    """

    def __init__(self, model: Any) -> None:
        self._base = model.base_model
        self._dtype = model.dtype
        self._config = model.config
        self._held: list[Tensor] = []
        """What the kernels point to."""
        self._buffers: dict[str, Tensor] = {}
        self._layers = (Layer * len(self._base.layers))(*map(self._layer, self._base.layers))
        self._model = self._whole()
        self._language_head = model.get_output_embeddings()
        self._head: Weights | None = None
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        """Keys and values, by layer."""
        self._turned = 0

    def make_room(self, pages: int) -> None:
        """For so many pages in all, in every layer; what is kept stays where it is."""
        size = self._model.size
        for number, layer in enumerate(self._layers):
            before = self._kept.get(number)
            kept = self._empty(pages, size, PAGE_TOKENS), self._empty(pages, PAGE_TOKENS, size)
            for room, old in zip(kept, before or (), strict=False):
                room[: len(old)] = old
            self._kept[number] = kept
            layer.keys, layer.values = (x.data_ptr() for x in kept)

    def make_room_for_one_call(self, pages: int) -> None:
        """The same for all layers, so that nothing is kept for a later call."""
        size = self._model.size
        kept = self._empty(pages, size, PAGE_TOKENS), self._empty(pages, PAGE_TOKENS, size)
        self._kept = {0: kept}
        for layer in self._layers:
            layer.keys, layer.values = (x.data_ptr() for x in kept)

    def _empty(self, pages: int, *shape: int) -> Tensor:
        return torch.empty(pages, self._model.key_heads, *shape, dtype=self._dtype)

    def hidden(
        self, rows: np.ndarray, table: np.ndarray, read_R: np.ndarray | None = None
    ) -> Tensor:
        """Last hidden states [R, C] of new tokens, which are all kept for those that come later.

        Args:
            rows: of ``ROW``; what follows one another in one prompt is best side by side.
            table: [holders, longest], int32: which pages are a holder's, in order.
            read_R: which rows' states are asked for, ascending; all, where not said.

        Raises:
            ValueError: a token is none of the model's.
        """
        self._check_tokens(rows["token"])
        self._turn(int(rows["position"].max()) + 1)
        asked, read = rows, None
        if read_R is not None:
            read = np.ascontiguousarray(read_R, np.int64)
            assert len(read) and read[0] >= 0 and read[-1] < len(rows) and (np.diff(read) > 0).all()
            asked = rows[read]
        out_RC = torch.empty(len(asked), self._model.hidden)
        pages = Pages(table.ctypes.data, table.shape[1])
        kernel("decode", self._dtype, "pppnppnppi")(
            ctypes.byref(self._model), ctypes.byref(pages), rows.ctypes.data, len(rows),
            None if read is None else read.ctypes.data, asked.ctypes.data, len(asked),
            ctypes.byref(self._scratch(rows)), address(out_RC), self._threads(len(rows)),
        )  # fmt: skip
        return out_RC

    def logits(self, hidden_XC: Tensor) -> Tensor:
        """[X, V], in float32."""
        if self._head is None:
            self._head = self._packed([product_of(self._language_head)])
        rows, inputs = hidden_XC.shape
        logits_XV = torch.empty(rows, self._language_head.out_features)
        factors = self._buffer("factors", rows * inputs, torch.float32)
        kernel("logits", self._dtype, "ppnnppi")(
            ctypes.byref(self._head), address(hidden_XC), rows, inputs, address(factors),
            address(logits_XV), threads_for(logits_XV.numel() * inputs // _PRODUCTS_AT_ONCE),
        )  # fmt: skip
        return logits_XV

    def _check_tokens(self, token_X: np.ndarray) -> None:
        """Kernels would read past the embeddings."""
        known = self._base.embed_tokens.num_embeddings
        least, most = int(token_X.min()), int(token_X.max())
        if least < 0 or most >= known:
            raise ValueError(
                f"token {most if most >= known else least} is none of the model's {known}: its "
                "tokenizer and its weights do not belong together"
            )

    def _whole(self) -> Model:
        config, base, first = self._config, self._base, self._base.layers[0].self_attn
        sliding = config.model_type == "mistral" or "sliding_attention" in (
            getattr(config, "layer_types", None) or ()
        )
        return Model(
            layers=self._layers,
            embedding=base.embed_tokens.weight.data_ptr(),
            norm=self._floats(base.norm.weight),
            many_layers=len(self._layers),
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            key_heads=config.num_key_value_heads,
            query_heads=config.num_attention_heads,
            size=first.head_dim,
            window=(sliding and config.sliding_window) or 0,
            epsilon=base.norm.variance_epsilon,
            scale=first.scaling,
        )

    def _layer(self, layer: Any) -> Layer:
        q, k, v, o, gate, up, down = map(product_of, _projections(layer))
        query, key = (getattr(layer.self_attn, n, None) for n in ("q_norm", "k_norm"))
        return Layer(
            attention=self._floats(layer.input_layernorm.weight),
            mlp=self._floats(layer.post_attention_layernorm.weight),
            query=query and self._floats(query.weight),
            key=key and self._floats(key.weight),
            query_key_value=self._packed([q, k, v]),
            out=self._packed([o]),
            gate_up=self._packed([gate, up], halves=True),
            down=self._packed([down]),
        )

    def _packed(self, products: Sequence[Product], *, halves: bool = False) -> Weights:
        """Products of the same inputs as one, their outputs one after another; with ``halves`` two
        whose outputs share every tile."""
        assert not (halves and any(x.bias_O is not None for x in products))
        (outputs, inputs), (tile, factor_bytes) = products[0].weight_OI.shape, _packing(self._dtype)
        if not halves:
            outputs = sum(len(x.weight_OI) for x in products)
        room = -(-outputs // (tile // 2 if halves else tile)) * tile
        packed = torch.zeros(room * inputs * factor_bytes, dtype=torch.uint8)
        first = 0
        for number, x in enumerate(products, start=1):
            weight, which = x.weight_OI.contiguous(), number if halves else 0
            kernel("pack", self._dtype, "pnnnipi")(
                address(weight), len(weight), inputs, first, which, address(packed),
                threads_for(weight.numel()),
            )  # fmt: skip
            first += len(weight)
        self._held.append(packed)
        return Weights(packed.data_ptr(), self._bias(products), room if halves else outputs)

    def _bias(self, products: Sequence[Product]) -> int | None:
        if all(bias_O is None for _, bias_O in products):
            return None
        parts = [w_OI.new_zeros(len(w_OI)) if b_O is None else b_O for w_OI, b_O in products]
        return self._floats(torch.cat(parts))

    def _floats(self, tensor: Tensor) -> int:
        self._held.append(tensor.detach().float().contiguous())
        return self._held[-1].data_ptr()

    def _threads(self, rows: int) -> int:
        """As a layer's smallest product, after which threads meet, asks."""
        return threads_for(rows * self._model.hidden**2 // _PRODUCTS_AT_ONCE)

    def _turn(self, positions: int) -> None:
        """Cosines and sines of positions, rounded as the model's own."""
        if positions <= self._turned:
            return
        self._turned = max(positions, 2 * self._turned)
        like = torch.empty(1, dtype=self._dtype)
        turned = self._base.rotary_emb(like, torch.arange(self._turned)[None])
        cosine_PD, sine_PD = (x[0].float().contiguous() for x in turned)
        self._buffers["cosine"], self._buffers["sine"] = cosine_PD, sine_PD
        self._model.cosine, self._model.sine = cosine_PD.data_ptr(), sine_PD.data_ptr()

    def _scratch(self, rows: np.ndarray) -> Scratch:
        model, many = self._model, len(rows)
        heads = model.query_heads * model.size
        width = heads + 2 * model.key_heads * model.size
        # A parent's last page may be part full.
        room = (int(rows["position"].max()) // PAGE_TOKENS + 2) * PAGE_TOKENS
        sizes = {
            "residual": many * model.hidden,
            "projected": many * width,
            "scores": self._threads(many) * _TOGETHER * room,
            "factors": many * max(model.hidden, heads),
            "inner": many * model.inner,
        }
        found = {
            name: address(self._buffer(name, size, torch.float32)) for name, size in sizes.items()
        }
        return Scratch(**found, room=room)

    def _buffer(self, name: str, size: int, dtype: torch.dtype) -> Tensor:
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = torch.empty(size, dtype=dtype)
        return self._buffers[name]


def _packing(dtype: torch.dtype) -> tuple[int, int]:
    """Outputs of a tile, and bytes of a factor, which may be wider than the weights are."""
    kernels = library()
    assert kernels is not None
    return kernels.tile_outputs(), getattr(kernels, f"factor_bytes_{NAMES[dtype]}")()

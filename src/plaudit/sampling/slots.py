"""Key-value buffers allocated once, with a slot for every sequence being sampled.

Shapes: S slots, B active slots (always the first B), H heads, L positions, D head size, P prompt
tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values: ``[S, H, L, D]``; the newest token of each slot is written in
    place."""

    is_sliding = False

    def __init__(self, slots: int, length: int, cursor: Cursor) -> None:
        super().__init__()
        self._slots, self._length, self._cursor = slots, length, cursor

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        _, heads, _, size = key_states.shape
        value_size = value_states.shape[-1]
        like = {"dtype": key_states.dtype, "device": key_states.device}
        self.keys = torch.zeros(self._slots, heads, self._length, size, **like)
        self.values = torch.zeros(self._slots, heads, self._length, value_size, **like)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args, **kwargs
    ) -> tuple[Tensor, Tensor]:
        """Write one new token of every active slot; give back all that may be attended to."""
        keys, values = self.buffers()
        active, at = self._cursor.active, self._cursor.position_B
        rows = torch.arange(active, device=at.device)
        keys[rows, :, at] = key_states[:, :, 0]
        values[rows, :, at] = value_states[:, :, 0]
        return keys[:active, :, : self._cursor.length], values[:active, :, : self._cursor.length]

    def buffers(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None, "no prompt was ever admitted"
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._cursor.length, 0

    def get_seq_length(self) -> int:
        return self._cursor.length - 1

    def get_max_length(self) -> int:
        return self._length


class Cursor:
    """Where every layer writes: how many slots are active, and each one's next position."""

    def __init__(self) -> None:
        self.active = 0
        self.position_B = torch.zeros(0, dtype=torch.long)

    @property
    def length(self) -> int:
        """Positions in use by the longest active sequence, the one being written included."""
        return int(self.position_B.max()) + 1 if self.active else 0


class Slots:
    """The buffers of all layers."""

    def __init__(self, layers: int, *, slots: int, length: int) -> None:
        self.size, self.length = slots, length
        self.cursor = Cursor()
        self._layers = [SlotLayer(slots, length, self.cursor) for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))

    def admit(self, prefilled: DynamicCache, row: int, prompt_tokens: int, slots: range) -> None:
        """Copy a prompt's keys and values, computed once, into the slot of each response."""
        for layer, source in zip(self._layers, prefilled.layers, strict=True):
            assert isinstance(source, CacheLayerMixin)
            assert source.keys is not None and source.values is not None
            if not layer.is_initialized:
                layer.lazy_initialization(source.keys, source.values)
            keys, values = layer.buffers()
            first, last = slots.start, slots.stop
            keys[first:last, :, :prompt_tokens] = source.keys[row, :, :prompt_tokens]
            values[first:last, :, :prompt_tokens] = source.values[row, :, :prompt_tokens]

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy a sequence from one slot to another, to close the gap a finished one left."""
        for layer in self._layers:
            for buffer in layer.buffers():
                buffer[target, :, :tokens] = buffer[source, :, :tokens]

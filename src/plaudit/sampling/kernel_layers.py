"""Sequences in slots through kernels: which pages are whose.

A holder is a slot, or a prompt with several slots, whose pages all of them see before their own.

Shapes: S slots, U prompts, M slots of each, B sequences that go on, C hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.native.decoder import PAGE_TOKENS, Decoder
from plaudit.native.structures import ROW

NOBODY = -1


class KernelLayers:
    """Sequences in at most ``slots`` slots, numbered from 0.

    Args:
        model: for which ``is_decodable`` holds; its weights are taken as they are now.
    """

    def __init__(self, model: PreTrainedModel, slots: int) -> None:
        self._decoder = Decoder(model)
        # No more prompts are shared than there are slots.
        self._table = np.full((2 * slots, 1), NOBODY, np.int32)
        self._tokens = np.zeros(2 * slots, np.int64)
        self._parent_S = np.full(slots, NOBODY)
        self._no_prompt = list(range(slots, 2 * slots))
        self._free: list[int] = []
        self._pages = 0

    def read(self, prompts: Sequence[np.ndarray], slot_UM: np.ndarray) -> Tensor:
        lengths = np.array([len(ids) for ids in prompts])
        holder_U = slot_UM[:, 0]
        self._parent_S[slot_UM] = NOBODY
        if slot_UM.shape[1] > 1:
            holder_U = np.array([self._no_prompt.pop() for _ in prompts])
            self._parent_S[slot_UM] = holder_U[:, None]
        self._tokens[slot_UM], self._tokens[holder_U] = 0, lengths
        self._take_pages(holder_U, np.zeros_like(lengths), -(-lengths // PAGE_TOKENS))
        rows = np.zeros(lengths.sum(), ROW)
        rows["token"], rows["parent"] = np.concatenate(prompts), NOBODY
        rows["holder"] = np.repeat(holder_U, lengths)
        rows["position"] = np.concatenate([np.arange(n) for n in lengths])
        return self._decoder.hidden(rows, self._table, np.cumsum(lengths) - 1)

    def go_on(self, slot_B: np.ndarray, id_B: np.ndarray) -> Tensor:
        own_B, parent_B = self._tokens[slot_B], self._parent_S[slot_B]
        full_B = own_B % PAGE_TOKENS == 0
        full = slot_B[full_B]
        self._take_pages(full, own_B[full_B] // PAGE_TOKENS, np.ones_like(full))
        self._tokens[slot_B] += 1
        rows = np.zeros(len(slot_B), ROW)
        rows["token"], rows["holder"], rows["parent"] = id_B, slot_B, parent_B
        rows["parent_tokens"] = np.where(parent_B == NOBODY, 0, self._tokens[parent_B])
        rows["position"] = rows["parent_tokens"] + own_B
        return self._decoder.hidden(rows, self._table)

    def logits(self, hidden_BC: Tensor) -> Tensor:
        return self._decoder.logits(hidden_BC)

    def release(self, slots: np.ndarray) -> None:
        prompts = np.unique(self._parent_S[slots])
        self._parent_S[slots] = NOBODY
        unseen = prompts[(prompts != NOBODY) & ~np.isin(prompts, self._parent_S)]
        self._no_prompt += unseen.tolist()
        for holder in (*slots, *unseen):
            pages = -(-self._tokens[holder] // PAGE_TOKENS)
            self._free += self._table[holder, :pages].tolist()
            self._tokens[holder] = 0

    def _take_pages(self, holders: np.ndarray, first: np.ndarray, many: np.ndarray) -> None:
        """So many pages more for each holder, its ``first`` and those after."""
        self._grow(int(many.sum()), int((first + many).max(initial=0)))
        for holder, begin, pages in zip(holders, first, many, strict=True):
            taken = [self._free.pop() for _ in range(pages)]
            self._table[holder, begin : begin + pages] = taken

    def _grow(self, pages: int, longest: int) -> None:
        if (missing := pages - len(self._free)) > 0:
            before, self._pages = self._pages, self._pages + max(missing, self._pages // 2)
            self._free += reversed(range(before, self._pages))
            self._decoder.make_room(self._pages)
        if (missing := longest - self._table.shape[1]) > 0:
            room = np.full((len(self._table), max(missing, 8)), NOBODY, np.int32)
            self._table = np.concatenate([self._table, room], axis=1)

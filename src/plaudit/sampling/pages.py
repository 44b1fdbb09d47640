"""Pages of keys and values: room for sequences of any length in one dense buffer a layer.

Every page holds ``PAGE_TOKENS`` tokens of one holder. Pages in use stand at the front of the
buffer, so that one product meets all of them, whoever they belong to, and nothing is padded but the
last page of each holder.

Shapes: N pages, X tokens, G key heads, W tokens of a page, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PAGE_TOKENS = 64
WORTH_FILLING = 0.25
"""Holes are filled once they are this part of the pages, or more."""
NOBODY = -1


class Place(NamedTuple):
    """Where tokens lie."""

    page_X: Tensor
    offset_X: Tensor


class Kept(NamedTuple):
    key_NGWD: Tensor
    value_NGWD: Tensor


class Pages:
    """The pages of some holders, in every layer."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._layers: dict[int, Kept] = {}
        self.holder_N = np.zeros(0, np.int64)
        """``NOBODY`` where a page is a hole."""
        self.first_N = np.zeros(0, np.int64)
        """Which of its holder's tokens is the page's first."""

    def __len__(self) -> int:
        return len(self.holder_N)

    def take(self, holders: Sequence[int] | np.ndarray, tokens: Sequence[int] | np.ndarray) -> None:
        """Room for holders that had none, each for so many tokens."""
        pages = -(-np.asarray(tokens) // PAGE_TOKENS)
        ordinals = np.concatenate([np.arange(n) for n in pages])
        self._append(np.repeat(holders, pages), ordinals * PAGE_TOKENS)

    def make_room(self, holder_B: np.ndarray, tokens_B: np.ndarray) -> None:
        """For one token more than they have."""
        full_B = tokens_B % PAGE_TOKENS == 0
        self._append(holder_B[full_B], tokens_B[full_B])

    def place(self, holder_X: np.ndarray, token_X: np.ndarray) -> Place:
        """Where these tokens of their holders lie, for which there is room."""
        wanted_X = np.stack([holder_X, token_X // PAGE_TOKENS * PAGE_TOKENS])
        have_N = np.stack([self.holder_N, self.first_N])
        span = int(have_N[1].max(initial=0)) + 1
        wanted, have = (x[0] * span + x[1] for x in (wanted_X, have_N))
        order = np.argsort(have, kind="stable")
        page_X = order[np.searchsorted(have, wanted, sorter=order)]
        return Place(self._tensor(page_X), self._tensor(token_X % PAGE_TOKENS))

    def write(self, layer: int, place: Place, key_XGD: Tensor, value_XGD: Tensor) -> None:
        room = self._room(layer, key_XGD, value_XGD)
        room.key_NGWD[place.page_X, :, place.offset_X] = key_XGD
        room.value_NGWD[place.page_X, :, place.offset_X] = value_XGD

    def kept(self, layer: int) -> Kept:
        """Of all pages."""
        key, value = self._layers[layer]
        return Kept(key[: len(self)], value[: len(self)])

    def release(self, holders: np.ndarray) -> None:
        """Give up the pages of these holders."""
        self.holder_N[np.isin(self.holder_N, holders)] = NOBODY
        holes = int((self.holder_N == NOBODY).sum())
        if holes and holes >= WORTH_FILLING * len(self):
            self._fill(len(self) - holes)

    def _fill(self, many: int) -> None:
        """Move the last pages into the holes among the first ``many``."""
        holes = np.flatnonzero(self.holder_N[:many] == NOBODY)
        last = many + np.flatnonzero(self.holder_N[many:] != NOBODY)
        if len(holes):
            to, source = self._tensor(holes), self._tensor(last)
            for kept in self._layers.values():
                for buffer in kept:
                    buffer.index_copy_(0, to, buffer.index_select(0, source))
        for of_page in (self.holder_N, self.first_N):
            of_page[holes] = of_page[last]
        self.holder_N, self.first_N = self.holder_N[:many].copy(), self.first_N[:many].copy()

    def _append(self, holder_N: np.ndarray, first_N: np.ndarray) -> None:
        self.holder_N = np.concatenate([self.holder_N, holder_N])
        self.first_N = np.concatenate([self.first_N, first_N])

    def _room(self, layer: int, key_XGD: Tensor, value_XGD: Tensor) -> Kept:
        """The layer's buffers, long enough for all pages; zero where nothing was written yet,
        because what is not seen must still be a number."""
        before = self._layers.get(layer)
        if before is None or len(before.key_NGWD) < len(self):
            room = Kept(*(self._empty(x) for x in (key_XGD, value_XGD)))
            for into, old in zip(room, before or (), strict=False):
                into[: len(old)] = old
            self._layers[layer] = room
        return self._layers[layer]

    def _empty(self, like_XGD: Tensor) -> Tensor:
        _, heads, size = like_XGD.shape
        return like_XGD.new_zeros(len(self) + len(self) // 2, heads, PAGE_TOKENS, size)

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.as_tensor(numbers, device=self._device)

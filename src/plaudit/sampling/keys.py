"""Keys and values of all that is being sampled.

A prompt with several responses stands once, in pages that all of them ask; a response, and a prompt
with a single one, in pages of their own.

Shapes: S slots, B rows written to, U prompts, X their tokens one after another, H query heads, G
key heads, N pages, M rows asking a page, K answers to a row, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plaudit.sampling.page_attention import Asked, Scoring, answers, causal, joined, with_nobody
from plaudit.sampling.pages import NOBODY, Pages, Place


@dataclass(slots=True)
class _Step:
    """What one token for every row needs to know, in all layers alike."""

    place: Place
    asked: list[tuple[Pages, Asked]]
    answer_BK: Tensor


class Keys:
    """The keys and values of sequences in at most ``slots`` slots, numbered from 0."""

    def __init__(self, slots: int, device: torch.device) -> None:
        self._device = device
        self._own, self._shared = Pages(device), Pages(device)
        # The last of each is nobody's, who holds no tokens.
        self._tokens_S = np.zeros(slots + 1, np.int64)
        """In pages of its own."""
        self._before_S = np.zeros(slots + 1, np.int64)
        """Of the prompt, where that stands in shared pages."""
        self._prompt_S = np.full(slots + 1, NOBODY)
        """Whose shared pages it asks."""
        self._prompts = 0
        self._lengths: list[int] = []
        self._reading: tuple[Pages, Place]
        self._step: _Step

    def admit(self, lengths: Sequence[int], slot_UM: np.ndarray) -> None:
        """Make room for prompts of so many tokens, each with its slots, which ``read`` is given."""
        self._lengths = list(lengths)
        prompts, responses = slot_UM.shape
        slots, each = slot_UM.ravel(), np.repeat(lengths, responses)
        if responses == 1:
            holders, pages = slots, self._own
            self._tokens_S[slots], self._before_S[slots] = each, 0
        else:
            holders, pages = self._prompts + np.arange(prompts), self._shared
            self._tokens_S[slots], self._before_S[slots] = 0, each
            self._prompt_S[slots] = np.repeat(holders, responses)
        self._prompts += prompts
        pages.take(holders, lengths)
        token_X = np.concatenate([np.arange(n) for n in lengths])
        self._reading = pages, pages.place(np.repeat(holders, lengths), token_X)

    def read(
        self, layer: int, query_HXD: Tensor, key_GXD: Tensor, value_GXD: Tensor, how: Scoring
    ) -> Tensor:
        """Every admitted prompt attends to itself, and its keys are kept."""
        pages, place = self._reading
        pages.write(layer, place, key_GXD.transpose(0, 1), value_GXD.transpose(0, 1))
        each = (x.split(self._lengths, dim=1) for x in (query_HXD, key_GXD, value_GXD))
        found = [causal(query, key, value, how) for query, key, value in zip(*each, strict=True)]
        return torch.cat(found, dim=1)

    def begin(self, slot_B: np.ndarray) -> None:
        """Make room for one token of every slot that is written to, which ``go_on`` is given."""
        token_B = self._tokens_S[slot_B]
        self._own.make_room(slot_B, token_B)
        self._tokens_S[slot_B] += 1
        asked = [(self._own, self._asked_own(slot_B))]
        if len(self._shared):
            asked.append((self._shared, self._asked_shared(slot_B)))
        row_E = np.concatenate([who.row_NM.ravel() for _, who in asked])
        someone_E = np.flatnonzero(row_E < len(slot_B))
        answer_BK = _grouped(someone_E, row_E[someone_E], len(slot_B), nothing=len(row_E))
        self._step = _Step(
            place=self._own.place(slot_B, token_B),
            asked=[(pages, who.asked(self._device)) for pages, who in asked],
            answer_BK=torch.as_tensor(answer_BK, device=self._device),
        )

    def go_on(
        self, layer: int, query_BHD: Tensor, key_BGD: Tensor, value_BGD: Tensor, how: Scoring
    ) -> Tensor:
        """Keep the newest token's keys, and attend from it to its prompt and all written since."""
        step = self._step
        self._own.write(layer, step.place, key_BGD, value_BGD)
        query_BGQD = with_nobody((query_BHD * how.scale).unflatten(1, (key_BGD.shape[1], -1)))
        parts = [answers(query_BGQD, pages.kept(layer), who, how) for pages, who in step.asked]
        return joined(parts, step.answer_BK)

    def release(self, slots: np.ndarray) -> None:
        """These have ended, and others may take their slots."""
        prompts = np.unique(self._prompt_S[slots])
        self._prompt_S[slots] = NOBODY
        self._own.release(slots)
        self._shared.release(prompts[~np.isin(prompts, self._prompt_S)])

    def _asked_own(self, slot_B: np.ndarray) -> _Asking:
        row_S = np.full(len(self._tokens_S), len(slot_B))
        row_S[slot_B] = np.arange(len(slot_B))
        holder_N, first_N = self._own.holder_N, self._own.first_N
        return _Asking(
            row_NM=row_S[holder_N][:, None],
            newest_B=self._newest(slot_B),
            first_N=self._before_S[holder_N] + first_N,
            tokens_N=self._tokens_S[holder_N] - first_N,
        )

    def _asked_shared(self, slot_B: np.ndarray) -> _Asking:
        prompt_B = self._prompt_S[slot_B]
        row_R = np.flatnonzero(prompt_B != NOBODY)
        prompt_U, which_R = np.unique(prompt_B[row_R], return_inverse=True)
        row_UM = _grouped(row_R, which_R, len(prompt_U) + 1, nothing=len(slot_B))
        tokens_U = np.append(self._before_S[slot_B[row_UM[:-1, 0]]], 0)
        holder_N, first_N = self._shared.holder_N, self._shared.first_N
        # A hole's is the one after the last.
        prompt_N = np.where(holder_N == NOBODY, len(prompt_U), np.searchsorted(prompt_U, holder_N))
        return _Asking(
            row_NM=row_UM[prompt_N],
            newest_B=self._newest(slot_B),
            first_N=first_N,
            tokens_N=tokens_U[prompt_N] - first_N,
        )

    def _newest(self, slot_B: np.ndarray) -> np.ndarray:
        """Positions of the newest tokens; the last stands for nobody's."""
        return np.append(self._before_S[slot_B] + self._tokens_S[slot_B] - 1, 0)


class _Asking(NamedTuple):
    """``Asked``, before it goes to the device."""

    row_NM: np.ndarray
    newest_B: np.ndarray
    first_N: np.ndarray
    tokens_N: np.ndarray

    def asked(self, device: torch.device) -> Asked:
        newest_NM = self.newest_B[self.row_NM]
        each = (self.row_NM, newest_NM, self.first_N, self.tokens_N)
        row_NM, newest_NM, first_N, tokens_N = (torch.as_tensor(x, device=device) for x in each)
        return Asked(row_NM, newest_NM, first_N, tokens_N)


def _grouped(item_X: np.ndarray, group_X: np.ndarray, groups: int, *, nothing: int) -> np.ndarray:
    """[groups, most items of any]: the items of each group in order, then ``nothing``."""
    order_X = np.argsort(group_X, kind="stable")
    sizes = np.bincount(group_X, minlength=groups)
    rank_X = np.arange(len(item_X)) - np.repeat(sizes.cumsum() - sizes, sizes)
    table = np.full((groups, max(1, sizes.max(initial=0))), nothing)
    table[group_X[order_X], rank_X] = item_X[order_X]
    return table

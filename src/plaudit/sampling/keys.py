"""Keys and values of a cohort: prompts read together, and the responses that go on from them.

A prompt's keys stand once for all its responses. All responses of a cohort have written equally
many tokens; prompts are padded to the cohort's longest. Buffers are as long as what they hold, all
but some tokens, because products with a part of a longer one took three times as long on a CPU.

Shapes: U prompts, N responses to each, C = U N rows, B rows still written to, H query heads, G key
heads, Q = H / G, P tokens of the longest prompt, R of the longest response, S of those seen,
D head size, T tokens of a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

WORTH_MOVING = 0.75
"""Rows are moved together once this part of them, or less, is still written to."""
GROWTH_TOKENS = 32
"""Room for responses is made this many tokens at a time."""


class Scoring(NamedTuple):
    """How a layer turns products of queries and keys into scores."""

    scale: float
    window: int | None
    """Keys this far back are no longer seen; None: all are."""
    cap: float | None
    """Scores s become ``cap tanh(s / cap)`` (Gemma 2)."""


@dataclass(slots=True)
class _Layer:
    prompt_key_UGPD: Tensor
    prompt_value_UGPD: Tensor
    key_CGRD: Tensor
    value_CGRD: Tensor

    def make_room(self, written: int) -> None:
        """For one more token."""
        if written == self.key_CGRD.shape[2]:
            self.key_CGRD, self.value_CGRD = (
                # Zero where nothing is written yet: what is not seen must still be a number.
                pad(x, (0, 0, 0, GROWTH_TOKENS))
                for x in (self.key_CGRD, self.value_CGRD)
            )

    def kept(self, prompts: Tensor, longest: int, rows: Tensor) -> _Layer:
        """Some of the prompts, and some of the rows."""
        return _Layer(
            self.prompt_key_UGPD[:, :, :longest].index_select(0, prompts),
            self.prompt_value_UGPD[:, :, :longest].index_select(0, prompts),
            self.key_CGRD.index_select(0, rows),
            self.value_CGRD.index_select(0, rows),
        )


class CohortKeys:
    """The keys and values of all layers.

    Args:
        lengths: tokens of each prompt.
        responses: of each prompt.
    """

    def __init__(self, lengths: np.ndarray, responses: int, device: torch.device) -> None:
        self._length_U = torch.as_tensor(lengths, device=device)
        self._responses = responses
        self._written = 0
        self._layers: dict[int, _Layer] = {}
        self._live_B: Tensor | None = None
        """Rows still written to, in order; None: all."""
        self._padded_UP = self._padding()

    @property
    def active(self) -> int:
        return len(self._length_U) * self._responses if self._live_B is None else len(self._live_B)

    def read(
        self, layer: int, query_HXD: Tensor, key_GXD: Tensor, value_GXD: Tensor, how: Scoring
    ) -> Tensor:
        """Every prompt attends to itself, and its keys are kept; X: all prompts' tokens in turn."""
        lengths = self._length_U.tolist()
        kept = self._layers[layer] = self._allocate(key_GXD, value_GXD, max(lengths))
        each = (x.split(lengths, dim=1) for x in (query_HXD, key_GXD, value_GXD))
        found = []
        for u, (query, key, value) in enumerate(zip(*each, strict=True)):
            kept.prompt_key_UGPD[u, :, : key.shape[1]] = key
            kept.prompt_value_UGPD[u, :, : value.shape[1]] = value
            found.append(_causal(query, key, value, how))
        return torch.cat(found, dim=1)

    def go_on(
        self, layer: int, query_BHD: Tensor, key_BGD: Tensor, value_BGD: Tensor, how: Scoring
    ) -> Tensor:
        """Keep the newest token's keys, and attend from it to its prompt and all written since."""
        kept = self._layers[layer]
        kept.make_room(self._written)
        self._write(kept.key_CGRD[:, :, self._written], key_BGD)
        self._write(kept.value_CGRD[:, :, self._written], value_BGD)
        query_CGQD = self._spread(query_BHD * how.scale).unflatten(1, (key_BGD.shape[1], -1))
        scores = [
            self._prompt_scores(query_CGQD, kept.prompt_key_UGPD, how),
            self._own_scores(query_CGQD, kept.key_CGRD, how),
        ]
        probs = torch.cat(scores, -1).softmax(-1, dtype=torch.float32).to(query_BHD.dtype)
        of_prompt_CGQP, own_CGQR = probs.split([x.shape[-1] for x in scores], -1)
        found_CGQD = own_CGQR @ kept.value_CGRD
        found_CGQD += self._of_prompts(of_prompt_CGQP, kept.prompt_value_UGPD)
        found_CHD = found_CGQD.flatten(1, 2)
        return found_CHD if self._live_B is None else found_CHD.index_select(0, self._live_B)

    def advance(self) -> None:
        """All layers have the newest token's keys."""
        self._written += 1

    def keep(self, alive_B: np.ndarray) -> None:
        """Go on with some of the rows; the others' keys are dropped once it is worth it."""
        if alive_B.all() or not alive_B.any():
            return
        rows = len(self._length_U) * self._responses
        live_C = np.zeros(rows, bool)
        live_C[np.arange(rows) if self._live_B is None else self._live_B.cpu().numpy()] = alive_B
        live_UN = live_C.reshape(-1, self._responses)
        prompts = np.flatnonzero(live_UN.any(1))
        responses = int(live_UN.sum(1).max())
        if len(prompts) * responses <= WORTH_MOVING * rows:
            # The live rows of each prompt first; dead ones fill up to the most of any prompt.
            order_UN = np.argsort(~live_UN, axis=1, kind="stable")[prompts, :responses]
            rows_C = (order_UN + prompts[:, None] * self._responses).ravel()
            self._move(prompts, rows_C, responses)
            live_C = live_C[rows_C]
        live = torch.as_tensor(np.flatnonzero(live_C), device=self._length_U.device)
        self._live_B = None if live_C.all() else live

    def _move(self, prompts: np.ndarray, rows: np.ndarray, responses: int) -> None:
        device = self._length_U.device
        prompts_U = torch.as_tensor(prompts, device=device)
        rows_C = torch.as_tensor(rows, device=device)
        self._length_U = self._length_U[prompts_U]
        self._responses = responses
        longest = int(self._length_U.max())
        for layer, kept in self._layers.items():
            self._layers[layer] = kept.kept(prompts_U, longest, rows_C)
        self._padded_UP = self._padding()

    def _padding(self) -> Tensor | None:
        """True where a prompt has no token; None where all are equally long."""
        longest = int(self._length_U.max())
        if int(self._length_U.min()) == longest:
            return None
        return torch.arange(longest, device=self._length_U.device) >= self._length_U[:, None]

    def _allocate(self, key_GXD: Tensor, value_GXD: Tensor, longest: int) -> _Layer:
        heads, prompts = len(key_GXD), len(self._length_U)
        rows = prompts * self._responses
        return _Layer(
            # Zero where padded, as where room is made.
            key_GXD.new_zeros(prompts, heads, longest, key_GXD.shape[-1]),
            value_GXD.new_zeros(prompts, heads, longest, value_GXD.shape[-1]),
            key_GXD.new_zeros(rows, heads, 0, key_GXD.shape[-1]),
            value_GXD.new_zeros(rows, heads, 0, value_GXD.shape[-1]),
        )

    def _write(self, into_CGD: Tensor, newest_BGD: Tensor) -> None:
        if self._live_B is None:
            into_CGD.copy_(newest_BGD)
        else:
            into_CGD.index_copy_(0, self._live_B, newest_BGD)

    def _spread(self, query_BHD: Tensor) -> Tensor:
        """Queries at their rows; those of rows no longer written to are zero."""
        if self._live_B is None:
            return query_BHD
        rows = len(self._length_U) * self._responses
        spread = query_BHD.new_zeros(rows, *query_BHD.shape[1:])
        return spread.index_copy_(0, self._live_B, query_BHD)

    def _prompt_scores(self, query_CGQD: Tensor, key_UGPD: Tensor, how: Scoring) -> Tensor:
        """[C, G, Q, P]; all responses' queries meet one copy of their prompt's keys."""
        heads = query_CGQD.shape[2]
        query_UGND = query_CGQD.unflatten(0, (-1, self._responses)).transpose(1, 2).flatten(2, 3)
        scores_UGNP = _capped(query_UGND @ key_UGPD.transpose(-1, -2), how.cap)
        hidden_UP = self._hidden(how.window)
        if hidden_UP is not None:
            scores_UGNP = scores_UGNP.masked_fill_(hidden_UP[:, None, None], -torch.inf)
        per_row = scores_UGNP.unflatten(2, (self._responses, heads)).transpose(1, 2)
        return per_row.flatten(0, 1)

    def _own_scores(self, query_CGQD: Tensor, key_CGRD: Tensor, how: Scoring) -> Tensor:
        """[C, G, Q, R]: of what was written since the prompt."""
        scores_CGQR = _capped(query_CGQD @ key_CGRD.transpose(-1, -2), how.cap)
        scores_CGQR[..., self._written + 1 :] = -torch.inf
        if how.window is not None:
            scores_CGQR[..., : max(0, self._written + 1 - how.window)] = -torch.inf
        return scores_CGQR

    def _of_prompts(self, probs_CGQP: Tensor, value_UGPD: Tensor) -> Tensor:
        """[C, G, Q, D]: the values of the prompts, weighed."""
        heads = probs_CGQP.shape[2]
        probs_UGNP = probs_CGQP.unflatten(0, (-1, self._responses)).transpose(1, 2).flatten(2, 3)
        found_UGND = probs_UGNP @ value_UGPD
        return found_UGND.unflatten(2, (self._responses, heads)).transpose(1, 2).flatten(0, 1)

    def _hidden(self, window: int | None) -> Tensor | None:
        """[U, P]: where a prompt's keys are not seen, being padding or behind the window."""
        if window is None:
            return self._padded_UP
        longest = int(self._length_U.max())
        at_P = torch.arange(longest, device=self._length_U.device)
        behind_UP = at_P <= self._length_U[:, None] + self._written - window
        return behind_UP if self._padded_UP is None else behind_UP | self._padded_UP


def _capped(scores: Tensor, cap: float | None) -> Tensor:
    return scores if cap is None else cap * torch.tanh(scores / cap)


def _causal(query_HTD: Tensor, key_GTD: Tensor, value_GTD: Tensor, how: Scoring) -> Tensor:
    """A prompt's attention to itself."""
    tokens = query_HTD.shape[1]
    if how.cap is None and (how.window is None or tokens <= how.window):
        return scaled_dot_product_attention(
            query_HTD[None], key_GTD[None], value_GTD[None], is_causal=True, scale=how.scale,
            enable_gqa=query_HTD.shape[0] != key_GTD.shape[0],
        )[0]  # fmt: skip
    query_GQTD = query_HTD.unflatten(0, (key_GTD.shape[0], -1))
    scores = _capped(query_GQTD * how.scale @ key_GTD[:, None].transpose(-1, -2), how.cap)
    seen_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=scores.device).tril()
    if how.window is not None:
        seen_TT = seen_TT.triu(1 - how.window)
    scores = scores.masked_fill(~seen_TT, -torch.inf)
    probs = scores.softmax(-1, dtype=torch.float32).to(value_GTD.dtype)
    return (probs @ value_GTD[:, None]).flatten(0, 1)

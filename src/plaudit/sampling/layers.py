"""What stands between the tokens of sequences in slots and the logits of their next: a model's own
modules, or kernels where they know all that it computes.

Shapes: U prompts, M slots of each, B sequences that go on, T prompt tokens one after another, C
hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.models.forward import language_logits
from plaudit.native.decoder import has_plain_head, is_decodable
from plaudit.sampling.attention import NextTokens, Pass, Prompts, sampling_attention
from plaudit.sampling.kernel_layers import KernelLayers
from plaudit.sampling.keys import Keys


class Layers(Protocol):
    """Keeps what later tokens will ask of earlier ones."""

    def read(self, prompts: Sequence[np.ndarray], slot_UM: np.ndarray) -> Tensor:
        """The last hidden states [U, C] of prompts, each for its slots."""
        ...

    def go_on(self, slot_B: np.ndarray, id_B: np.ndarray) -> Tensor:
        """Those [B, C] of one token more in each slot."""
        ...

    def logits(self, hidden_BC: Tensor) -> Tensor: ...

    def release(self, slots: np.ndarray) -> None:
        """These have ended, and others may take their slots."""
        ...


@contextmanager
def layers_of(model: PreTrainedModel, slots: int) -> Iterator[Layers]:
    """For sequences in at most so many slots; the model's weights stay as they are meanwhile."""
    if is_decodable(model) and has_plain_head(model):
        yield KernelLayers(model, slots)
        return
    with sampling_attention(model):
        yield ModuleLayers(model, slots)


class ModuleLayers:
    """Those of transformers, with attention to pages."""

    def __init__(self, model: PreTrainedModel, slots: int) -> None:
        self._model = model
        self._keys = Keys(slots, model.device)
        self._tokens_S = np.zeros(slots, np.int64)

    def read(self, prompts: Sequence[np.ndarray], slot_UM: np.ndarray) -> Tensor:
        lengths = [len(ids) for ids in prompts]
        self._tokens_S[slot_UM] = np.array(lengths)[:, None]
        self._keys.admit(lengths, slot_UM)
        positions = np.concatenate([np.arange(n) for n in lengths])
        every = Prompts(self._keys)
        hidden_1TC = self._hidden(np.concatenate(prompts)[None], positions[None], every)
        last_U = torch.as_tensor(np.cumsum(lengths) - 1, device=hidden_1TC.device)
        return hidden_1TC[0, last_U]

    def go_on(self, slot_B: np.ndarray, id_B: np.ndarray) -> Tensor:
        self._keys.begin(slot_B)
        position_B = self._tokens_S[slot_B]
        self._tokens_S[slot_B] += 1
        return self._hidden(id_B[:, None], position_B[:, None], NextTokens(self._keys))[:, 0]

    def logits(self, hidden_BC: Tensor) -> Tensor:
        return language_logits(self._model, hidden_BC)

    def release(self, slots: np.ndarray) -> None:
        self._keys.release(slots)

    def _hidden(self, ids_BT: np.ndarray, position_BT: np.ndarray, sampling: Pass) -> Tensor:
        ids, position = (
            torch.as_tensor(x, device=self._model.device).long() for x in (ids_BT, position_BT)
        )
        return self._model.base_model(
            input_ids=ids, position_ids=position, use_cache=False, sampling=sampling
        ).last_hidden_state

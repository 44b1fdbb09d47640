"""The local engine: continuous batching over a Hugging Face model in this process.

Prompts are read without padding, each once for its n responses, which share its keys; a finished
response leaves its slot to a waiting one. In float32 the same seed gives the same text whatever
else is in the batch.

Shapes: U prompts, M slots of each, B active sequences, V vocabulary, C hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.records import Prompt, Rollout
from plaudit.sampling.attention import can_be_packed
from plaudit.sampling.layers import Layers, layers_of
from plaudit.sampling.pace import Pace
from plaudit.sampling.rollouts import Continuation, SamplingParams, Start
from plaudit.sampling.rows import Rows, Waiting, Written, uniforms_of
from plaudit.sampling.stateful import sample_rows
from plaudit.sampling.tokens import choose_tokens
from plaudit.text import Renderer


class LocalSampler:
    """Samples from a model in this process.

    Args:
        model: a causal language model; with weights shared with a learner, ``load`` copies nothing.
        renderer: renders prompts and knows the stop tokens.
        slots: sequences sampled at the same time.
        prefill_tokens: prompt tokens in one forward pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        renderer: Renderer,
        *,
        slots: int = 64,
        prefill_tokens: int = 4096,
    ) -> None:
        self._model = model
        self._renderer = renderer
        self._slots = slots
        self._prefill_tokens = prefill_tokens
        self._version = 0

    def load(self, weights: Mapping[str, Tensor], version: int) -> None:
        """Take up weights; tensors that already are this model's own are left where they are."""
        own = dict(self._model.named_parameters())
        with torch.no_grad():
            for name, tensor in weights.items():
                if own[name].data_ptr() != tensor.data_ptr():
                    own[name].copy_(tensor)
        self._version = version

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[Rollout]:
        """``n`` responses for every prompt, those of one prompt together.

        Raises:
            ValueError: a prompt leaves no room for ``max_tokens`` in the model's context.
        """
        starts = [
            Start(
                name=prompt.id,
                ids=self._renderer.prompt(prompt.content),
                indices=range(n),
                max_tokens=params.max_tokens,
            )
            for prompt in prompts
        ]
        written = iter(self.go_on(starts, params))
        return [
            self._rollout(prompt, start.ids, k, next(written))
            for prompt, start in zip(prompts, starts, strict=True)
            for k in start.indices
        ]

    @torch.inference_mode()
    def go_on(self, starts: Sequence[Start], params: SamplingParams) -> list[Continuation]:
        """A continuation for every index of every start, in order.

        Raises:
            ValueError: a start leaves no room for its ``max_tokens`` in the model's context.
        """
        for start in starts:
            self._check_room(start)
        if not can_be_packed(self._model):
            return self._go_on_in_rows(starts, params)
        size = self._slots
        waiting = [
            Waiting(number, replace(start, indices=start.indices[k : k + size]))
            for number, start in enumerate(starts)
            for k in range(0, len(start.indices), size)
        ]
        longest = max((start.max_tokens for start in starts), default=0)
        with layers_of(self._model, size) as layers:
            run = _Run(
                layers, Rows(size, longest, params.seed), params,
                np.array(self._renderer.stop_ids), prefill_tokens=self._prefill_tokens,
            )  # fmt: skip
            done = run.all(waiting)
        done.sort(key=lambda w: (w.number, w.index))
        return [self._continuation(w.ids, w.logprobs) for w in done]

    def _check_room(self, start: Start) -> None:
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room and len(start.ids) + start.max_tokens > room:
            raise ValueError(
                f"prompt {start.name} has {len(start.ids)} tokens; with "
                f"max_tokens={start.max_tokens} that exceeds the model's context of {room}"
            )

    def _go_on_in_rows(self, starts: Sequence[Start], params: SamplingParams) -> list[Continuation]:
        found = []
        pace = Pace(sum(len(start.indices) for start in starts))
        for start in starts:
            pace.tell(len(found))
            limited = replace(params, max_tokens=start.max_tokens)
            uniforms = np.stack([uniforms_of(params.seed, start, k) for k in start.indices])
            rows = sample_rows(self._model, start.ids, uniforms, limited, self._renderer.stop_ids)
            found += [self._continuation(ids, logprobs) for ids, logprobs in rows]
        return found

    def _continuation(self, ids: ArrayLike, logprobs: ArrayLike) -> Continuation:
        ids = np.array(ids, dtype=np.int32)
        return Continuation(
            ids=ids,
            logprobs=np.array(logprobs, dtype=np.float32),
            finish_reason="stop" if ids[-1] in self._renderer.stop_ids else "length",
            policy_version=self._version,
        )

    def _rollout(
        self, prompt: Prompt, prompt_ids: np.ndarray, index: int, written: Continuation
    ) -> Rollout:
        return Rollout(
            prompt=prompt,
            prompt_ids=prompt_ids,
            ids=written.ids,
            logprobs=written.logprobs,
            text=self._renderer.text(written.ids),
            finish_reason=written.finish_reason,
            policy_version=written.policy_version,
            index=index,
        )


class _Run:
    """One call of ``go_on``: admit, decode, until nothing waits."""

    def __init__(
        self,
        layers: Layers,
        rows: Rows,
        params: SamplingParams,
        stop_ids: np.ndarray,
        *,
        prefill_tokens: int,
    ) -> None:
        self._layers = layers
        self._rows = rows
        self._params = params
        self._stop_ids = stop_ids
        self._slots = rows.free
        self._prefill_tokens = prefill_tokens
        self._done: list[Written] = []

    def all(self, waiting: list[Waiting]) -> list[Written]:
        # Prompts of like length are read together; the order changes no result.
        queue = sorted(waiting, key=lambda w: len(w.start.ids))
        pace = Pace(sum(len(w.start.indices) for w in waiting))
        while queue or len(self._rows.slot_B):
            while group := self._next_admission(queue):
                self._admit(group)
            if len(self._rows.slot_B):
                self._decode()
            pace.tell(len(self._done))
        return self._done

    def _next_admission(self, queue: list[Waiting]) -> list[Waiting]:
        """Take from the queue what fits; wait until a quarter of the slots is free."""
        free = self._rows.free
        if free < self._slots and free < max(1, self._slots // 4):
            return []
        taken: list[Waiting] = []
        tokens = 0
        while queue and len(queue[-1].start.indices) <= free:
            start = queue[-1].start
            tokens += len(start.ids)
            if taken and tokens > self._prefill_tokens:
                break
            if taken and len(start.indices) != len(taken[0].start.indices):
                break
            taken.append(queue.pop())
            free -= len(start.indices)
        return taken

    def _admit(self, group: list[Waiting]) -> None:
        """Read the prompts once, one after another, and draw every first token."""
        slot_UM = self._rows.admit(group)
        hidden_UC = self._layers.read([w.start.ids for w in group], slot_UM)
        self._draw(slot_UM.ravel(), hidden_UC.repeat_interleave(slot_UM.shape[1], 0))

    def _decode(self) -> None:
        """One token for every active sequence."""
        slots = self._rows.slot_B
        self._draw(slots, self._layers.go_on(slots, self._rows.newest(slots)))

    def _draw(self, slots: np.ndarray, hidden_BC: Tensor) -> None:
        logits_BV = self._layers.logits(hidden_BC)
        uniform_B = torch.as_tensor(self._rows.uniforms(slots), device=logits_BV.device)
        drawn = choose_tokens(logits_BV, uniform_B, self._params)
        ids, logprobs = (x.cpu().numpy() for x in drawn)
        ended = self._rows.append(slots, ids, logprobs, self._stop_ids)
        if len(ended):
            self._layers.release(ended)
            self._done += self._rows.take(ended)

"""The local engine: continuous batching over a Hugging Face model in this process.

A prompt is computed once for its n responses; every response has a slot in buffers allocated once;
a finished response leaves its slot to a waiting one. In float32 the same seed gives the same
text whatever else is in the batch.

Shapes: B active sequences, V vocabulary, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from plaudit.models.forward import language_logits, layer_masks, layout_of
from plaudit.records import Prompt, Rollout
from plaudit.sampling.rollouts import Continuation, SamplingParams, Start, sequence_seed
from plaudit.sampling.slots import Slots
from plaudit.sampling.stateful import sample_rows
from plaudit.sampling.tokens import choose_tokens
from plaudit.text import Renderer


@dataclass(slots=True)
class _Sequence:
    """A continuation being written."""

    start: int
    index: int
    uniforms: np.ndarray
    """One for every token it may have."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Continuations of one start that are admitted together."""

    number: int
    """Of the start."""
    start: Start


class LocalSampler:
    """Samples from a model in this process.

    Args:
        model: a causal language model; with weights shared with a learner, ``load`` copies nothing.
        renderer: renders prompts and knows the stop tokens.
        slots: sequences sampled at the same time.
        prefill_tokens: prompt tokens (padding included) in one forward pass.
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
        self._slot_count = slots
        self._prefill_tokens = prefill_tokens
        self._slots: Slots | None = None
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
        if layout_of(self._model) == "rows":
            return self._go_on_in_rows(starts, params)
        run = _Run(self._model, self._ready_slots(starts), params, self._prefill_tokens)
        size = self._slot_count
        waiting = [
            _Waiting(number, replace(start, indices=start.indices[k : k + size]))
            for number, start in enumerate(starts)
            for k in range(0, len(start.indices), size)
        ]
        done = run.all(waiting, frozenset(self._renderer.stop_ids))
        done.sort(key=lambda s: (s.start, s.index))
        return [self._continuation(s.ids, s.logprobs) for s in done]

    def _check_room(self, start: Start) -> None:
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room and len(start.ids) + start.max_tokens > room:
            raise ValueError(
                f"prompt {start.name} has {len(start.ids)} tokens; with "
                f"max_tokens={start.max_tokens} that exceeds the model's context of {room}"
            )

    def _ready_slots(self, starts: Sequence[Start]) -> Slots:
        """The buffers of earlier calls, or larger ones where they are too short."""
        needed = max(len(start.ids) + start.max_tokens for start in starts)
        if self._slots is None or self._slots.length < needed:
            layers = self._model.config.num_hidden_layers
            self._slots = Slots(layers, slots=self._slot_count, length=needed)
        return self._slots

    def _go_on_in_rows(self, starts: Sequence[Start], params: SamplingParams) -> list[Continuation]:
        found = []
        for start in starts:
            limited = replace(params, max_tokens=start.max_tokens)
            uniforms = np.stack([_uniforms(params, start, k) for k in start.indices])
            rows = sample_rows(self._model, start.ids, uniforms, limited, self._renderer.stop_ids)
            found += [self._continuation(ids, logprobs) for ids, logprobs in rows]
        return found

    def _continuation(self, ids: list[int], logprobs: list[float]) -> Continuation:
        return Continuation(
            ids=np.array(ids, dtype=np.int32),
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
    """One call of ``go_on``: admit, decode, retire, until nothing waits."""

    def __init__(
        self, model: PreTrainedModel, slots: Slots, params: SamplingParams, prefill_tokens: int
    ) -> None:
        self._model = model
        self._slots = slots
        self._params = params
        self._prefill_tokens = prefill_tokens
        self._active: list[_Sequence] = []
        self._length: list[int] = []
        """Tokens of each active sequence whose keys are in its slot."""
        self._done: list[_Sequence] = []

    def all(self, waiting: list[_Waiting], stops: frozenset[int]) -> list[_Sequence]:
        # Prompts of like length are computed together; the order changes no result.
        queue = sorted(waiting, key=lambda w: len(w.start.ids))
        while queue or self._active:
            while group := self._next_admission(queue):
                self._admit(group)
                self._retire(stops)
            if self._active:
                self._decode()
                self._retire(stops)
        return self._done

    def _next_admission(self, queue: list[_Waiting]) -> list[_Waiting]:
        """Take from the queue what fits; wait until a quarter of the slots is free."""
        free = self._slots.size - len(self._active)
        if self._active and free < max(1, self._slots.size // 4):
            return []
        taken: list[_Waiting] = []
        while queue and len(queue[-1].start.indices) <= free:
            longest = max(len(w.start.ids) for w in [*taken, queue[-1]])
            if taken and longest * (len(taken) + 1) > self._prefill_tokens:
                break
            taken.append(queue.pop())
            free -= len(taken[-1].start.indices)
        return taken

    def _admit(self, group: list[_Waiting]) -> None:
        """Compute the prompts once, copy them into slots, and draw every first token."""
        lengths = [len(w.start.ids) for w in group]
        ids_BT = torch.zeros(len(group), max(lengths), dtype=torch.long)
        for row, w in enumerate(group):
            ids_BT[row, : len(w.start.ids)] = torch.as_tensor(w.start.ids)
        cache = DynamicCache()
        hidden_BTD = self._model.base_model(
            input_ids=ids_BT.to(self._model.device), past_key_values=cache, use_cache=True
        ).last_hidden_state
        last_BD = hidden_BTD[torch.arange(len(group)), torch.tensor(lengths) - 1]
        fresh = []
        for row, w in enumerate(group):
            start = len(self._active) + len(fresh)
            self._slots.admit(
                cache, row, len(w.start.ids), range(start, start + len(w.start.indices))
            )
            for k in w.start.indices:
                fresh.append(_Sequence(w.number, k, _uniforms(self._params, w.start, k)))
                self._length.append(len(w.start.ids))
        repeats = torch.tensor([len(w.start.indices) for w in group], device=last_BD.device)
        self._active += fresh
        self._draw(fresh, last_BD.repeat_interleave(repeats, 0))

    def _decode(self) -> None:
        """One token for every active sequence."""
        device = self._model.device
        cursor = self._slots.cursor
        cursor.active = len(self._active)
        cursor.position_B = torch.tensor(self._length, device=device)
        at_B11 = cursor.position_B[:, None, None]
        key_L = torch.arange(cursor.length, device=device)
        masks = layer_masks(self._model, lambda window: _causal(at_B11, key_L, window)[:, None])
        newest_B = torch.tensor([s.ids[-1] for s in self._active], device=device)
        hidden_B1D = self._model.base_model(
            input_ids=newest_B[:, None],
            attention_mask=masks,
            position_ids=cursor.position_B[:, None],
            past_key_values=self._slots.cache,
            use_cache=True,
        ).last_hidden_state
        self._length = [length + 1 for length in self._length]
        self._draw(self._active, hidden_B1D[:, 0])

    def _draw(self, sequences: list[_Sequence], hidden_BD: Tensor) -> None:
        logits_BV = language_logits(self._model, hidden_BD)
        uniforms = [s.uniforms[len(s.ids)] for s in sequences]
        # Double precision: rounded to float32 a number just below 1 would become 1.
        uniform_B = torch.tensor(uniforms, dtype=torch.float64)
        token_B, logprob_B = choose_tokens(logits_BV, uniform_B.to(logits_BV.device), self._params)
        tokens, logprobs = token_B.tolist(), logprob_B.tolist()
        for sequence, token, logprob in zip(sequences, tokens, logprobs, strict=True):
            sequence.ids.append(token)
            sequence.logprobs.append(logprob)

    def _retire(self, stops: frozenset[int]) -> None:
        """Take finished sequences out; the last active one moves into each gap."""
        for slot in range(len(self._active) - 1, -1, -1):
            sequence = self._active[slot]
            if sequence.ids[-1] not in stops and len(sequence.ids) < len(sequence.uniforms):
                continue
            self._done.append(sequence)
            last = len(self._active) - 1
            if slot != last:
                self._slots.move(last, slot, self._length[last])
                self._active[slot], self._length[slot] = self._active[last], self._length[last]
            self._active.pop()
            self._length.pop()


def _causal(at_B11: Tensor, key_L: Tensor, window: int | None) -> Tensor:
    """[B, 1, L]: a slot's keys up to its newest token, as far back as the window goes."""
    allowed = key_L <= at_B11
    return allowed if window is None else allowed & (key_L > at_B11 - window)


def _uniforms(params: SamplingParams, start: Start, index: int) -> np.ndarray:
    seed = sequence_seed(params.seed, start.name, index)
    return np.random.default_rng(seed).random(start.max_tokens)

"""Sampling from two policies at once: token by token from their geometric mixture.

It serves as an opponent (Nash-MD), not as an engine: all sequences of a batch are stepped until the
last one stops.

Shapes: B sequences, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from plaudit.models.forward import layout_of
from plaudit.records import FinishReason, Prompt, Rollout
from plaudit.sampling.rollouts import SamplingParams, sequence_seed
from plaudit.sampling.tokens import choose_tokens
from plaudit.text import Renderer


class MixtureSampler:
    """``log p(t) = (1 - share) log a(t) + share log b(t) + constant`` at every token.

    Both models are sampled from as they are at the time: nothing is copied.

    Args:
        first, second: ``a`` and ``b``, causal language models of one vocabulary.
        share: the second's share; 0 samples from the first.
        slots: sequences sampled at the same time.

    Raises:
        ValueError: a model carries a state from token to token, or reckons places along the row,
            which padding would change.
    """

    def __init__(
        self,
        first: PreTrainedModel,
        second: PreTrainedModel,
        renderer: Renderer,
        *,
        share: float,
        slots: int = 64,
    ) -> None:
        if "rows" in (layout_of(first), layout_of(second)):
            raise ValueError(
                "nash_md: models with a state (Mamba, Jamba) or without positions (ALiBi) cannot "
                "be mixed"
            )
        self._models = {first: 1.0 - share, second: share}
        self._renderer = renderer
        self._slots = slots

    @torch.inference_mode()
    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[Rollout]:
        """``n`` responses for every prompt, those of one prompt together.

        A rollout's log-probabilities are the mixture's; its policy version is 0.
        """
        asked = [(p, self._renderer.prompt(p.content), k) for p in prompts for k in range(n)]
        rollouts = []
        for start in range(0, len(asked), self._slots):
            part = asked[start : start + self._slots]
            written = self._continue(part, params)
            rollouts += [self._rollout(*one, *w) for one, w in zip(part, written, strict=True)]
        return rollouts

    def _continue(
        self, asked: Sequence[tuple[Prompt, np.ndarray, int]], params: SamplingParams
    ) -> list[tuple[list[int], list[float]]]:
        uniform_BT = np.stack([_uniforms(params, prompt.id, k) for prompt, _, k in asked])
        ids_BT, mask_BT = self._padded([ids for _, ids, _ in asked])
        caches = {model: DynamicCache() for model in self._models}
        written: list[tuple[list[int], list[float]]] = [([], []) for _ in asked]
        for t in range(params.max_tokens):
            logits_BV = self._mixed(ids_BT, mask_BT, caches)
            uniform_B = torch.as_tensor(uniform_BT[:, t], device=logits_BV.device)
            token_B, logprob_B = choose_tokens(logits_BV, uniform_B, params)
            for (ids, logprobs), token, logprob in zip(
                written, token_B.tolist(), logprob_B.tolist(), strict=True
            ):
                if not ids or ids[-1] not in self._renderer.stop_ids:
                    ids.append(token)
                    logprobs.append(logprob)
            if all(ids[-1] in self._renderer.stop_ids for ids, _ in written):
                break
            ids_BT = token_B[:, None]
            mask_BT = torch.cat([mask_BT, torch.ones_like(ids_BT)], dim=1)
        return written

    def _mixed(
        self, ids_BT: Tensor, mask_BT: Tensor, caches: dict[PreTrainedModel, DynamicCache]
    ) -> Tensor:
        """Logits [B, V] of the next token; the softmax of a weighted sum is the mixture."""
        position_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)[:, -ids_BT.shape[1] :]
        parts = []
        for model, share in self._models.items():
            output = model(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                position_ids=position_BT,
                past_key_values=caches[model],
                use_cache=True,
            )
            parts.append(share * output.logits[:, -1].float())
        return torch.stack(parts).sum(0)

    def _padded(self, prompts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Prompts padded on the left, so that all end together, and a mask of what is theirs."""
        longest = max(len(ids) for ids in prompts)
        device = next(iter(self._models)).device
        ids_BT = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(prompts):
            ids_BT[row, longest - len(ids) :] = torch.as_tensor(ids)
            mask_BT[row, longest - len(ids) :] = 1
        return ids_BT.to(device), mask_BT.to(device)

    def _rollout(
        self,
        prompt: Prompt,
        prompt_ids: np.ndarray,
        index: int,
        ids: list[int],
        logprobs: list[float],
    ) -> Rollout:
        reason: FinishReason = "stop" if ids[-1] in self._renderer.stop_ids else "length"
        ids_T = np.array(ids, dtype=np.int32)
        return Rollout(
            prompt=prompt,
            prompt_ids=prompt_ids,
            ids=ids_T,
            logprobs=np.array(logprobs, dtype=np.float32),
            text=self._renderer.text(ids_T),
            finish_reason=reason,
            policy_version=0,
            index=index,
        )


def _uniforms(params: SamplingParams, prompt_id: str, index: int) -> np.ndarray:
    seed = sequence_seed(params.seed, prompt_id, index)
    return np.random.default_rng(seed).random(params.max_tokens)

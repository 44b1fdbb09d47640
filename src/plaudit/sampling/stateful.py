"""Sampling from models that cannot be packed: state-space and hybrid ones, attention of their own.

What they carry from token to token is theirs to keep, so the n responses of a prompt are n rows of
one batch, stepped through transformers' own generation interface until the last one stops.

Shapes: B rows (responses of one prompt), T tokens so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from plaudit.sampling.rollouts import SamplingParams
from plaudit.sampling.tokens import choose_tokens

_NOT_STEPPED = {"recurrent_gemma", "rwkv", "xlstm"}
"""Families whose state does not come through this interface, or comes through it wrong."""


def sample_rows(
    model: Any,
    prompt_ids: np.ndarray,
    uniforms_BT: np.ndarray,
    params: SamplingParams,
    stop_ids: Sequence[int],
) -> list[tuple[list[int], list[float]]]:
    """Tokens and log-probabilities of each row, cut after the first stop token.

    Raises:
        ValueError: a family whose state cannot be stepped so.
    """
    if model.config.model_type in _NOT_STEPPED:
        raise ValueError(
            f"{model.config.model_type}: models of this family cannot be sampled from, as their "
            "state is not carried from token to token here; take another family"
        )
    rows = len(uniforms_BT)
    ids_BT = torch.as_tensor(prompt_ids, device=model.device).long().repeat(rows, 1)
    state: dict = {"use_cache": True, "attention_mask": torch.ones_like(ids_BT)}
    tokens: list[list[int]] = [[] for _ in range(rows)]
    logprobs: list[list[float]] = [[] for _ in range(rows)]
    for t in range(params.max_tokens):
        inputs = model.prepare_inputs_for_generation(
            ids_BT, is_first_iteration=t == 0, next_sequence_length=1 if t else None, **state
        )
        output = model(**inputs, return_dict=True)
        state = model._update_model_kwargs_for_generation(output, state)
        uniform_B = torch.as_tensor(uniforms_BT[:, t], device=model.device)
        token_B, logprob_B = choose_tokens(output.logits[:, -1], uniform_B, params)
        ids_BT = torch.cat([ids_BT, token_B[:, None]], dim=1)
        for row in range(rows):
            if not tokens[row] or tokens[row][-1] not in stop_ids:
                tokens[row].append(int(token_B[row]))
                logprobs[row].append(float(logprob_B[row]))
        if all(row[-1] in stop_ids for row in tokens):
            break
    return list(zip(tokens, logprobs, strict=True))

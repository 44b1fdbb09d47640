"""Drawing tokens in one call: see ``draw.cpp``.

Shapes: B sequences, V vocabulary.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from plaudit.native.build import library


def is_drawable(logits_BV: Tensor) -> bool:
    plain = logits_BV.dtype == torch.float32 and logits_BV.is_contiguous()
    return plain and logits_BV.device.type == "cpu" and library() is not None


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The first token at which the cumulative probability exceeds ``u``, and its log-probability,
    under ``softmax(logits / temperature)``.

    Raises:
        ValueError: a logit is not a number, or infinite.
    """
    kernels = library()
    assert kernels is not None and is_drawable(logits_BV)
    rows, size = logits_BV.shape
    uniform_B = uniform_B.double().contiguous()
    token_B = torch.empty(rows, dtype=torch.int64)
    logprob_B = torch.empty(rows)
    pointers = (ctypes.c_void_p(x.data_ptr()) for x in (logits_BV, uniform_B, token_B, logprob_B))
    logits, uniforms, tokens, logprobs = pointers
    kernels.draw_tokens(
        logits, uniforms, ctypes.c_int64(rows), ctypes.c_int64(size), ctypes.c_float(temperature),
        tokens, logprobs, torch.get_num_threads(),
    )  # fmt: skip
    if (token_B < 0).any():
        raise ValueError(
            "a model's logits are not numbers: its weights are broken, or it overflowed"
        )
    return token_B, logprob_B

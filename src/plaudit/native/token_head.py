"""Log-probabilities and entropies of tokens from their logits. Kernels: token_head.cpp.

Shapes: N tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.native.calls import address, kernel, threads_for


def head_forward(
    logits_NV: Tensor, target_N: Tensor, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """``z[target] - L``, ``H = L - sum_v p_v z_v`` (zeros where not asked for) and ``L`` [N], with
    ``z = logits / temperature`` and ``L = logsumexp(z)``, in float32."""
    tokens, vocab = logits_NV.shape
    logits_NV, target_N = logits_NV.contiguous(), target_N.contiguous()
    normaliser_N = torch.empty(tokens)
    logprob_N, entropy_N = torch.empty(tokens), torch.zeros(tokens)
    kernel("token_head", logits_NV.dtype, "pppppnnfi")(
        address(logits_NV), address(target_N), address(logprob_N),
        address(entropy_N if with_entropy else None), address(normaliser_N),
        tokens, vocab, 1 / temperature, threads_for(tokens * vocab),
    )  # fmt: skip
    return logprob_N, entropy_N, normaliser_N


def head_backward(
    logits_NV: Tensor,
    target_N: Tensor,
    normaliser_N: Tensor,
    entropy_N: Tensor,
    grads: tuple[Tensor | None, ...],
    temperature: float,
) -> Tensor:
    """What comes back to the logits [N, V] from log-probabilities and entropies, divided by the
    temperature: ``[v = target] - p_v`` and ``-p_v (log p_v + H)``."""
    tokens, vocab = logits_NV.shape
    logits_NV, target_N = logits_NV.contiguous(), target_N.contiguous()
    d_logprob_N, d_entropy_N = (None if g is None else g.contiguous() for g in grads)
    d_logits_NV = torch.empty_like(logits_NV)
    kernel("token_head_back", logits_NV.dtype, "pppppppnnfi")(
        address(logits_NV), address(target_N), address(normaliser_N),
        address(entropy_N), address(d_logprob_N), address(d_entropy_N), address(d_logits_NV),
        tokens, vocab, 1 / temperature, threads_for(tokens * vocab),
    )  # fmt: skip
    return d_logits_NV

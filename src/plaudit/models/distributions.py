"""What is read off the whole distribution of the next token, at every policy token.

Free of sampling noise, where the estimators of ``objectives.kl`` see the drawn token only. In nats
and float32, logits over ``temperature``, a chunk of tokens at a time; under autograd a chunk is
computed again in the backward pass rather than kept.

Shapes: N policy tokens, C of a chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from plaudit.models.forward import language_logits


def policy_kls(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    reference: PreTrainedModel,
    reference_ND: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> Tensor:
    """``KL(model || reference) = sum_v pi_v (log pi_v - log ref_v)``. [N]"""

    def divergence(hidden_CD: Tensor, reference_CD: Tensor) -> Tensor:
        log_CV = _log_probs(model, hidden_CD, temperature)
        log_reference_CV = _log_probs(reference, reference_CD, temperature)
        return (log_CV.exp() * (log_CV - log_reference_CV)).sum(-1)

    return _in_chunks(divergence, hidden_ND, reference_ND, chunk_tokens=chunk_tokens)


def reference_kls(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    reference: PreTrainedModel,
    reference_ND: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> Tensor:
    """``KL(reference || model)``, with a gradient of the model alone. [N]"""

    def divergence(hidden_CD: Tensor, reference_CD: Tensor) -> Tensor:
        with torch.no_grad():
            log_reference_CV = _log_probs(reference, reference_CD, temperature)
        log_ratio_CV = log_reference_CV - _log_probs(model, hidden_CD, temperature)
        return (log_reference_CV.exp() * log_ratio_CV).sum(-1)

    return _in_chunks(divergence, hidden_ND, reference_ND, chunk_tokens=chunk_tokens)


@torch.no_grad()
def log_collisions(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> Tensor:
    """``log sum_v pi(v)^2``: how likely two draws are to agree; without gradient. [N]"""

    def collision(hidden_CD: Tensor) -> Tensor:
        return (2 * _log_probs(model, hidden_CD, temperature)).logsumexp(-1)

    return _in_chunks(collision, hidden_ND, chunk_tokens=chunk_tokens)


def _in_chunks(head: Callable[..., Tensor], *hidden: Tensor, chunk_tokens: int) -> Tensor:
    recompute = torch.is_grad_enabled() and len(hidden[0]) > chunk_tokens
    chunks = []
    for parts in zip(*(tensor.split(chunk_tokens) for tensor in hidden), strict=True):
        if recompute:
            again = checkpoint(head, *parts, use_reentrant=False)
            assert isinstance(again, Tensor)
            chunks.append(again)
        else:
            chunks.append(head(*parts))
    return torch.cat(chunks)


def _log_probs(model: PreTrainedModel, hidden_CD: Tensor, temperature: float) -> Tensor:
    return (language_logits(model, hidden_CD).float() / temperature).log_softmax(-1)

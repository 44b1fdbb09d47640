"""KL(policy || reference) of the next token, over the whole vocabulary, at every policy token.

Free of sampling noise, where the estimators of ``objectives.kl`` see the drawn token only.

Shapes: N policy tokens, D hidden size, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from plaudit.models.forward import language_logits


def exact_kl(
    policy: PreTrainedModel,
    policy_ND: Tensor,
    reference: PreTrainedModel,
    reference_ND: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 2048,
) -> Tensor:
    """``sum_v pi_v (log pi_v - log ref_v)``, [N], in nats and float32, logits over ``temperature``.

    A chunk of tokens at a time, computed again in the backward pass rather than kept.
    """

    def head(policy_CD: Tensor, reference_CD: Tensor) -> Tensor:
        log_CV = (language_logits(policy, policy_CD).float() / temperature).log_softmax(-1)
        reference_CV = language_logits(reference, reference_CD).float() / temperature
        return (log_CV.exp() * (log_CV - reference_CV.log_softmax(-1))).sum(-1)

    chunks = []
    for start in range(0, max(1, len(policy_ND)), chunk_tokens):
        part = slice(start, start + chunk_tokens)
        hidden = policy_ND[part], reference_ND[part]
        if torch.is_grad_enabled() and len(policy_ND) > chunk_tokens:
            kl_C = checkpoint(head, *hidden, use_reentrant=False)
            assert isinstance(kl_C, Tensor)
            chunks.append(kl_C)
        else:
            chunks.append(head(*hidden))
    return torch.cat(chunks)

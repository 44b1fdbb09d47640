"""Log-probabilities and entropies of the tokens the policy wrote, from its logits.

Shapes: N policy tokens, V vocabulary, C tokens of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plaudit.native import token_head as native
from plaudit.native.calls import takes

_BLOCK_ENTRIES = 1 << 20
"""Logits worked on at a time: they stay in a core's cache from one pass over them to the next."""


def logprobs_and_entropy(
    logits_NV: Tensor, target_N: Tensor, *, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    """Of each target under ``softmax(logits / t)``, and that distribution's entropy; in nats.

    ``logprob = z[target] - logsumexp(z)`` and ``H = logsumexp(z) - sum_v p_v z_v`` with
    ``z = logits / t`` in float32, whatever the dtype of the logits. Of size ``[N, V]`` only the
    logits are kept for the backward pass, and only their gradient is made there:
    ``dlogprob/dz_v = [v = target] - p_v`` and ``dH/dz_v = - p_v (log p_v + H)``. On a CPU both
    passes are kernels of our own; where there are none they go block by block.

    Returns:
        logprobs [N] and entropies [N]; zeros for entropies that are not asked for.
    """
    return _Head.apply(logits_NV, target_N, temperature, with_entropy)  # pyright: ignore[reportReturnType]


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, target_N: Tensor, temperature: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        found = native.head_forward if takes(logits_NV) else _forward
        logprob_N, entropy_N, normaliser_N = found(logits_NV, target_N, temperature, with_entropy)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(logits_NV, target_N, normaliser_N, entropy_N)
        return logprob_N, entropy_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        logits_NV, target_N, normaliser_N, entropy_N = ctx.saved_tensors
        found = native.head_backward if takes(logits_NV) else _backward
        d_logits_NV = found(logits_NV, target_N, normaliser_N, entropy_N, grads, ctx.temperature)
        return d_logits_NV, None, None, None


def _forward(
    logits_NV: Tensor, target_N: Tensor, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor, Tensor]:
    normaliser_N = logits_NV.new_empty(len(target_N), dtype=torch.float32)
    logprob_N, entropy_N = torch.empty_like(normaliser_N), torch.zeros_like(normaliser_N)
    for rows in _blocks(logits_NV):
        z_CV = _scaled(logits_NV[rows], temperature)
        normaliser_N[rows] = z_CV.logsumexp(-1)
        logprob_N[rows] = z_CV.gather(-1, target_N[rows, None])[:, 0] - normaliser_N[rows]
        if with_entropy:
            p_CV = (z_CV - normaliser_N[rows, None]).exp_()
            entropy_N[rows] = normaliser_N[rows] - torch.linalg.vecdot(p_CV, z_CV)
    return logprob_N, entropy_N, normaliser_N


def _backward(
    logits_NV: Tensor,
    target_N: Tensor,
    normaliser_N: Tensor,
    entropy_N: Tensor,
    grads: tuple[Tensor | None, ...],
    temperature: float,
) -> Tensor:
    d_logprob_N, d_entropy_N = (None if g is None else g / temperature for g in grads)
    d_logits_NV = torch.empty_like(logits_NV)
    for rows in _blocks(logits_NV):
        z_CV = _scaled(logits_NV[rows], temperature)
        logp_CV = z_CV.sub_(normaliser_N[rows, None])
        slope_CV = torch.zeros((), device=logp_CV.device)
        if d_entropy_N is not None:
            slope_CV = (logp_CV + entropy_N[rows, None]).mul_(d_entropy_N[rows, None])
        if d_logprob_N is not None:
            slope_CV = slope_CV + d_logprob_N[rows, None]
        d_CV = logp_CV.exp_().mul_(slope_CV).neg_()
        if d_logprob_N is not None:
            d_CV.scatter_add_(-1, target_N[rows, None], d_logprob_N[rows, None])
        d_logits_NV[rows] = d_CV
    return d_logits_NV


def _blocks(logits_NV: Tensor) -> Iterator[slice]:
    count, size = logits_NV.shape
    step = max(1, _BLOCK_ENTRIES // size) if logits_NV.device.type == "cpu" else max(1, count)
    return (slice(begin, begin + step) for begin in range(0, count, step))


def _scaled(logits_CV: Tensor, temperature: float) -> Tensor:
    """A float32 copy."""
    z_CV = logits_CV.to(torch.float32, copy=True)
    return z_CV if temperature == 1.0 else z_CV.div_(temperature)

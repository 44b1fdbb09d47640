"""Choosing the next token.

Shapes: B sequences, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.sampling.rollouts import SamplingParams


def choose_tokens(
    logits_BV: Tensor, uniform_B: Tensor, params: SamplingParams
) -> tuple[Tensor, Tensor]:
    """Draw a token for every sequence from its own uniform number in [0, 1).

    By inversion: the first token at which the cumulative probability exceeds ``u``, so a draw
    depends on the sequence's logits and number alone.

    Returns:
        tokens [B], and their log-probabilities [B] under the policy at the sampling temperature,
        before any filter (at temperature 0, under the policy as it is).
    """
    logprobs_BV = (logits_BV.float() / (params.temperature or 1.0)).log_softmax(-1)
    if params.temperature == 0:
        token_B = logprobs_BV.argmax(-1)
    else:
        kept_BV = filter_logprobs(logprobs_BV, params) if params.filtered else logprobs_BV
        # Double precision, or a sum over a large vocabulary may end short of u.
        cumulative_BV = kept_BV.double().exp().cumsum(-1)
        threshold_B = uniform_B.double() * cumulative_BV[:, -1]
        token_B = torch.searchsorted(cumulative_BV, threshold_B[:, None], right=True)[:, 0]
        token_B = token_B.clamp(max=logits_BV.shape[-1] - 1)
    return token_B, logprobs_BV.gather(-1, token_B[:, None])[:, 0]


def filter_logprobs(logprobs_BV: Tensor, params: SamplingParams) -> Tensor:
    """Set the tokens that top-k, top-p or min-p exclude to minus infinity.

    Each filter judges the unfiltered distribution, and a token must pass all; the likeliest token
    always passes. Top-p keeps the token that crosses the threshold (Holtzman et al. 2020); min-p
    keeps ``p >= min_p * max(p)`` (Nguyen et al. 2024).
    """
    ordered_BV, order_BV = logprobs_BV.sort(dim=-1, descending=True, stable=True)
    keep_BV = torch.ones_like(ordered_BV, dtype=torch.bool)
    if params.top_k:
        keep_BV[:, params.top_k :] = False
    if params.top_p < 1:
        probs_BV = ordered_BV.exp()
        keep_BV &= probs_BV.cumsum(-1) - probs_BV < params.top_p
    if params.min_p:
        least = torch.tensor(params.min_p, device=ordered_BV.device).log()
        keep_BV &= ordered_BV >= ordered_BV[:, :1] + least
    keep_BV[:, 0] = True
    excluded_BV = torch.zeros_like(keep_BV).scatter(-1, order_BV, ~keep_BV)
    return logprobs_BV.masked_fill(excluded_BV, -torch.inf)

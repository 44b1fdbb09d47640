"""Choosing the next token.

Shapes: B sequences, V vocabulary, K blocks of W tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from plaudit.native.draw import BROKEN, draw, is_drawable
from plaudit.sampling.rollouts import SamplingParams

BLOCK_TOKENS = 64
"""Probabilities are summed this many at a time before any running sum."""


def choose_tokens(
    logits_BV: Tensor, uniform_B: Tensor, params: SamplingParams
) -> tuple[Tensor, Tensor]:
    """Draw a token for every sequence from its own uniform number in [0, 1).

    By inversion: the first token at which the cumulative probability exceeds ``u``, so a draw
    depends on the sequence's logits and number alone.

    Returns:
        tokens [B], and their log-probabilities [B] under the policy at the sampling temperature,
        before any filter (at temperature 0, under the policy as it is).

    Raises:
        ValueError: a logit is not a number, or infinite.
    """
    logits_BV = logits_BV.float()
    if params.temperature and not params.filtered and is_drawable(logits_BV):
        return draw(logits_BV, uniform_B, params.temperature)
    if params.temperature not in (0, 1):
        logits_BV = logits_BV / params.temperature
    probs_BV = logits_BV.softmax(-1)
    # One logit that is no number makes all of its row so.
    if probs_BV[:, 0].isnan().any():
        raise ValueError(BROKEN)
    if params.temperature == 0:
        token_B = logits_BV.argmax(-1)
    elif params.filtered:
        token_B = _invert(filter_logprobs(probs_BV.log(), params).exp(), uniform_B)
    else:
        token_B = _invert(probs_BV, uniform_B)
    return token_B, probs_BV.gather(-1, token_B[:, None])[:, 0].log()


def _invert(probs_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """The first token at which the cumulative sum exceeds ``u`` times the whole sum.

    Summed in blocks, then within the block that it falls into; in double precision, or a sum over
    a large vocabulary may end short of u.
    """
    probs_BV = pad(probs_BV, (0, -probs_BV.shape[-1] % BLOCK_TOKENS))
    blocks_BKW = probs_BV.unflatten(-1, (-1, BLOCK_TOKENS))
    ends_BK = blocks_BKW.sum(-1, dtype=torch.double).cumsum(-1)
    mass_B = uniform_B.double() * ends_BK[:, -1]
    block_B = _first_above(ends_BK, mass_B)
    row_B = torch.arange(len(block_B), device=block_B.device)
    mass_B = mass_B - torch.where(block_B > 0, ends_BK[row_B, block_B - 1], 0.0)
    within_BW = blocks_BKW[row_B, block_B].double().cumsum(-1)
    return block_B * BLOCK_TOKENS + _first_above(within_BW, mass_B)


def _first_above(cumulative_BK: Tensor, mass_B: Tensor) -> Tensor:
    """Never one past the last of positive mass, whatever rounding did."""
    below_B = torch.minimum(mass_B, cumulative_BK[:, -1] * (1 - 2**-52))
    return torch.searchsorted(cumulative_BK, below_B[:, None], right=True)[:, 0]


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

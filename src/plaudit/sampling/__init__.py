"""Sampling: prompts in, rollouts out, behind one protocol whatever engine does the work."""

from plaudit.sampling.local import LocalSampler
from plaudit.sampling.rollouts import Continuation, Sampler, SamplingParams, Start, TokenSampler
from plaudit.sampling.tokens import choose_tokens, filter_logprobs

__all__ = [
    "Continuation",
    "LocalSampler",
    "Sampler",
    "SamplingParams",
    "Start",
    "TokenSampler",
    "choose_tokens",
    "filter_logprobs",
]

"""Sampling: prompts in, rollouts out, behind one protocol whatever engine does the work."""

from plaudit.sampling.local import LocalSampler
from plaudit.sampling.rollouts import Sampler, SamplingParams
from plaudit.sampling.tokens import choose_tokens, filter_logprobs

__all__ = [
    "LocalSampler",
    "Sampler",
    "SamplingParams",
    "choose_tokens",
    "filter_logprobs",
]

"""Sampling: prompts in, rollouts out, behind one protocol whatever engine does the work."""

from plaudit.sampling.asking import AskingOptions, answer, prompts_to_ask, shared_renderer
from plaudit.sampling.local import LocalSampler
from plaudit.sampling.mixture import MixtureSampler
from plaudit.sampling.rollouts import Continuation, Sampler, SamplingParams, Start, TokenSampler
from plaudit.sampling.tokens import choose_tokens, filter_logprobs

__all__ = [
    "AskingOptions",
    "Continuation",
    "LocalSampler",
    "MixtureSampler",
    "Sampler",
    "SamplingParams",
    "Start",
    "TokenSampler",
    "answer",
    "choose_tokens",
    "filter_logprobs",
    "prompts_to_ask",
    "shared_renderer",
]

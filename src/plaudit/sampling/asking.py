"""A data set's prompts put to a model: which are asked, and how it answers them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydantic import Field

from plaudit.config import Config
from plaudit.formats import WHOLE, Portion, load_prompts
from plaudit.models import load_language_model, model_path, stop_ids
from plaudit.models.devices import Device
from plaudit.models.loading import Precision
from plaudit.records import Prompt, Rollout
from plaudit.sampling.local import LocalSampler
from plaudit.sampling.rollouts import Sampler, SamplingParams
from plaudit.text import Renderer, load_tokenizer, prompts_within

log = logging.getLogger(__name__)


class AskingOptions(Config):
    """What is asked, and how answers are sampled."""

    dataset: str
    """Prompts: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to ask, as a part of [0, 1]; to measure, none that a model learned from."""
    max_prompts: int = Field(default=0, ge=0)
    """Ask this many of the prompts, evenly spread; 0 asks all."""
    max_prompt_length: int = Field(default=512, ge=1)
    """Tokens of a prompt; longer prompts are left out and counted."""
    num_generations: int = Field(default=2, ge=1)
    """Answers to each prompt."""
    max_completion_length: int = Field(default=256, ge=1)
    """Tokens of an answer."""
    temperature: float = Field(default=1.0, ge=0)
    """Divides the logits; 0 takes the likeliest token."""
    sampling_slots: int = Field(default=64, ge=1)
    """Answers sampled at the same time."""
    micro_batch_tokens: int = Field(default=8192, ge=1)
    """Tokens (padding included) in one forward pass."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, or cuda:N."""
    precision: Precision = "float32"
    """What the models are loaded and computed in."""
    seed: int = 0
    """Of sampling and of the intervals' resampling."""


def shared_renderer(first: str, others: Mapping[str, str]) -> Renderer:
    """The renderer of the first model, whose tokenizer the others must share.

    Args:
        others: models by the option that names them.

    Raises:
        ValueError: one has another tokenizer.
    """
    tokenizer = load_tokenizer(model_path(first))
    for name, model in others.items():
        if load_tokenizer(model_path(model)).get_vocab() != tokenizer.get_vocab():
            raise ValueError(f"{name}: its tokenizer is not that of {first}")
    return Renderer(tokenizer, stop_ids(first, tokenizer))


def prompts_to_ask(options: AskingOptions, renderer: Renderer) -> tuple[list[Prompt], int]:
    """The prompts to ask, and how many there are in the portion.

    Raises:
        ValueError: there are none, or none is short enough.
    """
    loaded = load_prompts(options.dataset, portion=options.portion)
    short = prompts_within(loaded, renderer, options.max_prompt_length)
    size = min(options.max_prompts or len(short), len(short))
    chosen = np.linspace(0, len(short) - 1, size).round().astype(int)
    return [short[i] for i in chosen], len(loaded)


def answer(
    options: AskingOptions,
    model: str,
    renderer: Renderer,
    prompts: Sequence[Prompt],
    *,
    around: Callable[[LocalSampler], Sampler] | None = None,
) -> list[Rollout]:
    """The model's answers, ``num_generations`` to each prompt, those of one prompt together.

    Args:
        around: puts the engine into an environment; where not said, it answers in one turn.
    """
    log.info("%s answers %d prompts", model, len(prompts))
    loaded = load_language_model(model, precision=options.precision, device=options.device)
    engine = LocalSampler(loaded, renderer, slots=options.sampling_slots)
    sampler = engine if around is None else around(engine)
    params = SamplingParams(
        max_tokens=options.max_completion_length,
        temperature=options.temperature,
        seed=options.seed,
    )
    return sampler.sample(prompts, options.num_generations, params)

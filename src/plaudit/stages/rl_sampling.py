"""What a reinforcement-learning run samples with: the local engine, or conversations around it."""

from __future__ import annotations

from transformers import PreTrainedModel

from plaudit.environments import with_environment
from plaudit.sampling import LocalSampler, Sampler
from plaudit.stages.rl_options import RLConfig
from plaudit.text import Renderer


def open_sampler(config: RLConfig, model: PreTrainedModel, renderer: Renderer) -> Sampler:
    """Samples from a role's model.

    Raises:
        ValueError: a tool of the environment cannot be opened, or the chat template takes none.
    """
    engine = LocalSampler(model, renderer, slots=config.sampling_slots)
    return with_environment(config.environment, engine, renderer)

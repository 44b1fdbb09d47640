"""What a reinforcement-learning run samples with: the local engine, or conversations around it."""

from __future__ import annotations

from plaudit.environments import with_environment
from plaudit.models import Roles
from plaudit.sampling import LocalSampler, Sampler
from plaudit.stages.rl_options import RLConfig
from plaudit.text import Renderer


def open_sampler(config: RLConfig, roles: Roles, renderer: Renderer) -> Sampler:
    """Samples from the role ``policy``.

    Raises:
        ValueError: a tool of the environment cannot be opened, or the chat template takes none.
    """
    engine = LocalSampler(roles.model("policy"), renderer, slots=config.sampling_slots)
    return with_environment(config.environment, engine, renderer)

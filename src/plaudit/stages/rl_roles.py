"""The models of a reinforcement-learning run: policy, reference and critic."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from plaudit.artifacts import Artifact, hash_input, read_artifact
from plaudit.models import AdapterRoles, Roles, SeparateRoles, load_language_model, model_path
from plaudit.models import load_scalar_model as load_scalar
from plaudit.models.loading import scalar_head, standardise_head
from plaudit.scoring import read_reference
from plaudit.stages.rl_options import RLConfig

log = logging.getLogger(__name__)


def open_roles(config: RLConfig) -> Roles:
    """Policy, reference and, where the algorithm has one, critic.

    With adapters they share one backbone; the critic begins as the reward model's adapter and head
    where that is an adapter on this very backbone, else as a new one.
    """
    said = config.model_dump(include={"precision", "device", "trust_remote_code"})
    policy = load_language_model(config.model, **said)
    if config.lora_r:
        return _adapter_roles(config, policy)
    models = {"policy": policy, "reference": load_language_model(config.model, **said)}
    if config.critic is not None:
        source = _critic_source(config)
        models["critic"] = load_scalar(source, seed=config.seed, **said)
        _scale_as_reward(config, source, scalar_head(models["critic"]))
    return SeparateRoles(models, trained=config.learning_rates)


def _adapter_roles(config: RLConfig, base) -> AdapterRoles:
    roles = AdapterRoles(
        base,
        config.learning_rates,
        r=config.lora_r,
        alpha=config.lora_alpha,
        seed=config.seed,
    )
    if config.critic is not None:
        source = read_artifact(Path(_critic_source(config)))
        if source is not None and _is_adapter_on(config.model, source):
            roles.load_adapter("critic", source.path / "adapter" / "reward")
            _scale_as_reward(config, _critic_source(config), roles.head("critic"))
        else:
            log.info("the critic begins as a new adapter: there is no reward adapter on this model")
    return roles


def _scale_as_reward(config: RLConfig, source: str, head: nn.Linear) -> None:
    """A critic that begins from a reward model whose scores are standardised says the same."""
    for reward in config.sources.values():
        if reward.reward_model == source and reward.normalisation == "reference":
            said = read_reference(Path(model_path(source)), needed=True).heads.values()
            [(mean, std)] = [(one.mean, one.std) for one in said]
            standardise_head(head, mean=mean, std=std)
            return


def _is_adapter_on(model: str, reward: Artifact) -> bool:
    path = Path(model)
    same = path.exists() and reward.record["inputs"].get("model") == hash_input(path)
    return same and (reward.path / "adapter").is_dir()


def _critic_source(config: RLConfig) -> str:
    assert config.critic is not None
    source = config.critic.model or config.first_reward_model
    assert source is not None, "the config's validator asks for one"
    return source

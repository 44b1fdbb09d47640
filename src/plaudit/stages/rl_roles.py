"""The models of a reinforcement-learning run: policy, reference and critic."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from plaudit.artifacts import Artifact, hash_input, read_artifact
from plaudit.models import AdapterRoles, Roles, SeparateRoles, load_language_model, model_path
from plaudit.models import load_scalar_model as load_scalar
from plaudit.models.loading import scalar_head, standardise_head
from plaudit.scoring import read_reference
from plaudit.stages.rl_options import RLConfig
from plaudit.text import load_tokenizer

log = logging.getLogger(__name__)


def open_roles(config: RLConfig) -> Roles:
    """Policy, reference and, where the algorithm has one, critic.

    With adapters they share one backbone; the critic begins as the reward model's adapter and head
    where that is an adapter on this very backbone, else as a new one.

    Raises:
        ValueError: a model cannot be loaded, or the critic's would read other tokens.
    """
    said = config.model_dump(include={"precision", "device", "trust_remote_code"})
    policy = load_language_model(config.model, **said)
    if config.lora_r:
        return _adapter_roles(config, policy)
    models = {"policy": policy, "reference": load_language_model(config.model, **said)}
    if config.critic is not None:
        source = _critic_source(config)
        _check_tokens(config, source)
        models["critic"] = load_scalar(source, seed=config.seed, **said)
        _speak_as_reward(config, source, scalar_head(models["critic"]))
    return SeparateRoles(models, trained=config.learning_rates)


def reward_on_backbone(config: RLConfig, roles: Roles) -> dict[str, Roles]:
    """The roles, with the first reward model among them, where that is an adapter on the very
    backbone they share; by the reward model's name. It then needs no weights of its own."""
    name = config.first_reward_model
    source = read_artifact(Path(name)) if name else None
    if source is None or not isinstance(roles, AdapterRoles):
        return {}
    if not is_adapter_on(config.model, source):
        return {}
    assert name is not None
    roles.add_frozen("reward", source.path / "adapter" / "reward")
    return {name: roles}


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
        if source is not None and is_adapter_on(config.model, source):
            roles.load_adapter("critic", source.path / "adapter" / "reward")
            _speak_as_reward(config, _critic_source(config), roles.head("critic"))
        else:
            log.info("the critic begins as a new adapter: there is no reward adapter on this model")
    return roles


def _speak_as_reward(config: RLConfig, source: str, head: nn.Linear) -> None:
    """A critic that begins from a source's reward model says what that source adds to the reward.

    What other sources add is nothing that it could know: it learns that in its first steps.
    """
    names = [name for name, reward in config.sources.items() if reward.reward_model == source]
    if not names:
        return
    if config.sources[names[0]].normalisation == "reference":
        said = read_reference(Path(model_path(source)), needed=True).heads.values()
        [(mean, std)] = [(one.mean, one.std) for one in said]
        standardise_head(head, mean=mean, std=std)
    share = _share(config, names[0])
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(share)


def _share(config: RLConfig, name: str) -> float:
    """How much the reward grows, as a run begins, with a source's normalised score.

    Where that is no constant (gdpo and gated standardise over a group or a step, an ensemble takes
    its worst member) the critic begins with the score itself.
    """
    combine, weight = config.combine, config.sources[name].weight
    if combine.method == "sum":
        return weight
    if combine.method == "constrained":
        lam = combine.multiplier
        of_cost = -lam if name in combine.limits else 1.0
        return weight * of_cost / (1.0 + lam * len(combine.limits))
    return 1.0


def is_adapter_on(model: str, reward: Artifact) -> bool:
    """Whether a reward model is an adapter that was learned on this very model."""
    path = Path(model)
    same = path.exists() and reward.record["inputs"].get("model") == hash_input(path)
    return same and (reward.path / "adapter").is_dir()


def _check_tokens(config: RLConfig, source: str) -> None:
    """Raise unless the critic's model was made for the policy's tokens, which are what it reads."""
    policy, critic = (
        load_tokenizer(model_path(name), trust_remote_code=config.trust_remote_code).get_vocab()
        for name in (config.model, source)
    )
    if policy != critic:
        raise ValueError(
            f"critic.model: {source} has another tokenizer than the policy, whose tokens a critic "
            f"reads; begin from a model with the policy's, such as {config.model}"
        )


def _critic_source(config: RLConfig) -> str:
    assert config.critic is not None
    source = config.critic.model or config.first_reward_model
    assert source is not None, "the config's validator asks for one"
    return source

"""Who may judge: no reward that a policy was trained on, however many stages ago."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from plaudit.artifacts import Artifact, read_artifact
from plaudit.models import model_path
from plaudit.provenance import hash_file


def refuse_optimised_judge(
    judge: str, policies: Mapping[str, str], rewards: Mapping[str, str | None]
) -> None:
    """A policy measured with the reward it was trained on always looks better.

    The rewards of a policy are those of the stages that made it, the models it began from, and the
    data it learned from.

    Args:
        policies: models or artifacts by name.
        rewards: reward models that are known to have been optimised, by what they are called.

    Raises:
        ValueError: the judge is one of the rewards, or that of a policy.
    """
    found = [(whose, reward) for whose, reward in rewards.items() if reward]
    for name, policy in policies.items():
        found += ((f"the reward of {name}", reward) for reward in _rewards_behind(policy))
    weights = _weights(judge)
    for whose, reward in found:
        if Path(reward).exists() and _weights(reward) == weights:
            raise ValueError(
                f"judge: {judge} is also {whose}, which was optimised; judge with a reward "
                "model trained on other judgments"
            )


def _rewards_behind(source: str) -> Iterator[str]:
    """The reward models of the stage that made a model or file, and of those before it."""
    artifact = _artifact_of(source)
    if artifact is None:
        return
    config = artifact.record["config"]
    parts = (config.get("rewards") or {}).values()
    for said in (config, *parts):
        if said.get("reward_model"):
            yield said["reward_model"]
    for option in ("model", "dataset"):
        if config.get(option):
            yield from _rewards_behind(config[option])


def _artifact_of(source: str) -> Artifact | None:
    """The artifact that a model or a file belongs to, where there is one."""
    place = Path(source)
    if not place.exists():
        return None
    return next((a for path in (place, place.parent) if (a := read_artifact(path))), None)


def _weights(model: str) -> list[str]:
    """The hashes of a model's weights, by which it is known under any name."""
    return [hash_file(file) for file in sorted(Path(model_path(model)).rglob("*.safetensors"))]

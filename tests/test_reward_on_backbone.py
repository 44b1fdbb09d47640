"""A reward model that is an adapter on the policy's own backbone needs no weights of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plaudit.config import make_config
from plaudit.formats import load_prompts
from plaudit.models import AdapterRoles
from plaudit.records import Rollout, Score
from plaudit.sampling import SamplingParams
from plaudit.scoring import RewardSources
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_rewards import open_sources
from plaudit.stages.rl_roles import open_roles, reward_on_backbone
from plaudit.stages.rl_sampling import open_sampler
from plaudit.stages.setup import open_text
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reward")
    base = str(small_checkpoint(place / "base"))
    pairs = write_rows(place / "pairs.jsonl", polite_pairs(16))
    options = {"model": base, "dataset": pairs, "learning_rate": 1e-2, "batch_size": 8}
    run_stage("reward", place / "adapter", lora_r=2, **options)
    run_stage("reward", place / "whole", **options)
    return place


def config_of(place: Path, reward: str = "adapter", **options) -> RLConfig:
    said = {
        "model": str(place / "base"), "dataset": str(place / "pairs.jsonl"), "algorithm": "grpo",
        "reward_model": str(place / reward), "max_steps": 1, "batch_size": 2,
        "num_generations": 4, "max_completion_length": 6, "lora_r": 3,
    }  # fmt: skip
    return make_config(RLConfig, said | options, "rl")


def scored(sources: RewardSources, rollouts: list[Rollout]) -> list[Score]:
    scores = sources.scorers["reward_model"].score(rollouts)
    return [score for score in scores if isinstance(score, Score)]


@pytest.mark.parametrize("normalisation", ["none", "reference"])
def test_it_scores_as_the_model_of_its_own(place: Path, normalisation: str):
    config = config_of(place, reward_normalisation=normalisation)
    _, renderer = open_text(config, longest_tokens=config.longest_tokens)
    roles = open_roles(config)
    adapted = reward_on_backbone(config, roles)
    sampler = open_sampler(config, roles.model("policy"), renderer)
    prompts = load_prompts(config.dataset)[:3]
    rollouts = sampler.sample(prompts, 4, SamplingParams(max_tokens=6))
    found, expected = (
        [score.value for score in scored(sources, rollouts)]
        for sources in (
            open_sources(config.sources, renderer, config.loading, adapted),
            open_sources(config.sources, renderer, config.loading),
        )
    )
    assert len(expected) == 12 and np.std(expected) > 0
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_is_not_learned_and_changes_no_other_role(place: Path):
    config = config_of(place)
    roles = open_roles(config)
    before = {name: p.detach().clone() for name, p in roles.parameters("policy").items()}
    assert reward_on_backbone(config, roles) == {config.reward_model: roles}
    assert roles.trained == ("policy",)
    assert not any(p.requires_grad for p in roles.parameters("reward").values())
    assert all(p.requires_grad for p in roles.parameters("policy").values())
    assert all((before[name] == p).all() for name, p in roles.parameters("policy").items())


def test_others_keep_weights_of_their_own(place: Path):
    for config in (config_of(place, "whole"), config_of(place, lora_r=0)):
        assert reward_on_backbone(config, open_roles(config)) == {}


def test_a_run_with_four_roles_on_one_backbone(place: Path):
    config = {
        "algorithm": "ppo", "reward_model": str(place / "adapter"), "lora_r": 2,
        "model": str(place / "base"), "dataset": str(place / "pairs.jsonl"), "max_steps": 2,
        "batch_size": 4, "max_completion_length": 6,
    }  # fmt: skip
    artifact = run_stage("rl", place / "ppo", **config)
    lines = (artifact.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert isinstance(open_roles(make_config(RLConfig, config, "rl")), AdapterRoles)

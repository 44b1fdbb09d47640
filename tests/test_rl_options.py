"""What the rl stage takes from a row, and what it refuses, with the reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from plaudit.config import make_config
from plaudit.objectives import ALGORITHMS
from plaudit.objectives.surrogates import CappedWeight, Clip, SequenceClip
from plaudit.stages.rl_coefficients import Coefficients
from plaudit.stages.rl_options import RLConfig
from plaudit.stages.rl_updates import correction_of, objective_of

GIVEN = {"model": "m", "dataset": "d", "reward_model": "r", "max_steps": 100}


def config_of(algorithm: str, **options: Any) -> RLConfig:
    return make_config(RLConfig, {**GIVEN, "algorithm": algorithm, **options}, "rl")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_left_alone_a_run_is_its_row(name: str):
    config = config_of(name)
    assert config.row.surrogate == Clip(epsilon=0.2, epsilon_high=0.2) or (
        config.row.surrogate == ALGORITHMS[name].surrogate
    )
    for part in ("advantage", "scale_rewards", "kl", "kl_estimator", "aggregation", "beta"):
        assert getattr(config.row, part) == getattr(ALGORITHMS[name], part)
    assert (config.critic is not None) == ALGORITHMS[name].has_critic
    assert make_config(RLConfig, config.model_dump(mode="json"), "again") == config


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ppo", {"epsilon": 0.2, "epsilon_high": 0.2, "beta": 0.05, "kl_in": "token_reward"}),
        ("dapo", {"epsilon": 0.2, "epsilon_high": 0.28, "beta": 0.0, "dynamic_sampling": True}),
        ("dapo", {"overlong_buffer_tokens": 51, "max_sampling_rounds": 10}),
        ("gspo", {"epsilon": 3e-4, "epsilon_high": 4e-4, "aggregation": "sequence"}),
        ("cispo", {"epsilon": None, "epsilon_high": 4.0, "aggregation": "token"}),
        ("sapo", {"sapo_temperature_pos": 1.0, "sapo_temperature_neg": 1.05, "epsilon": None}),
        ("gmpo", {"epsilon": 0.4, "epsilon_high": None}),
        ("lite_ppo", {"scale_rewards": "batch", "aggregation": "token"}),
        ("reinforce_plus_plus_baseline", {"kl_estimator": "k2", "scale_rewards": "tokens"}),
        ("vapo", {"positive_nll_coefficient": 0.1, "epsilon_high": 0.28}),
        ("a_star_po", {"regression_beta": 1e-3}),
    ],
)
def test_the_authors_settings_are_the_defaults(name: str, settings: dict[str, Any]):
    config = config_of(name)
    assert {option: getattr(config, option) for option in settings} == settings


def test_what_is_given_goes_before_the_row():
    config = config_of("dapo", epsilon_high=0.3, max_completion_length=1000, beta=0.1)
    assert config.row.surrogate == Clip(epsilon=0.2, epsilon_high=0.3)
    assert config.overlong_buffer_tokens == 200 and config.row.beta == 0.1
    assert config_of("grpo", epsilon=0.1).row.surrogate == Clip(epsilon=0.1, epsilon_high=0.1)
    assert config_of("gspo", delta=3).row.surrogate == SequenceClip(delta=3)
    assert config_of("cispo", epsilon_high=1).row.surrogate == CappedWeight(epsilon_high=1)
    critic = config_of("vapo", critic={"value_lam": 0.9}).critic
    assert critic is not None and (critic.value_lam, critic.warmup_steps) == (0.9, 50)
    assert config_of("dapo", dynamic_sampling=False).max_sampling_rounds is None


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("grpo", None, "none"),
        ("grpo", "group", "none"),
        ("grpo", "batch", "batch"),
        ("grpo", "tokens", "tokens"),
        ("lite_ppo", "group", "none"),
        ("lite_ppo", None, "batch"),
    ],
)
def test_gdpo_takes_the_place_of_a_groups_deviation_alone(
    name: str, said: str | None, expected: str
):
    rewards = {"a": {"rule": "length"}, "b": {"rule": "repetition"}}
    config = config_of(
        name, reward_model=None, rewards=rewards, combine={"method": "gdpo"}, scale_rewards=said
    )
    assert config.row.scale_rewards == expected


def test_corrections_have_the_published_bounds():
    found = {
        kind: correction_of(config_of("grpo", correction={"kind": kind}))
        for kind in ("decoupled", "truncate", "mask")
    }
    bounds = {kind: (said.cap, said.floor) for kind, said in found.items() if said is not None}
    assert bounds == {"decoupled": (math.inf, 0.0), "truncate": (2.0, 0.0), "mask": (2.0, 0.5)}
    assert correction_of(config_of("grpo")) is None


def test_a_kl_moved_takes_the_estimator_of_its_place():
    assert config_of("ppo", kl_in="loss").row.kl_estimator == "k3"
    assert config_of("grpo", kl_in="sequence_reward").row.kl_estimator == "k1"
    assert config_of("reinforce_plus_plus_baseline").row.kl_estimator == "k2"


REFUSED = {
    "k1 in the loss": ("grpo", {"kl_estimator": "k1"}, "k1 in the loss: as a loss its gradient is"),
    "bare k3": ("grpo", {"kl_estimator": "k3_bare"}, "the other direction"),
    "k3 in the reward": (
        "ppo",
        {"kl_estimator": "k3"},
        "k3 in the reward: its own gradient is",
    ),
    "k2 in the reward": ("rloo", {"kl_estimator": "k2"}, "k2 in the reward: a biased estimate"),
    "all in the reward": ("ppo", {"kl_estimator": "full"}, "no advantage sees it"),
    "epsilon of cispo": ("cispo", {"epsilon": 0.2}, "epsilon: cispo does not read it"),
    "taus of grpo": ("grpo", {"sapo_temperature_pos": 2}, "sapo_temperature_pos: grpo does not"),
    "a low delta": ("grpo", {"delta": 1.1}, "delta: must be above 1 + epsilon_high"),
    "reinforce twice": ("reinforce", {"num_ppo_epochs": 2}, "no importance ratio; one update"),
    "remax in parts": ("remax", {"num_mini_batches": 2}, "no importance ratio; one update"),
    "a scaled critic": ("ppo", {"scale_rewards": "batch"}, "say critic.whiten_advantages"),
    "a group of rloo": ("rloo", {"scale_rewards": "group"}, "needs the group's mean as baseline"),
    "only a warm-up": ("vapo", {"max_steps": 50}, "critic.warmup_steps: leaves the policy none"),
    "a critic for gspo": ("gspo", {"critic": {}}, "critic: gspo has none"),
    "lone answers": ("dapo", {"num_generations": 1}, "dapo needs at least 2"),
    "dynamic ppo": ("ppo", {"dynamic_sampling": True}, "learns from equal rewards too"),
    "rounds": ("grpo", {"max_sampling_rounds": 2}, "only with dynamic_sampling"),
    "a value": ("grpo", {"optimal_value": {}}, "grpo asks nothing of the reference"),
    "a shared reference": ("a_star_po", {"lora_r": 2}, "samples the reference, which adapters"),
    "a second KL": ("a_star_po", {"beta": 0.1}, "has its KL in regression_beta"),
    "a corrected regression": ("a_star_po", {"correction": {}}, "needs none"),
    "a cap on decoupled PPO": (
        "grpo",
        {"correction": {"kind": "decoupled", "cap": 2}},
        "weighs by the ratio itself",
    ),
    "a floor of TIS": ("grpo", {"correction": {"floor": 0.5}}, "floor: truncate has none"),
    "a floor above": (
        "grpo",
        {"correction": {"kind": "mask", "floor": 3}},
        "floor: must be below cap",
    ),
    "a frozen reference": ("grpo", {"ref_model_sync_steps": 9, "lora_r": 2}, "is frozen"),
    "a share of nothing": ("grpo", {"ref_model_mixup_alpha": 0.6}, "only with ref_model_sync"),
    "a long buffer": ("dapo", {"overlong_buffer_tokens": 300}, "more than max_completion_length"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_go_together_is_refused_with_the_reason(fault: str):
    name, options, reason = REFUSED[fault]
    with pytest.raises(ValueError, match=reason.replace("+", r"\+")):
        config_of(name, **options)


def test_coefficients_follow_their_targets_and_come_back_from_a_checkpoint():
    config = config_of(
        "grpo", beta=0.1, adaptive_kl={"target": 2.0, "horizon": 100},
        adaptive_entropy={"target": 0.5, "step_size": 0.01},
    )  # fmt: skip
    first = Coefficients.resume(config, {})
    assert (first.kl_in_loss, first.entropy_bonus, first.shaping().kl_coefficient) == (0.1, 0, 0)
    moved = first.adapted({"kl": 4.0, "entropy": 0.4}, episodes=50)
    assert moved.kl == pytest.approx(0.1 * (1 + 0.2 * 0.5))
    assert moved.entropy == moved.entropy_bonus == 0.01
    high = moved.adapted({"kl": 2.0, "entropy": 0.6}, episodes=50)
    assert (high.entropy, high.entropy_bonus) == (0.0, 0.0)
    assert Coefficients.resume(config, moved.as_dict()) == moved
    warming_up = moved.adapted({"kl": 2.0}, episodes=50)
    assert warming_up.entropy == moved.entropy
    objective = objective_of(config, moved, step=0)
    assert (objective.kl_coefficient, objective.entropy_coefficient) == (moved.kl, 0.01)


def test_a_bonus_without_a_target_is_constant():
    coefficients = Coefficients.resume(config_of("grpo", entropy_coefficient=0.02), {})
    assert coefficients.adapted({"kl": 1.0, "entropy": 9.0}, episodes=1).entropy_bonus == 0.02

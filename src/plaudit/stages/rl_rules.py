"""Which options of the rl stage go together, and what a row leaves unset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from plaudit.objectives import ALGORITHMS, Algorithm
from plaudit.objectives.surrogates import AdvantageRegression, LogProbability

if TYPE_CHECKING:
    from plaudit.stages.rl_options import RLConfig

SURROGATE_OPTIONS = (
    "epsilon",
    "epsilon_high",
    "delta",
    "sapo_temperature_pos",
    "sapo_temperature_neg",
    "regression_beta",
)
SAMPLING_ROUNDS = 10
WRONG_KL = {
    ("loss", "k1"): "as a loss its gradient is 0 on average; take k2, k3 or full",
    ("reward", "k2"): "a biased estimate of the KL; take k1",
    ("reward", "k3"): "its own gradient is lost there, which is 0 on average for k1 alone; take k1",
    ("reward", "full"): "the same whichever token is drawn, so no advantage sees it; take k1",
}
BARE_K3 = (
    "without the importance ratio its gradient is that of KL(reference || policy), the other "
    "direction; k3 is weighted by the ratio"
)


def with_row_settings(values: dict[str, Any]) -> dict[str, Any]:
    """The options as given, those left unset taken from the algorithm's row."""
    row = ALGORITHMS.get(str(values.get("algorithm", "grpo")))
    if row is None:
        return values
    given = {name: value for name, value in values.items() if value is not None}
    found = _table_settings(row, given) | _surrogate_settings(row, given) | given
    if row.has_critic and isinstance(critic := given.get("critic", {}), dict):
        found["critic"] = {**row.critic, **{k: v for k, v in critic.items() if v is not None}}
    if row.advantage == "optimal_value":
        found.setdefault("optimal_value", {})
    return values | found


def faults(config: RLConfig) -> Mapping[str, bool]:
    """Each fault and whether the config has it."""
    return _reward_faults(config) | _row_faults(config) | _kl_faults(config) | _off_policy(config)


def _table_settings(row: Algorithm, given: Mapping[str, Any]) -> dict[str, Any]:
    place = given.get("kl_in", row.kl)
    moved = (place == "loss") == row.kl_in_reward
    estimator = ("k3" if place == "loss" else "k1") if moved else row.kl_estimator
    found: dict[str, Any] = {
        "beta": row.beta,
        "kl_in": place,
        "kl_estimator": estimator,
        "aggregation": row.aggregation,
        "dynamic_sampling": row.dynamic_sampling,
        "positive_nll_coefficient": row.positive_nll_coefficient,
    }
    if not row.has_critic:
        found["scale_rewards"] = row.scale_rewards
    if given.get("dynamic_sampling", row.dynamic_sampling) is True:
        found["max_sampling_rounds"] = SAMPLING_ROUNDS
    tokens = given.get("max_completion_length", 256)
    if row.overlong_share is not None and isinstance(tokens, int):
        found["overlong_buffer_tokens"] = round(row.overlong_share * tokens)
    return found


def _surrogate_settings(row: Algorithm, given: Mapping[str, Any]) -> dict[str, Any]:
    settings = asdict(row.surrogate)  # pyright: ignore[reportArgumentType]
    if settings.get("epsilon_high", 0.0) is None:
        settings["epsilon_high"] = given.get("epsilon", settings["epsilon"])
    return {name: value for name, value in settings.items() if value is not None}


def _reward_faults(config: RLConfig) -> dict[str, bool]:
    rewards = [config.reward_model, config.reward_function, config.rewards or None]
    per_source = config.reward_normalisation != "none" or config.reward_clip is not None
    return {
        "reward_model or reward_function: exactly one must be given, or several as rewards": (
            sum(given is not None for given in rewards) != 1
        ),
        "reward_normalisation, reward_clip: say normalisation and clip of each of rewards": (
            bool(config.rewards) and per_source
        ),
        **config.combine.faults(config.rewards),
        f"rewards: {config.algorithm} has one advantage a response; at_steps needs a critic": (
            config.critic is None and any(source.at_steps for source in config.rewards.values())
        ),
        "combine.method: gdpo needs num_generations of at least 2": (
            config.combine.method == "gdpo" and config.num_generations < 2
        ),
        f"combine.method: gdpo compares a prompt's responses; {config.algorithm} samples others": (
            config.combine.method == "gdpo" and config.row.advantage in ("greedy", "optimal_value")
        ),
        "reward_normalisation: a reward_function has no reference; use running": (
            config.reward_normalisation == "reference" and config.reward_function is not None
        ),
        "critic.model: needed, since only a reward_model can become a critic": (
            config.critic is not None and not (config.critic.model or config.first_reward_model)
        ),
        "overlong_buffer_tokens: more than max_completion_length": (
            (config.overlong_buffer_tokens or 0) > config.max_completion_length
        ),
    }


def _row_faults(config: RLConfig) -> dict[str, bool]:
    name, row = config.algorithm, config.row
    read = {field.name for field in fields(row.surrogate)}  # pyright: ignore[reportArgumentType]
    given = [option for option in SURROGATE_OPTIONS if getattr(config, option) is not None]
    unread = [option for option in given if option not in read]
    high = (config.epsilon_high or 0.0) if config.delta is not None else 0.0
    return {
        f"{', '.join(unread)}: {name} does not read it": bool(unread),
        "delta: must be above 1 + epsilon_high, where PPO's own bound ends": (
            config.delta is not None and config.delta <= 1.0 + high
        ),
        f"critic: {name} has none": config.critic is not None and not row.has_critic,
        "critic.warmup_steps: leaves the policy none of max_steps to learn in": (
            config.critic is not None and config.critic.warmup_steps >= config.max_steps
        ),
        f"num_generations: {name} needs at least 2 responses of a prompt": (
            row.compares_responses and config.num_generations < 2
        ),
        f"scale_rewards: {name} has a critic; say critic.whiten_advantages": (
            row.has_critic and config.scale_rewards is not None
        ),
        f"scale_rewards: group needs the group's mean as baseline, which {name} has not": (
            row.scale_rewards == "group" and row.advantage != "group_mean"
        ),
        f"dynamic_sampling: {name} learns from equal rewards too": (
            bool(config.dynamic_sampling) and not row.compares_responses
        ),
        "max_sampling_rounds: only with dynamic_sampling": (
            config.max_sampling_rounds is not None and not config.dynamic_sampling
        ),
        f"optimal_value: {name} asks nothing of the reference": (
            config.optimal_value is not None and row.advantage != "optimal_value"
        ),
        f"lora_r: {name} samples the reference, which adapters share with the policy": (
            row.advantage == "optimal_value" and config.lora_r > 0
        ),
        f"num_mini_batches: at most batch_size ({config.batch_size}) parts have prompts": (
            config.num_mini_batches > config.batch_size
        ),
    }


def _kl_faults(config: RLConfig) -> dict[str, bool]:
    row = config.row
    place = "loss" if row.kl == "loss" else "reward"
    wrong = WRONG_KL.get((place, row.kl_estimator))
    alone = isinstance(row.surrogate, AdvantageRegression)
    return {
        f"kl_estimator: {row.kl_estimator} in the {place}: {wrong}": wrong is not None,
        "adaptive_kl: needs a beta above 0 to begin from": (
            config.adaptive_kl is not None and row.beta == 0
        ),
        f"beta: {config.algorithm} has its KL in regression_beta": alone and row.beta > 0,
        "ref_model_sync_steps: with lora_r the reference is the backbone, which is frozen": (
            config.ref_model_sync_steps is not None and config.lora_r > 0
        ),
        "ref_model_mixup_alpha: only with ref_model_sync_steps": (
            config.ref_model_mixup_alpha is not None and config.ref_model_sync_steps is None
        ),
    }


def _off_policy(config: RLConfig) -> dict[str, bool]:
    name, row = config.algorithm, config.row
    unweighted = isinstance(row.surrogate, AdvantageRegression)
    return {
        f"num_ppo_epochs, num_mini_batches: {name} has no importance ratio; one update a step": (
            isinstance(row.surrogate, LogProbability) and config.updates_per_step > 1
        ),
        f"correction: {name} regresses on samples of any policy and needs none": (
            config.correction is not None and unweighted
        ),
        f"off_policy_mask_threshold: {name} has no ratio to mask by": (
            config.off_policy_mask_threshold is not None and unweighted
        ),
    }

"""Losses and estimators: pure functions of tensors, and the objectives a learner minimises.

Per-token and per-pair losses come back unreduced. How they are averaged is a separate choice
(``aggregation``), made once for the whole update and carried as weights in the labels.
"""

from plaudit.objectives.advantages import (
    deviation,
    gae,
    group_advantages,
    group_mean_advantages,
    leave_one_out_advantages,
    length_adaptive_lambda,
    optimal_value,
    rewards_to_go,
    whiten,
)
from plaudit.objectives.aggregation import Aggregation, sequence_weights
from plaudit.objectives.algorithms import ALGORITHMS, Algorithm
from plaudit.objectives.corrections import importance_weights
from plaudit.objectives.entropy import active_entropy_coefficient, adapt_entropy_coefficient
from plaudit.objectives.filters import overlong_penalty, teaches
from plaudit.objectives.kl import adapt_kl_coefficient, k1, k2, k3
from plaudit.objectives.language import LanguageModelling
from plaudit.objectives.metrics import Mean, mean_of, weighted_mean_of
from plaudit.objectives.multi_reward import (
    adapt_multiplier,
    decoupled_advantages,
    decoupled_sum,
    gated,
    lagrangian,
    mean_minus_variance,
    min_max,
    preference_as_reward,
    weighted_sum,
    worst_of,
)
from plaudit.objectives.online import ExploratoryPreference, NashMirrorDescent
from plaudit.objectives.policy import PolicyOptimisation
from plaudit.objectives.preference import (
    DirectPreference,
    PreferenceOptimisation,
    PreferenceTerm,
)
from plaudit.objectives.preference_pairs import dpo_loss
from plaudit.objectives.preference_table import PREFERENCE_LOSSES, PreferenceLoss
from plaudit.objectives.reward import RewardModelling
from plaudit.objectives.reward_losses import bradley_terry_loss, pointwise_loss
from plaudit.objectives.reward_process import StepModelling
from plaudit.objectives.surrogates import Clip, clipped_surrogate, clipped_value_loss

__all__ = [
    "ALGORITHMS",
    "PREFERENCE_LOSSES",
    "Aggregation",
    "Algorithm",
    "Clip",
    "DirectPreference",
    "ExploratoryPreference",
    "LanguageModelling",
    "Mean",
    "NashMirrorDescent",
    "PolicyOptimisation",
    "PreferenceLoss",
    "PreferenceOptimisation",
    "PreferenceTerm",
    "RewardModelling",
    "StepModelling",
    "active_entropy_coefficient",
    "adapt_entropy_coefficient",
    "adapt_kl_coefficient",
    "adapt_multiplier",
    "bradley_terry_loss",
    "clipped_surrogate",
    "clipped_value_loss",
    "decoupled_advantages",
    "decoupled_sum",
    "deviation",
    "dpo_loss",
    "gae",
    "gated",
    "group_advantages",
    "group_mean_advantages",
    "importance_weights",
    "k1",
    "k2",
    "k3",
    "lagrangian",
    "leave_one_out_advantages",
    "length_adaptive_lambda",
    "mean_minus_variance",
    "mean_of",
    "min_max",
    "optimal_value",
    "overlong_penalty",
    "pointwise_loss",
    "preference_as_reward",
    "rewards_to_go",
    "sequence_weights",
    "teaches",
    "weighted_mean_of",
    "weighted_sum",
    "whiten",
    "worst_of",
]

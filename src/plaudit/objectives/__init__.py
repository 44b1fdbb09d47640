"""Losses and estimators: pure functions of tensors, and the objectives a learner minimises.

Per-token and per-pair losses come back unreduced. How they are averaged is a separate choice
(``aggregation``), made once for the whole update and carried as weights in the labels.
"""

from plaudit.objectives.advantages import (
    gae,
    group_advantages,
    group_mean_advantages,
    leave_one_out_advantages,
    whiten,
)
from plaudit.objectives.aggregation import Aggregation, sequence_weights
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
from plaudit.objectives.policy import ALGORITHMS, Algorithm, PolicyOptimisation
from plaudit.objectives.preference import DirectPreference, dpo_loss
from plaudit.objectives.reward import RewardModelling, bradley_terry_loss, pointwise_loss
from plaudit.objectives.surrogates import clipped_surrogate, clipped_value_loss

__all__ = [
    "ALGORITHMS",
    "Aggregation",
    "Algorithm",
    "DirectPreference",
    "LanguageModelling",
    "Mean",
    "PolicyOptimisation",
    "RewardModelling",
    "adapt_kl_coefficient",
    "adapt_multiplier",
    "bradley_terry_loss",
    "clipped_surrogate",
    "clipped_value_loss",
    "decoupled_advantages",
    "decoupled_sum",
    "dpo_loss",
    "gae",
    "gated",
    "group_advantages",
    "group_mean_advantages",
    "k1",
    "k2",
    "k3",
    "lagrangian",
    "leave_one_out_advantages",
    "mean_minus_variance",
    "mean_of",
    "min_max",
    "pointwise_loss",
    "preference_as_reward",
    "sequence_weights",
    "weighted_mean_of",
    "weighted_sum",
    "whiten",
    "worst_of",
]

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
from plaudit.objectives.online import ExploratoryPreference, NashMirrorDescent
from plaudit.objectives.policy import ALGORITHMS, Algorithm, PolicyOptimisation
from plaudit.objectives.preference import (
    DirectPreference,
    PreferenceOptimisation,
    PreferenceTerm,
)
from plaudit.objectives.preference_pairs import dpo_loss
from plaudit.objectives.preference_table import PREFERENCE_LOSSES, PreferenceLoss
from plaudit.objectives.reward import RewardModelling, bradley_terry_loss, pointwise_loss
from plaudit.objectives.surrogates import clipped_surrogate, clipped_value_loss

__all__ = [
    "ALGORITHMS",
    "PREFERENCE_LOSSES",
    "Aggregation",
    "Algorithm",
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
    "adapt_kl_coefficient",
    "bradley_terry_loss",
    "clipped_surrogate",
    "clipped_value_loss",
    "dpo_loss",
    "gae",
    "group_advantages",
    "group_mean_advantages",
    "k1",
    "k2",
    "k3",
    "leave_one_out_advantages",
    "mean_of",
    "pointwise_loss",
    "sequence_weights",
    "weighted_mean_of",
    "whiten",
]

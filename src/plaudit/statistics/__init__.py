"""Estimates and their doubt: intervals, win rates, ranking and calibration. Pure functions."""

from plaudit.statistics.calibration import brier, expected_calibration_error
from plaudit.statistics.dawid_skene import DawidSkene, OneCoin, dawid_skene, one_coin
from plaudit.statistics.floors import (
    fit_bigram_bradley_terry,
    fit_bigram_classifier,
    longer_wins,
    majority_rate,
)
from plaudit.statistics.glad import Glad, glad
from plaudit.statistics.intervals import Interval, cluster_bootstrap, wilson
from plaudit.statistics.mace import Mace, mace
from plaudit.statistics.majority import Majority, majority
from plaudit.statistics.pareto import non_dominated
from plaudit.statistics.ranking import auc, pair_accuracy
from plaudit.statistics.votes import UNKNOWN, Votes, expected_accuracy, most_likely, votes
from plaudit.statistics.win_rate import (
    length_controlled_win_rate,
    sample_size,
    win_rate,
    win_scores,
)

__all__ = [
    "UNKNOWN",
    "DawidSkene",
    "Glad",
    "Interval",
    "Mace",
    "Majority",
    "OneCoin",
    "Votes",
    "auc",
    "brier",
    "cluster_bootstrap",
    "dawid_skene",
    "expected_accuracy",
    "expected_calibration_error",
    "fit_bigram_bradley_terry",
    "fit_bigram_classifier",
    "glad",
    "length_controlled_win_rate",
    "longer_wins",
    "mace",
    "majority",
    "majority_rate",
    "most_likely",
    "non_dominated",
    "one_coin",
    "pair_accuracy",
    "sample_size",
    "votes",
    "wilson",
    "win_rate",
    "win_scores",
]

"""Estimates and their doubt: intervals, win rates, ranking and calibration. Pure functions."""

from plaudit.statistics.calibration import brier, expected_calibration_error
from plaudit.statistics.floors import (
    fit_bigram_bradley_terry,
    fit_bigram_classifier,
    longer_wins,
    majority_rate,
)
from plaudit.statistics.intervals import Interval, cluster_bootstrap, wilson
from plaudit.statistics.pareto import non_dominated
from plaudit.statistics.ranking import auc, pair_accuracy
from plaudit.statistics.win_rate import (
    length_controlled_win_rate,
    sample_size,
    win_rate,
    win_scores,
)

__all__ = [
    "Interval",
    "auc",
    "brier",
    "cluster_bootstrap",
    "expected_calibration_error",
    "fit_bigram_bradley_terry",
    "fit_bigram_classifier",
    "length_controlled_win_rate",
    "longer_wins",
    "majority_rate",
    "non_dominated",
    "pair_accuracy",
    "sample_size",
    "wilson",
    "win_rate",
    "win_scores",
]

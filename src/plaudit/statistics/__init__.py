"""Estimates and their doubt, and what votes say of items and of raters. Pure functions."""

from plaudit.statistics.adaptive import Cost, expected_cost, needs_votes
from plaudit.statistics.agreement import (
    gwet_ac1,
    krippendorff_alpha,
    krippendorff_alpha_interval,
    leave_one_out,
    percent_agreement,
    split_half,
)
from plaudit.statistics.bradley_terry import (
    Leaderboard,
    bradley_terry,
    bradley_terry_bootstrap,
    elo_scale,
    rank_by_intervals,
    style_differences,
)
from plaudit.statistics.calibration import brier, expected_calibration_error
from plaudit.statistics.comparisons import Comparisons, comparisons
from plaudit.statistics.dawid_skene import (
    DawidSkene,
    OneCoin,
    dawid_skene,
    one_coin,
    weighted_majority,
)
from plaudit.statistics.elo import elo, thurstone
from plaudit.statistics.floors import (
    fit_bigram_bradley_terry,
    fit_bigram_classifier,
    longer_wins,
    majority_rate,
)
from plaudit.statistics.glad import Glad, glad
from plaudit.statistics.habits import PairVotes, gold_below
from plaudit.statistics.intervals import Interval, cluster_bootstrap, wilson
from plaudit.statistics.kappa import cohen_kappa, kappa_matrix
from plaudit.statistics.mace import Mace, mace
from plaudit.statistics.majority import Majority, majority
from plaudit.statistics.pair_model import PairModel, PairVoting, fit_pair_model, pair_voting
from plaudit.statistics.pareto import non_dominated
from plaudit.statistics.patterns import Patterns, patterns, patterns_of
from plaudit.statistics.plackett_luce import order_of, plackett_luce
from plaudit.statistics.ranking import auc, pair_accuracy
from plaudit.statistics.rater_model import (
    CrowdBradleyTerry,
    RaterModel,
    crowd_bradley_terry,
    fit_rater_model,
    laplace_covariance,
)
from plaudit.statistics.rater_signs import RaterSigns, Rules, flag_raters
from plaudit.statistics.selection import Batch, bald, choose_batch
from plaudit.statistics.ties import Tied, davidson, rao_kupper
from plaudit.statistics.votes import UNKNOWN, Votes, expected_accuracy, most_likely, votes
from plaudit.statistics.win_rate import (
    length_controlled_win_rate,
    sample_size,
    win_rate,
    win_scores,
)

__all__ = [
    "UNKNOWN",
    "Batch",
    "Comparisons",
    "Cost",
    "CrowdBradleyTerry",
    "DawidSkene",
    "Glad",
    "Interval",
    "Leaderboard",
    "Mace",
    "Majority",
    "OneCoin",
    "PairModel",
    "PairVotes",
    "PairVoting",
    "Patterns",
    "RaterModel",
    "RaterSigns",
    "Rules",
    "Tied",
    "Votes",
    "auc",
    "bald",
    "bradley_terry",
    "bradley_terry_bootstrap",
    "brier",
    "choose_batch",
    "cluster_bootstrap",
    "cohen_kappa",
    "comparisons",
    "crowd_bradley_terry",
    "davidson",
    "dawid_skene",
    "elo",
    "elo_scale",
    "expected_accuracy",
    "expected_calibration_error",
    "expected_cost",
    "fit_bigram_bradley_terry",
    "fit_bigram_classifier",
    "fit_pair_model",
    "fit_rater_model",
    "flag_raters",
    "glad",
    "gold_below",
    "gwet_ac1",
    "kappa_matrix",
    "krippendorff_alpha",
    "krippendorff_alpha_interval",
    "laplace_covariance",
    "leave_one_out",
    "length_controlled_win_rate",
    "longer_wins",
    "mace",
    "majority",
    "majority_rate",
    "most_likely",
    "needs_votes",
    "non_dominated",
    "one_coin",
    "order_of",
    "pair_accuracy",
    "pair_voting",
    "patterns",
    "patterns_of",
    "percent_agreement",
    "plackett_luce",
    "rank_by_intervals",
    "rao_kupper",
    "sample_size",
    "split_half",
    "style_differences",
    "thurstone",
    "votes",
    "weighted_majority",
    "wilson",
    "win_rate",
    "win_scores",
]

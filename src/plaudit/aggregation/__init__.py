"""From judgments to what models learn from: consensus, raters, targets, exchange of formats."""

from plaudit.aggregation.consensus import (
    LabelConsensus,
    Method,
    PairConsensus,
    label_consensus,
    pair_consensus,
)
from plaudit.aggregation.imported import Imported, imported
from plaudit.aggregation.raters import RaterCard, rater_cards
from plaudit.aggregation.targets import Target, Weighting, targets
from plaudit.aggregation.votes import (
    ADJUDICATED,
    Ballot,
    Unit,
    counted,
    label_ballot,
    labels_given,
    pair_ballot,
    settled,
    step_ballot,
)

__all__ = [
    "ADJUDICATED",
    "Ballot",
    "Imported",
    "LabelConsensus",
    "Method",
    "PairConsensus",
    "RaterCard",
    "Target",
    "Unit",
    "Weighting",
    "counted",
    "imported",
    "label_ballot",
    "label_consensus",
    "labels_given",
    "pair_ballot",
    "pair_consensus",
    "rater_cards",
    "settled",
    "step_ballot",
    "targets",
]

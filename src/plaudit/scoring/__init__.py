"""Scoring: rollouts in, scores out, whatever gives them."""

from plaudit.scoring.choice import CheckOptions, check_one_scorer, open_check, open_chosen_scorer
from plaudit.scoring.composition import (
    CosineLengthScorer,
    Parts,
    RewardSources,
    SpanScorer,
    after,
    inside,
)
from plaudit.scoring.ensemble import ENSEMBLE_FILE, Combine, Ensemble, read_ensemble
from plaudit.scoring.functions import FunctionScorer
from plaudit.scoring.opening import open_reward_model, valid_values
from plaudit.scoring.process import PROCESS_FILE, Process, ProcessScorer
from plaudit.scoring.protocol import Scorer
from plaudit.scoring.reading import rollout_trees, with_rule
from plaudit.scoring.reference import REFERENCE_FILE, read_reference
from plaudit.scoring.reward_model import RewardModelScorer
from plaudit.scoring.rules import LengthScorer, RepetitionScorer, ToolCallScorer, repetition
from plaudit.scoring.tool_calls import (
    ToolChecks,
    Tools,
    check_response,
    check_turn,
    load_tools,
    read_turn,
)
from plaudit.scoring.verified import VerifierScorer, open_verifier

__all__ = [
    "ENSEMBLE_FILE",
    "PROCESS_FILE",
    "REFERENCE_FILE",
    "CheckOptions",
    "Combine",
    "CosineLengthScorer",
    "Ensemble",
    "FunctionScorer",
    "LengthScorer",
    "Parts",
    "Process",
    "ProcessScorer",
    "RepetitionScorer",
    "RewardModelScorer",
    "RewardSources",
    "Scorer",
    "SpanScorer",
    "ToolCallScorer",
    "ToolChecks",
    "Tools",
    "VerifierScorer",
    "after",
    "check_one_scorer",
    "check_response",
    "check_turn",
    "inside",
    "load_tools",
    "open_check",
    "open_chosen_scorer",
    "open_reward_model",
    "open_verifier",
    "read_ensemble",
    "read_reference",
    "read_turn",
    "repetition",
    "rollout_trees",
    "valid_values",
    "with_rule",
]

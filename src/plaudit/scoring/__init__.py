"""Scoring: rollouts in, scores out, whatever gives them."""

from plaudit.scoring.composition import (
    CosineLengthScorer,
    Parts,
    Sources,
    SpanScorer,
    after,
    inside,
)
from plaudit.scoring.functions import FunctionScorer
from plaudit.scoring.protocol import Scorer
from plaudit.scoring.reward_model import (
    RewardModelScorer,
    open_reward_model,
    reward_reference,
    rollout_trees,
)
from plaudit.scoring.rules import LengthScorer, RepetitionScorer, ToolCallScorer, repetition
from plaudit.scoring.tool_calls import ToolChecks, Tools, check_turn, load_tools

__all__ = [
    "CosineLengthScorer",
    "FunctionScorer",
    "LengthScorer",
    "Parts",
    "RepetitionScorer",
    "RewardModelScorer",
    "Scorer",
    "Sources",
    "SpanScorer",
    "ToolCallScorer",
    "ToolChecks",
    "Tools",
    "after",
    "check_turn",
    "inside",
    "load_tools",
    "open_reward_model",
    "repetition",
    "reward_reference",
    "rollout_trees",
]

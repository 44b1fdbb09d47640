"""Scoring: rollouts in, scores out, whatever gives them."""

from plaudit.scoring.choice import CheckOptions, check_one_scorer, open_chosen_scorer
from plaudit.scoring.functions import FunctionScorer
from plaudit.scoring.protocol import Scorer
from plaudit.scoring.reward_model import RewardModelScorer, open_reward_model, rollout_trees
from plaudit.scoring.tool_calls import ToolChecks, Tools, check_turn, load_tools
from plaudit.scoring.verified import VerifierScorer, open_verifier

__all__ = [
    "CheckOptions",
    "FunctionScorer",
    "RewardModelScorer",
    "Scorer",
    "ToolChecks",
    "Tools",
    "VerifierScorer",
    "check_one_scorer",
    "check_turn",
    "load_tools",
    "open_chosen_scorer",
    "open_reward_model",
    "open_verifier",
    "rollout_trees",
]

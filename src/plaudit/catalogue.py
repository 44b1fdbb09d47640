"""The stages by name: where each is, and what it does in a line.

Imports nothing of them, so that help is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Stage(NamedTuple):
    """A command, and a step that a recipe may have."""

    module: str
    """Has ``CONFIG``, ``inputs(config)`` and ``run(config, output)``."""
    summary: str


CATALOGUE: Mapping[str, Stage] = {
    "pretrain": Stage(
        "plaudit.stages.pretrain", "Make a small language model and its tokenizer from text."
    ),
    "sft": Stage("plaudit.stages.sft", "Imitate demonstrations; loss on the assistant's tokens."),
    "import_judgments": Stage(
        "plaudit.stages.import_judgments", "Enter a data set of judgments into a log."
    ),
    "consensus": Stage(
        "plaudit.stages.consensus", "Make data to learn from of a log of judgments."
    ),
    "reward": Stage("plaudit.stages.reward", "Learn a reward model from preferences and ratings."),
    "process": Stage("plaudit.stages.process", "Learn a process reward model from labelled steps."),
    "step_labels": Stage(
        "plaudit.stages.step_labels", "Label the steps of a policy's own solutions by rollouts."
    ),
    "average": Stage(
        "plaudit.stages.average", "Average the weights of models of one architecture (WARM)."
    ),
    "ensemble": Stage("plaudit.stages.ensemble", "Join several reward models into one."),
    "preference": Stage(
        "plaudit.stages.preference",
        "Optimise a policy on judgments directly (DPO, KTO, SimPO, ...).",
    ),
    "online": Stage(
        "plaudit.stages.online",
        "Optimise a policy on judged pairs of its own (online DPO, XPO).",
    ),
    "rl": Stage(
        "plaudit.stages.rl", "Optimise a policy against a reward (PPO, GRPO, DAPO, RLOO, ...)."
    ),
    "sample": Stage(
        "plaudit.stages.sample", "Write a model's responses, scored and selected (RAFT, ReST, RSO)."
    ),
    "soup": Stage(
        "plaudit.stages.soup", "Mix the weights of policies trained on different rewards."
    ),
    "verify": Stage(
        "plaudit.stages.verify", "Check responses by rule: mathematics, code, formats, calls."
    ),
    "measure": Stage(
        "plaudit.evaluation.measure", "Measure one held-out figure of a model, before and after."
    ),
    "best_of_n": Stage(
        "plaudit.evaluation.best_of_n", "Find what choosing the best of n answers is worth."
    ),
    "evaluate": Stage(
        "plaudit.evaluation.evaluate", "Compare policies on held-out prompts under a judge."
    ),
    "front": Stage("plaudit.evaluation.front", "Draw the Pareto front of a soup."),
    "report": Stage("plaudit.evaluation.report", "Write the report of a run as one HTML page."),
    "arithmetic": Stage(
        "plaudit.stages.arithmetic", "Write sums with solutions in steps, to try things on."
    ),
}

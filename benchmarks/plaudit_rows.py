"""What every task of Plaudit's side picks, and says, of its rows and options."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.workload import Files, Lengths, Work
from plaudit.config import Config
from plaudit.text import Tree

T = TypeVar("T")

LORA_R = 16
SCRATCH = Path(tempfile.gettempdir())
"""Where the batch of a loss that is not finite would be written."""


def said(config: Config) -> dict[str, Any]:
    """Every option but paths, which differ from machine to machine."""
    return config.model_dump(mode="json", exclude={"model", "dataset", "reward_model"})


def picked(work: Work, files: Files, rows: Sequence[T]) -> list[T]:
    """The rows of all steps, in order."""
    assert len(rows) == len(files.lengths()), "a row of the file is a row here, as at the peers'"
    return [rows[row] for row in work.order(len(rows))]


def of_step(work: Work, step: int) -> range:
    """Where the rows of a step stand among those picked."""
    return range(step * work.prompts_per_step, (step + 1) * work.prompts_per_step)


def loss_of(metrics: dict[str, float]) -> float:
    names = ("loss", "pair_loss", "policy_loss")
    return next(metrics[name] for name in names if name in metrics)


def lengths_of(tree: Tree) -> Lengths:
    return Lengths(len(tree.prompt_P), tuple(len(branch.ids) for branch in tree.branches))

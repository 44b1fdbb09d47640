"""arithmetic: sums with solutions in steps, to try process rewards on.

Writes ``problems.jsonl`` (prompt, right solution, answer), ``steps.jsonl`` (the same prompts
with solutions of which some go wrong, every step labelled) and ``texts.jsonl`` (those as plain
text, to pretrain a model on that knows the way and goes wrong at times).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from plaudit.artifacts import Artifact, write_text
from plaudit.config import Config
from plaudit.formats.arithmetic import SEPARATOR, Sum, draw_sums, work_out
from plaudit.stages.options import Count
from plaudit.stages.setup import open_draft


class ArithmeticConfig(Config):
    """Options of ``plaudit arithmetic``."""

    problems: Count = 2000
    """How many different problems."""
    terms: Count = 4
    """Steps of a solution."""
    solutions: Count = 1
    """Labelled solutions of each problem."""
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.15
    """How often a step of them goes wrong."""
    seed: int = 0
    """Of problems and errors."""


CONFIG = ArithmeticConfig


def inputs(config: ArithmeticConfig) -> dict[str, Path]:
    return {}


def run(config: ArithmeticConfig, output: Path) -> Artifact:
    began = time.monotonic()
    problems = draw_sums(config.problems, config.terms, config.seed)
    draft = open_draft("arithmetic", config, {}, output, began)
    stepped = list(_stepped(config, problems))
    write_text(draft.path / "problems.jsonl", _lines(map(_solved, problems)))
    write_text(draft.path / "steps.jsonl", _lines(iter(stepped)))
    write_text(draft.path / "texts.jsonl", _lines(map(_as_text, stepped)))
    right = [all(row["labels"]) for row in stepped]
    return draft.finish({"problems": len(problems), "solutions_right": float(np.mean(right))})


def _solved(problem: Sum) -> dict[str, Any]:
    steps, _ = work_out(problem, np.random.default_rng(0), 0.0)
    answer = str(problem.answer)
    return {"prompt": problem.prompt, "completion": SEPARATOR.join(steps), "answer": answer}


def _stepped(config: ArithmeticConfig, problems: Sequence[Sum]) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng((config.seed, 1))
    for problem in problems:
        for _ in range(config.solutions):
            steps, right = work_out(problem, rng, config.error_rate)
            labels = [number < right for number in range(len(steps))]
            yield {"prompt": problem.prompt, "completions": steps, "labels": labels}


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    prompt = row["prompt"]
    return {"text": prompt + SEPARATOR.join(row["completions"]), "conversation": prompt}


def _lines(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)

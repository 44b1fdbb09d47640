"""measure: one held-out figure of a model, before and after.

Both models answer the same prompts, which neither learned from, and one scorer scores every answer:
a reward model that judges, a reward function, or a verifier. Writes ``summary.json`` and
``samples.jsonl``.

Shapes: N answers of each model, in the same order of prompts.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit

from plaudit.artifacts import Artifact, Draft, read_artifact, write_json, write_text
from plaudit.environments import (
    EnvironmentOptions,
    environment_inputs,
    told_of_tools,
    with_environment,
)
from plaudit.evaluation.comparison import check_conversations
from plaudit.evaluation.dialogue import messages_of, shown_rollout
from plaudit.evaluation.judges import refuse_optimised_judge
from plaudit.formats import local_inputs
from plaudit.records import Invalid, Prompt, Rollout, Score
from plaudit.sampling import AskingOptions, answer, prompts_to_ask, shared_renderer
from plaudit.scoring import CheckOptions, Scorer, check_one_scorer, open_chosen_scorer
from plaudit.statistics import Interval, cluster_bootstrap, win_rate

log = logging.getLogger(__name__)


class MeasureConfig(CheckOptions, AskingOptions):
    """Options of ``plaudit measure``."""

    before: str
    """The model that was begun with, an artifact or a model."""
    after: str
    """The model that came of it."""
    metric: str = Field(min_length=1)
    """What the figure is called, with its unit."""
    judge: str | None = None
    """A reward model that judges; none that either model was trained on."""
    judge_scale: Literal["score", "chance"] = "score"
    """The judge's score as it is, or as the chance of "good" it stands for: 1 / (1 + exp(-score)),
    for a judge that learned from ratings."""
    environment: EnvironmentOptions | None = None
    """Answers of several turns, with tools; the bound on tokens is on all turns together."""
    stages: dict[str, str] = Field(default_factory=dict)
    """The stages of the run by name, artifacts whose seconds are added to this one's own."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> MeasureConfig:
        check_one_scorer(self, self.judge, called="judge")
        if self.judge is None and self.judge_scale == "chance":
            raise ValueError("judge_scale: only a judge has one")
        return self


CONFIG = MeasureConfig


@dataclass(frozen=True, kw_only=True)
class Side:
    """One model's answers and what the scorer said of them."""

    rollouts: Sequence[Rollout]
    scores: Sequence[Score | Invalid]

    @property
    def values_N(self) -> np.ndarray:
        """0 where ``valid_N`` is 0, so that nothing is read there."""
        return np.array([s.value if isinstance(s, Score) else 0.0 for s in self.scores])

    @property
    def valid_N(self) -> np.ndarray:
        return np.array([isinstance(score, Score) for score in self.scores], float)

    @property
    def invalid(self) -> dict[str, int]:
        return dict(Counter(s.reason for s in self.scores if isinstance(s, Invalid)))


def inputs(config: MeasureConfig) -> dict[str, Path]:
    named = local_inputs(
        before=config.before,
        after=config.after,
        judge=config.judge,
        dataset=config.dataset,
        **{f"stages/{name}": stage for name, stage in config.stages.items()},
    )
    return named | environment_inputs(config.environment)


def run(config: MeasureConfig, output: Path) -> Artifact:
    began = time.monotonic()
    if config.judge is not None:
        refuse_optimised_judge(config.judge, {"before": config.before, "after": config.after}, {})
    stages_seconds = _stages_seconds(config)
    renderer = told_of_tools(
        config.environment, shared_renderer(config.before, {"after": config.after})
    )
    prompts, available = prompts_to_ask(config, renderer)
    check_conversations(prompts)
    scorer = open_chosen_scorer(
        config,
        config.judge,
        policy_tokenizer=renderer.tokenizer,
        precision=config.precision,
        token_budget=config.micro_batch_tokens,
        device=config.device,
    )
    draft = Draft.open(
        output,
        stage="measure",
        config=config.model_dump(mode="json"),
        inputs=inputs(config),
        began=began,
    )
    around = partial(with_environment, config.environment, renderer=renderer)
    before, after = (
        _scored(config, scorer, answer(config, model, renderer, prompts, around=around))
        for model in (config.before, config.after)
    )
    found = compare(before, after, seed=config.seed)
    seconds = round(stages_seconds + draft.seconds, 1)
    invalid = {"before": before.invalid, "after": after.invalid}
    summary = {"metric": config.metric, **found, "seconds": seconds, "invalid": invalid}
    write_json(draft.path / "summary.json", summary)
    write_text(draft.path / "samples.jsonl", _samples(prompts, before, after))
    log.info("%s", told(config.metric, found))
    # Seconds differ between equal runs, so they are in no metric.
    metrics = {name: value for name, value in summary.items() if name != "seconds"}
    return draft.finish({"prompts": len(prompts), "available": available, **metrics})


def compare(before: Side, after: Side, *, seed: int) -> dict[str, Interval]:
    """Mean scores and their difference, each ``(low, point, high)`` at 95 %.

    Conversations are resampled whole, for the difference in both models at once, so that it is
    paired. Answers without a score are left out.

    Raises:
        ValueError: a model has too few scored answers for an interval.
    """
    clusters = [rollout.prompt.conversation for rollout in before.rollouts]
    difference = cluster_bootstrap(
        _difference,
        clusters,
        *(before.values_N, before.valid_N, after.values_N, after.valid_N),
        seed=seed,
    )
    return {
        "before": _mean_interval(before, seed=seed),
        "after": _mean_interval(after, seed=seed),
        "difference": difference,
    }


def told(metric: str, found: dict[str, Interval]) -> str:
    """The figures as one plain line."""
    shown = {n: f"{i.point:.4g} ({i.low:.4g} to {i.high:.4g})" for n, i in found.items()}
    return (
        f"{metric}: before {shown['before']}, after {shown['after']}, "
        f"difference {shown['difference']}; intervals at 95 %"
    )


def _scored(config: MeasureConfig, scorer: Scorer, rollouts: Sequence[Rollout]) -> Side:
    scores = scorer.score(rollouts)
    if config.judge_scale == "chance":
        scores = [
            Score(value=float(expit(s.value)), parts=s.parts) if isinstance(s, Score) else s
            for s in scores
        ]
    return Side(rollouts=rollouts, scores=scores)


def _mean_interval(side: Side, *, seed: int) -> Interval:
    scored = side.valid_N > 0
    values_N = side.values_N[scored]
    clusters = [
        r.prompt.conversation for r, kept in zip(side.rollouts, scored, strict=True) if kept
    ]
    if len(values_N) and values_N.min() >= 0 and values_N.max() <= 1:
        return win_rate(values_N, clusters, seed=seed)  # a rate is never certain
    return cluster_bootstrap(_mean, clusters, values_N, np.ones(len(values_N)), seed=seed)


def _mean(draws_N: np.ndarray, values_N: np.ndarray, valid_N: np.ndarray) -> float:
    weight_N = draws_N * valid_N
    return float(weight_N @ values_N / weight_N.sum()) if weight_N.any() else float("nan")


def _difference(
    draws_N: np.ndarray,
    before_N: np.ndarray,
    before_valid_N: np.ndarray,
    after_N: np.ndarray,
    after_valid_N: np.ndarray,
) -> float:
    return _mean(draws_N, after_N, after_valid_N) - _mean(draws_N, before_N, before_valid_N)


def _stages_seconds(config: MeasureConfig) -> float:
    total = 0.0
    for name, stage in config.stages.items():
        artifact = read_artifact(Path(stage))
        if artifact is None:
            raise ValueError(f"stages.{name}: {stage} is no finished artifact")
        total += artifact.seconds
    return total


def _samples(prompts: Sequence[Prompt], before: Side, after: Side) -> str:
    """One line a prompt: its messages, and both models' answers with their scores."""
    n = len(before.rollouts) // len(prompts)
    lines = []
    for i, prompt in enumerate(prompts):
        rows = range(i * n, (i + 1) * n)
        answers = {
            name: [_shown(side.rollouts[j], side.scores[j]) for j in rows]
            for name, side in (("before", before), ("after", after))
        }
        row = {"prompt": prompt.id, "messages": messages_of(prompt), **answers}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def _shown(rollout: Rollout, score: Score | Invalid) -> dict[str, Any]:
    said = {"invalid": score.reason} if isinstance(score, Invalid) else {"score": score.value}
    return {**shown_rollout(rollout), **said}

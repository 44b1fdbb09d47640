"""best_of_n: what choosing among a policy's answers by a reward model is worth.

Samples N answers to each held-out prompt, lets every scorer choose the best of n of them for
n = 1, 2, 4, ... N, and judges the chosen by a verifier, which knows the right answer.
Writes ``best_of_n.json``, ``answers.jsonl`` and ``summary.json``: one answer against the best of N
by the scorer named first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from plaudit.artifacts import Artifact, Draft, write_json, write_text
from plaudit.formats import local_inputs
from plaudit.records import Invalid, Rollout, Score
from plaudit.sampling.asking import AskingOptions, answer, prompts_to_ask, shared_renderer
from plaudit.scoring import Scorer, open_check, open_reward_model, valid_values
from plaudit.statistics import cluster_bootstrap
from plaudit.statistics.best_of_n import best_of_n, best_of_n_kl


class BestOfNConfig(AskingOptions):
    """Options of ``plaudit best_of_n``."""

    model: str
    """The policy that answers, an artifact or a model."""
    scorers: dict[str, str] = Field(min_length=1)
    """Reward models by name; the first is the one the summary is about."""
    verifier: str
    """What judges the chosen answers: a verifier's name (math, ...), or a function of TRL's
    signature, package.module:name."""
    num_generations: int = Field(default=16, ge=2)
    """Answers to each prompt, N."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits."""

    @model_validator(mode="after")
    def _keep_the_verifiers_name(self) -> BestOfNConfig:
        if "verifier" in self.scorers:
            raise ValueError("scorers.verifier: the verifier has that name; choose another")
        return self


CONFIG = BestOfNConfig


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """N answers to each prompt, with the verifier's word and every scorer's."""

    rollouts: list[Rollout]
    value: np.ndarray
    """[prompts, N]."""
    scores: dict[str, np.ndarray]
    """By scorer, [prompts, N]; what could not be scored stands below all else."""
    invalid: dict[str, int]


def inputs(config: BestOfNConfig) -> dict[str, Path]:
    scorers = {f"scorers/{name}": scorer for name, scorer in config.scorers.items()}
    return local_inputs(model=config.model, dataset=config.dataset, **scorers)


def run(config: BestOfNConfig, output: Path) -> Artifact:
    began = time.monotonic()
    draft = Draft.open(
        output,
        stage="best_of_n",
        config=config.model_dump(mode="json"),
        inputs=inputs(config),
        began=began,
    )
    answers = _answer(config)
    found = _measure(config, answers)
    write_json(draft.path / "best_of_n.json", found)
    write_text(draft.path / "answers.jsonl", _lines(config, answers))
    by_first = found["by_scorer"][next(iter(config.scorers))]
    summary = {
        "metric": f"right answers, one of {config.num_generations} chosen by the reward model",
        "before": by_first["1"],
        "after": by_first[str(config.num_generations)],
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json(draft.path / "summary.json", summary)
    return draft.finish({"prompts": len(answers.value), **found})


def _answer(config: BestOfNConfig) -> _Answers:
    check = open_check(config.verifier)
    renderer = shared_renderer(config.model, {})
    prompts, _ = prompts_to_ask(config, renderer)
    rollouts = answer(config, config.model, renderer, prompts)
    value = valid_values(check.score(rollouts))
    scorers: dict[str, Scorer] = {
        name: open_reward_model(
            model,
            policy_tokenizer=renderer.tokenizer,
            precision=config.precision,
            standardised=False,
            token_budget=config.micro_batch_tokens,
            device=config.device,
        )
        for name, model in config.scorers.items()
    }
    scored = {name: scorer.score(rollouts) for name, scorer in scorers.items()}
    shape = (len(prompts), config.num_generations)
    return _Answers(
        rollouts=rollouts,
        value=np.array(value).reshape(shape),
        scores={name: _ranked(scores).reshape(shape) for name, scores in scored.items()},
        invalid={n: sum(isinstance(s, Invalid) for s in scores) for n, scores in scored.items()},
    )


def _ranked(scores: Sequence[Score | Invalid]) -> np.ndarray:
    return np.array([s.value if isinstance(s, Score) else -np.inf for s in scores])


def _measure(config: BestOfNConfig, answers: _Answers) -> dict[str, Any]:
    """Rates with intervals clustered by conversation, and each scorer's gain on the others."""
    counts = [2**k for k in range(config.num_generations.bit_length())]
    counts = sorted({n for n in counts if n < config.num_generations} | {config.num_generations})
    clusters = [r.prompt.conversation for r in answers.rollouts[:: config.num_generations]]
    # Choosing by the verifier itself: at least one of n is right.
    scores = {**answers.scores, "verifier": answers.value}
    best = {
        name: {n: _by_prompt(scores_PN, answers.value, n) for n in counts}
        for name, scores_PN in scores.items()
    }

    def interval(values_P: np.ndarray) -> list[float]:
        return list(cluster_bootstrap(_mean, clusters, values_P, seed=config.seed))

    first, *others = config.scorers
    most = config.num_generations
    return {
        "by_scorer": {
            name: {str(n): interval(values_P) for n, values_P in by_n.items()}
            for name, by_n in best.items()
        },
        "gain_on": {name: interval(best[first][most] - best[name][most]) for name in others},
        "kl_upper_bound": {str(n): best_of_n_kl(n) for n in counts},
        "invalid": answers.invalid,
    }


def _by_prompt(scores_PN: np.ndarray, value_PN: np.ndarray, n: int) -> np.ndarray:
    return np.array([best_of_n(s, v, n) for s, v in zip(scores_PN, value_PN, strict=True)])


def _mean(draws_P: np.ndarray, values_P: np.ndarray) -> float:
    return float(draws_P @ values_P / draws_P.sum())


def _lines(config: BestOfNConfig, answers: _Answers) -> str:
    """One line an answer."""
    flat = {name: scores.reshape(-1) for name, scores in answers.scores.items()}
    rows = (
        {
            "prompt": rollout.prompt.id,
            "text": rollout.text,
            "value": float(value),
            "scores": {n: float(s[i]) if np.isfinite(s[i]) else None for n, s in flat.items()},
        }
        for i, (rollout, value) in enumerate(
            zip(answers.rollouts, answers.value.reshape(-1), strict=True)
        )
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

"""step_labels: labels for the steps of a policy's own solutions, made by finishing them.

A step is good if the answer can still be reached from there (Math-Shepherd, Wang et al. 2023,
arXiv:2312.08935): from every step the policy finishes the solution N times, and a verifier judges
the ends. Writes ``steps.jsonl``, which ``process`` learns from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from plaudit.artifacts import Artifact, write_text
from plaudit.formats import WHOLE, Portion, load_prompts, local_inputs
from plaudit.models import load_language_model
from plaudit.models.devices import Device
from plaudit.models.loading import Precision
from plaudit.records import Prompt, Rollout, Score
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.scoring import Scorer, open_check
from plaudit.stages.options import Count, CountOrNone, ModelOptions, Positive
from plaudit.stages.setup import open_draft, open_text
from plaudit.text import prompts_within


class StepLabelsConfig(ModelOptions):
    """Options of ``plaudit step_labels``."""

    dataset: str
    """Prompts in plain text, with the columns the verifier reads."""
    portion: Portion = WHOLE
    """The conversations to ask, as a part of [0, 1]."""
    verifier: str
    """What judges whole solutions: a verifier's name (math, ...), or a function of TRL's signature,
    package.module:name; above 0.5 is right."""
    labels: Literal["hard", "soft"] = "hard"
    """A step's label: whether any of its completions is right, or how many are."""
    num_solutions: Count = 1
    """Solutions to each prompt."""
    num_generations: Count = 8
    """Completions from each step, N."""
    step_separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands between two steps; a line break where not said."""
    max_prompts: CountOrNone = 0
    """Ask the first so many of the prompts; 0 asks all."""
    max_prompt_length: Count = 512
    """Tokens of a prompt; longer prompts are left out."""
    max_completion_length: Count = 256
    """Tokens of a solution, and of a completion."""
    temperature: Positive = 1.0
    """Divides the logits."""
    sampling_slots: Count = 64
    """Responses sampled at the same time."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, or cuda:N."""
    precision: Precision = "float32"
    """What the model is loaded and computed in."""
    seed: int = 0
    """Of sampling."""

    @property
    def separator(self) -> str:
        return self.step_separator or "\n"


CONFIG = StepLabelsConfig


@dataclass(frozen=True, kw_only=True)
class _Solution:
    """A policy's solution, cut into steps."""

    rollout: Rollout
    steps: tuple[str, ...]


def inputs(config: StepLabelsConfig) -> dict[str, Path]:
    return local_inputs(model=config.model, dataset=config.dataset)


def run(config: StepLabelsConfig, output: Path) -> Artifact:
    began = time.monotonic()
    _, renderer = open_text(
        config, longest_tokens=config.max_prompt_length + 2 * config.max_completion_length
    )
    loaded = load_prompts(config.dataset, portion=config.portion)
    within = prompts_within(loaded, renderer, config.max_prompt_length)
    prompts = within[: config.max_prompts or len(within)]
    for prompt in prompts:
        if not isinstance(prompt.content, str):
            raise ValueError(
                f"{prompt.id}: a conversation; a turn cannot be taken up in its middle, so "
                "step_labels needs prompts in plain text"
            )
    check = open_check(config.verifier)
    model = load_language_model(
        config.model,
        precision=config.precision,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )
    draft = open_draft("step_labels", config, inputs(config), output, began)
    sampler = LocalSampler(model, renderer, slots=config.sampling_slots)
    params = SamplingParams(
        max_tokens=config.max_completion_length, temperature=config.temperature, seed=config.seed
    )
    solutions = [
        _Solution(rollout=rollout, steps=steps)
        for rollout in sampler.sample(prompts, config.num_solutions, params)
        if (steps := _steps(rollout.text, config.separator))
    ]
    shares = _shares(config, solutions, sampler, params, check)
    labelled = [
        (solution, share)
        for solution, share in zip(solutions, shares, strict=True)
        if not np.isnan(share).any()
    ]
    write_text(
        draft.path / "steps.jsonl",
        "".join(json.dumps(_row(config, *one), ensure_ascii=False) + "\n" for one in labelled),
    )
    return draft.finish(_metrics(labelled, asked=len(prompts) * config.num_solutions))


def _steps(text: str, separator: str) -> tuple[str, ...]:
    return tuple(step for step in text.split(separator) if step.strip())


def _shares(
    config: StepLabelsConfig,
    solutions: Sequence[_Solution],
    sampler: LocalSampler,
    params: SamplingParams,
    check: Scorer,
) -> list[np.ndarray]:
    """How many of each step's completions are right; NaN where none could be judged.

    The last step has one completion, the solution itself.
    """
    begun = [
        _begun(solution, number, step, config.separator)
        for number, solution in enumerate(solutions)
        for step in range(len(solution.steps) - 1)
    ]
    n = config.num_generations
    finished = sampler.sample(begun, n, params) if begun else []
    whole = []
    for place, rollout in enumerate(finished):
        original = begun[place // n]
        solution = solutions[_number(original)]
        asked = solution.rollout.prompt
        written = _text(original)[len(_text(asked)) :]
        whole.append(replace(rollout, prompt=asked, text=written + rollout.text))
    judged = check.score([*whole, *(s.rollout for s in solutions)])
    right = np.array([float(s.value > 0.5) if isinstance(s, Score) else np.nan for s in judged])
    of_steps = iter(_valid_means(right[: len(whole)].reshape(-1, n)))
    return [
        np.array([*(next(of_steps) for _ in solution.steps[:-1]), last])
        for solution, last in zip(solutions, right[len(whole) :], strict=True)
    ]


def _valid_means(right_SN: np.ndarray) -> np.ndarray:
    """The mean of each row's numbers that are there; NaN for a row without any."""
    valid_S = (~np.isnan(right_SN)).sum(1)
    return np.where(valid_S > 0, np.nansum(right_SN, 1) / np.maximum(valid_S, 1), np.nan)


def _begun(solution: _Solution, number: int, step: int, separator: str) -> Prompt:
    """The prompt with a solution's first steps, to be finished."""
    asked = solution.rollout.prompt
    text = _text(asked) + "".join(f"{s}{separator}" for s in solution.steps[: step + 1])
    return asked.model_copy(update={"id": f"{asked.id}#{number}#{step}", "content": text})


def _number(begun: Prompt) -> int:
    return int(begun.id.split("#")[-2])


def _text(prompt: Prompt) -> str:
    assert isinstance(prompt.content, str), "conversations were refused"
    return prompt.content


def _row(config: StepLabelsConfig, solution: _Solution, share_X: np.ndarray) -> dict[str, Any]:
    prompt = solution.rollout.prompt
    labels = (
        {"probabilities": share_X.tolist()}
        if config.labels == "soft"
        else {"labels": (share_X > 0).tolist()}
    )
    steps = {"prompt": prompt.content, "completions": list(solution.steps)}
    return {**prompt.columns, **steps, **labels}


def _metrics(
    labelled: Sequence[tuple[_Solution, np.ndarray]], *, asked: int
) -> dict[str, float | int]:
    if not labelled:
        raise ValueError("no solution has steps that the verifier could judge")
    shares = [share_X for _, share_X in labelled]
    return {
        "solutions": len(labelled),
        "left_out": asked - len(labelled),
        "steps": sum(map(len, shares)),
        "right_solutions": float(np.mean([share_X[-1] for share_X in shares])),
        "right_completions": float(np.mean(np.concatenate(shares))),
    }

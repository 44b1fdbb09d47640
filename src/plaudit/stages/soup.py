"""soup: weighted sums of policies that were trained on different rewards.

Policies of one ancestor are averaged weight by weight, ``theta = sum lam_i theta_i`` (Ramé et al.
2023, rewarded soups), for shares ``lam`` all over the simplex; each soup answers held-out prompts
and is scored under every reward. Writes ``soups.json``, which ``plaudit front`` draws, and
``model``, the soup of the shares asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from transformers import PreTrainedModel

from plaudit.artifacts import Artifact, read_artifact, write_json
from plaudit.config import nearest
from plaudit.formats import local_inputs
from plaudit.models import load_language_model, save_model
from plaudit.models.soups import check_alike, pour, simplex, weights_of
from plaudit.records import Invalid, Prompt, Rollout
from plaudit.sampling import (
    AskingOptions,
    LocalSampler,
    SamplingParams,
    prompts_to_ask,
    shared_renderer,
)
from plaudit.scoring import RewardSources
from plaudit.stages.options import Count, NonNegative
from plaudit.stages.rl_rewards import Loading, SourceOptions, open_sources, source_inputs
from plaudit.stages.setup import open_draft
from plaudit.statistics import cluster_bootstrap, non_dominated
from plaudit.text import Renderer

log = logging.getLogger(__name__)


class SoupConfig(AskingOptions):
    """Options of ``plaudit soup``; weights are summed in float32."""

    policies: dict[str, str] = Field(min_length=2)
    """The policies by name, artifacts or models that began from one model."""
    rewards: dict[str, SourceOptions] = Field(min_length=1)
    """What every soup is scored under, by name, as in rl."""
    ancestor: str | None = None
    """The model they began from, scored beside them."""
    shares: dict[str, NonNegative] = Field(default={})
    """Of each policy in the soup that is kept as model; equal where not said."""
    intervals: Count = 4
    """Steps from one policy to another, at the ends of which soups are scored."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> SoupConfig:
        for name in self.shares:
            if name not in self.policies:
                raise ValueError(
                    f"shares: {name} is none of policies{nearest(name, self.policies)}"
                )
        if self.shares and not sum(self.shares.values()):
            raise ValueError("shares: all are 0; expected at least one above it")
        for name, source in self.rewards.items():
            scaled = source.normalisation not in ("none", "reference")
            if scaled or source.clip is not None or source.weight != 1.0:
                raise ValueError(
                    f"rewards.{name}: soups are shown as scored; leave out weight, clip, and any "
                    "normalisation but reference"
                )
        return self


CONFIG = SoupConfig


def inputs(config: SoupConfig) -> dict[str, Path]:
    policies = {f"policies/{name}": policy for name, policy in config.policies.items()}
    named = local_inputs(ancestor=config.ancestor, dataset=config.dataset, **policies)
    return named | source_inputs(config.rewards)


def run(config: SoupConfig, output: Path) -> Artifact:
    began = time.monotonic()
    _check_ancestor(config)
    (_, policy), *others = config.policies.items()
    renderer = shared_renderer(policy, {f"policies.{name}": other for name, other in others})
    prompts, available = prompts_to_ask(config, renderer)
    if len({prompt.conversation for prompt in prompts}) < 2:
        raise ValueError("dataset: one conversation to ask; an interval needs at least 2")
    loading = Loading(config.precision, config.device, False, config.micro_batch_tokens)
    scorer = open_sources(config.rewards, renderer, loading)
    model = _load(config, policy)
    weights = {name: weights_of(_load(config, policy)) for name, policy in config.policies.items()}
    check_alike(weights)
    draft = open_draft("soup", config, inputs(config), output, began)
    rows = []
    for shares in simplex(len(weights), config.intervals):
        pour(model, list(weights.values()), shares)
        found = _scored(config, scorer, _answers(config, model, renderer, prompts))
        rows.append({"shares": dict(zip(weights, shares, strict=True)), **found})
        log.info("soup %s: %s", _told(shares), _told(r[1] for r in found["rewards"].values()))
    _mark_front(rows)
    record: dict[str, Any] = {"soups": rows}
    if config.ancestor is not None:
        before = _answers(config, _load(config, config.ancestor), renderer, prompts)
        record["ancestor"] = _scored(config, scorer, before)
    write_json(draft.path / "soups.json", record)
    pour(model, list(weights.values()), _kept_shares(config))
    save_model(model, renderer.tokenizer, draft.path / "model")
    return draft.finish({"prompts": len(prompts), "available": available, **record})


def _check_ancestor(config: SoupConfig) -> None:
    """Only policies of one ancestor lie in one valley of the loss, where sums of them are models.

    Raises:
        ValueError: artifacts say that two began from different models.
    """
    began_from: dict[str, str] = {}
    for name, policy in config.policies.items():
        artifact = read_artifact(Path(policy))
        if artifact is None or "model" not in artifact.record["inputs"]:
            log.warning("policies.%s: nothing says which model it began from", name)
        else:
            began_from[name] = artifact.record["inputs"]["model"]
    if len(set(began_from.values())) > 1:
        raise ValueError(
            f"policies: {', '.join(began_from)} did not begin from one model; a soup of them would "
            "be noise"
        )


def _load(config: SoupConfig, policy: str) -> PreTrainedModel:
    return load_language_model(policy, precision=config.precision, device=config.device)


def _answers(
    config: SoupConfig, model: PreTrainedModel, renderer: Renderer, prompts: Sequence[Prompt]
) -> list[Rollout]:
    """Every soup draws with the same seeds."""
    params = SamplingParams(
        max_tokens=config.max_completion_length, temperature=config.temperature, seed=config.seed
    )
    sampler = LocalSampler(model, renderer, slots=config.sampling_slots)
    return sampler.sample(prompts, config.num_generations, params)


def _scored(
    config: SoupConfig, scorer: RewardSources, rollouts: Sequence[Rollout]
) -> dict[str, Any]:
    """Mean of each reward with its interval, clustered by conversation."""
    found = list(zip(rollouts, scorer.score(rollouts), strict=True))
    valid = [(rollout, parts) for rollout, parts in found if not isinstance(parts, Invalid)]
    clusters = [rollout.prompt.conversation for rollout, _ in valid]
    if len(set(clusters)) < 2:
        reason = next(parts.reason for _, parts in found if isinstance(parts, Invalid))
        raise ValueError(f"hardly an answer could be scored: {reason}")
    scores = {name: [parts[name].value for _, parts in valid] for name in config.rewards}
    return {
        "rewards": {
            name: cluster_bootstrap(_mean, clusters, values, seed=config.seed)
            for name, values in scores.items()
        },
        "response_tokens": float(np.mean([len(rollout.ids) for rollout in rollouts])),
        "invalid": len(found) - len(valid),
    }


def _mean(weights_N: np.ndarray, values_N: np.ndarray) -> float:
    return float(weights_N @ values_N / weights_N.sum())


def _mark_front(rows: Sequence[dict[str, Any]]) -> None:
    """Say of each soup whether another is as good under every reward and better under one."""
    points = [[interval[1] for interval in row["rewards"].values()] for row in rows]
    for row, kept in zip(rows, non_dominated(points), strict=True):
        row["on_front"] = bool(kept)


def _kept_shares(config: SoupConfig) -> list[float]:
    given: Mapping[str, float] = config.shares or dict.fromkeys(config.policies, 1.0)
    total = sum(given.values())
    return [given.get(name, 0.0) / total for name in config.policies]


def _told(numbers) -> str:
    return " ".join(f"{number:.3g}" for number in numbers)

"""evaluate: policies against a baseline on prompts none of them learned from.

Every policy answers the same held-out prompts; a judge, a reward model trained on judgments of its
own and never optimised, compares each answer with the baseline's. Writes ``evaluation.json`` and
``answers.jsonl``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from plaudit.artifacts import Artifact, Draft, read_artifact, write_json, write_text
from plaudit.assets import shipped
from plaudit.config import Config
from plaudit.evaluation.comparison import Judged, check_tools, compare, describe
from plaudit.formats import WHOLE, Portion, load_prompts, local_inputs
from plaudit.learning import Learner
from plaudit.models import SeparateRoles, load_language_model, model_path, stop_ids
from plaudit.models.devices import Device
from plaudit.models.loading import Precision
from plaudit.provenance import hash_file
from plaudit.records import Message, Prompt, Rollout
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.scoring import (
    Scorer,
    Tools,
    load_tools,
    open_reward_model,
    rollout_trees,
    valid_values,
)
from plaudit.text import Renderer, load_tokenizer, prompts_within


class EvaluateConfig(Config):
    """Options of ``plaudit evaluate``."""

    baseline: str
    """The policy all others are compared with (SFT), an artifact or a model."""
    policies: dict[str, str] = Field(min_length=1)
    """The policies by name, artifacts or models."""
    judge: str
    """The reward model that judges; it must not be one that a policy was trained on."""
    reward_model: str | None = None
    """The reward model that was optimised, whose scores are shown beside the judge's."""
    dataset: str
    """Prompts: a file, a pattern, a shipped name, or a hub's org/name."""
    portion: Portion = WHOLE
    """The conversations to ask, as a part of [0, 1]; none that a policy or the judge saw."""
    max_prompts: int = Field(default=0, ge=0)
    """Ask this many of the prompts, evenly spread; 0 asks all."""
    max_prompt_length: int = Field(default=512, ge=1)
    """Tokens of a prompt; longer prompts are left out and counted."""
    num_generations: int = Field(default=2, ge=1)
    """Answers to each prompt."""
    max_completion_length: int = Field(default=256, ge=1)
    """Tokens of an answer."""
    temperature: float = Field(default=1.0, ge=0)
    """Divides the logits; 0 takes the likeliest token."""
    tools: str | None = None
    """JSON file of the tools (OpenAI's shape) whose calls are checked by rule."""
    sampling_slots: int = Field(default=64, ge=1)
    """Answers sampled at the same time."""
    micro_batch_tokens: int = Field(default=8192, ge=1)
    """Tokens (padding included) in one forward pass."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, or cuda:N."""
    precision: Precision = "float32"
    """What the models are loaded and computed in."""
    seed: int = 0
    """Of sampling and of the intervals' resampling."""

    @model_validator(mode="after")
    def _keep_the_baselines_name(self) -> EvaluateConfig:
        if "baseline" in self.policies:
            raise ValueError("policies.baseline: the baseline has that name; choose another")
        return self


CONFIG = EvaluateConfig


def inputs(config: EvaluateConfig) -> dict[str, Path]:
    return local_inputs(
        baseline=config.baseline,
        judge=config.judge,
        reward_model=config.reward_model,
        dataset=config.dataset,
        tools=config.tools,
        **{f"policies/{name}": policy for name, policy in config.policies.items()},
    )


def run(config: EvaluateConfig, output: Path) -> Artifact:
    began = time.monotonic()
    refuse_optimised_judge(config)
    tokenizer = load_tokenizer(model_path(config.baseline))
    for name, policy in config.policies.items():
        if load_tokenizer(model_path(policy)).get_vocab() != tokenizer.get_vocab():
            raise ValueError(f"policies.{name}: its tokenizer is not the baseline's")
    renderer = Renderer(tokenizer, stop_ids(config.baseline, tokenizer))
    loaded = load_prompts(config.dataset, portion=config.portion)
    prompts = _spread(
        prompts_within(loaded, renderer, config.max_prompt_length), config.max_prompts
    )
    tools = _tools(config, prompts)
    scorers = _scorers(config, tokenizer)
    reference = _forward_only(config, config.baseline)
    draft = Draft.open(
        output,
        stage="evaluate",
        config=config.model_dump(mode="json"),
        inputs=inputs(config),
        began=began,
    )
    policies = {"baseline": config.baseline, **config.policies}
    judged = {
        name: _judge(_answer(config, policy, renderer, prompts), scorers, reference)
        for name, policy in policies.items()
    }
    found = _measure(config, judged, tools)
    write_json(draft.path / "evaluation.json", found)
    write_text(draft.path / "answers.jsonl", _answers(prompts, judged, config.num_generations))
    return draft.finish({"prompts": len(prompts), "available": len(loaded), **found})


def refuse_optimised_judge(config: EvaluateConfig) -> None:
    """A policy measured with the reward it was trained on always looks better.

    Raises:
        ValueError: the judge is the reward model of a policy, or the one named as such.
    """
    judge = _weights(config.judge)
    rewards = {"reward_model": config.reward_model}
    for name, policy in config.policies.items():
        place = Path(model_path(policy))
        artifact = read_artifact(place) or read_artifact(place.parent)
        trained = artifact.record["config"] if artifact else {}
        rewards[f"the reward of {name}"] = trained.get("reward_model")
        for part, source in (trained.get("rewards") or {}).items():
            rewards[f"the reward {part} of {name}"] = source.get("reward_model")
    for whose, reward in rewards.items():
        if reward and Path(reward).exists() and _weights(reward) == judge:
            raise ValueError(
                f"judge: {config.judge} is also {whose}, which was optimised; judge with a reward "
                "model trained on other judgments"
            )


def _weights(model: str) -> list[str]:
    """The hashes of a model's weights, by which it is known under any name."""
    return [hash_file(file) for file in sorted(Path(model_path(model)).glob("*.safetensors"))]


def _spread(prompts: list[Prompt], count: int) -> list[Prompt]:
    """``count`` of the prompts, evenly spread; all of them for 0.

    Raises:
        ValueError: they are of one conversation only, so no interval can be given.
    """
    size = min(count or len(prompts), len(prompts))
    chosen = [prompts[i] for i in np.linspace(0, len(prompts) - 1, size).round().astype(int)]
    if len({prompt.conversation for prompt in chosen}) < 2:
        raise ValueError("dataset: one conversation to ask; an interval needs at least 2")
    return chosen


def _tools(config: EvaluateConfig, prompts: Sequence[Prompt]) -> Tools | None:
    if config.tools is None:
        return None
    tools = load_tools(shipped(config.tools) or Path(config.tools))
    if any(isinstance(prompt.content, str) for prompt in prompts):
        raise ValueError("tools: called in conversations, but the prompts are plain text")
    return tools


def _scorers(config: EvaluateConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Scorer]:
    named = {"judge": config.judge, "reward": config.reward_model}
    return {
        name: open_reward_model(
            model,
            policy_tokenizer=tokenizer,
            precision=config.precision,
            standardised=False,
            token_budget=config.micro_batch_tokens,
            device=config.device,
        )
        for name, model in named.items()
        if model is not None
    }


def _answer(
    config: EvaluateConfig, policy: str, renderer: Renderer, prompts: Sequence[Prompt]
) -> list[Rollout]:
    model = load_language_model(policy, precision=config.precision, device=config.device)
    sampler = LocalSampler(model, renderer, slots=config.sampling_slots)
    params = SamplingParams(
        max_tokens=config.max_completion_length, temperature=config.temperature, seed=config.seed
    )
    return sampler.sample(prompts, config.num_generations, params)


def _forward_only(config: EvaluateConfig, model: str) -> Learner:
    reference = load_language_model(model, precision=config.precision, device=config.device)
    roles = SeparateRoles({"reference": reference}, trained=[])
    return Learner(
        roles,
        None,
        token_budget=config.micro_batch_tokens,
        temperature=config.temperature or 1.0,
    )


def _judge(rollouts: list[Rollout], scorers: dict[str, Scorer], reference: Learner) -> Judged:
    trees = rollout_trees(rollouts)
    scores = {n: np.array(valid_values(s.score(rollouts))) for n, s in scorers.items()}
    found = reference.forward(trees, ["reference.logprobs"])
    sums = []
    for tree, quantities in zip(trees, found, strict=True):
        cuts = np.cumsum(tree.tokens_per_branch_K)[:-1]
        sums += [float(part.sum()) for part in np.split(quantities["reference.logprobs"], cuts)]
    return Judged(
        rollouts=rollouts,
        judge_N=scores["judge"],
        reward_N=scores.get("reward"),
        baseline_logprob_N=np.array(sums),
    )


def _measure(
    config: EvaluateConfig, judged: dict[str, Judged], tools: Tools | None
) -> dict[str, Any]:
    baseline = judged["baseline"]
    found: dict[str, Any] = {"win_rate": {}, "behaviour": {}, "tool_calls": {}}
    for name, side in judged.items():
        found["behaviour"][name] = describe(side)
        if name != "baseline":
            found["win_rate"][name] = compare(side, baseline, seed=config.seed)
        if tools is not None:
            found["tool_calls"][name] = check_tools(side, baseline, tools, seed=config.seed)
    return found


def _answers(prompts: Sequence[Prompt], judged: dict[str, Judged], n: int) -> str:
    """One line a prompt: its messages, and every policy's answers with the judge's scores."""
    lines = []
    for i, prompt in enumerate(prompts):
        answers = {
            name: [
                {"text": side.rollouts[j].text, "judge": float(side.judge_N[j])}
                for j in range(i * n, (i + 1) * n)
            ]
            for name, side in judged.items()
        }
        content = prompt.content
        asked = (Message(role="user", content=content),) if isinstance(content, str) else content
        messages = [message.model_dump(mode="json") for message in asked]
        row = {"prompt": prompt.id, "messages": messages, "answers": answers}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)

"""evaluate: policies against a baseline on prompts none of them learned from.

Every policy answers the same held-out prompts; a judge, a reward model trained on judgments of its
own and never optimised, compares each answer with the baseline's. Writes ``evaluation.json`` and
``answers.jsonl``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from plaudit.artifacts import Artifact, Draft, write_json, write_text
from plaudit.assets import shipped
from plaudit.environments import (
    EnvironmentOptions,
    environment_inputs,
    told_of_tools,
    with_environment,
)
from plaudit.evaluation.comparison import (
    Judged,
    check_conversations,
    check_tools,
    compare,
    describe,
)
from plaudit.evaluation.dialogue import messages_of, shown_rollout
from plaudit.evaluation.judges import refuse_optimised_judge
from plaudit.evaluation.saved import judged_once
from plaudit.formats import local_inputs
from plaudit.learning import Learner
from plaudit.models import SeparateRoles, load_language_model
from plaudit.records import Prompt, Rollout
from plaudit.sampling import AskingOptions, answer, prompts_to_ask, shared_renderer
from plaudit.scoring import (
    Scorer,
    Tools,
    load_tools,
    open_reward_model,
    rollout_trees,
    valid_values,
)


class EvaluateConfig(AskingOptions):
    """Options of ``plaudit evaluate``."""

    baseline: str
    """The policy all others are compared with (SFT), an artifact or a model."""
    policies: dict[str, str] = Field(min_length=1)
    """The policies by name, artifacts or models."""
    judge: str
    """The reward model that judges; it must not be one that a policy was trained on."""
    reward_model: str | None = None
    """The reward model that was optimised, whose scores are shown beside the judge's."""
    tools: str | None = None
    """JSON file of the tools (OpenAI's shape) whose calls are checked by rule."""
    environment: EnvironmentOptions | None = None
    """Answers of several turns, with tools; the bound on tokens is on all turns together."""

    @model_validator(mode="after")
    def _keep_the_baselines_name(self) -> EvaluateConfig:
        if "baseline" in self.policies:
            raise ValueError("policies.baseline: the baseline has that name; choose another")
        return self


CONFIG = EvaluateConfig


def inputs(config: EvaluateConfig) -> dict[str, Path]:
    named = local_inputs(
        baseline=config.baseline,
        judge=config.judge,
        reward_model=config.reward_model,
        dataset=config.dataset,
        tools=config.tools,
        **{f"policies/{name}": policy for name, policy in config.policies.items()},
    )
    return named | environment_inputs(config.environment)


def run(config: EvaluateConfig, output: Path) -> Artifact:
    began = time.monotonic()
    refuse_optimised_judge(config.judge, config.policies, {"reward_model": config.reward_model})
    others = {f"policies.{name}": policy for name, policy in config.policies.items()}
    renderer = told_of_tools(config.environment, shared_renderer(config.baseline, others))
    prompts, available = prompts_to_ask(config, renderer)
    check_conversations(prompts)
    tools = _tools(config, prompts)
    scorers = _scorers(config, renderer.tokenizer)
    reference = _forward_only(config, config.baseline)
    draft = Draft.open(
        output,
        stage="evaluate",
        config=config.model_dump(mode="json"),
        inputs=inputs(config),
        began=began,
    )
    policies = {"baseline": config.baseline, **config.policies}
    around = partial(with_environment, config.environment, renderer=renderer)

    def judge(policy: str) -> Judged:
        rollouts = answer(config, policy, renderer, prompts, around=around)
        return _judge(rollouts, scorers, reference)

    judged = {
        name: judged_once(draft, number, prompts, partial(judge, policy))
        for number, (name, policy) in enumerate(policies.items())
    }
    found = _measure(config, judged, tools)
    write_json(draft.path / "evaluation.json", found)
    write_text(draft.path / "answers.jsonl", _answers(prompts, judged, config.num_generations))
    return draft.finish({"prompts": len(prompts), "available": available, **found})


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
    """One line a prompt: its messages, and every policy's answers with their scores."""
    lines = []
    for i, prompt in enumerate(prompts):
        answers = {
            name: [
                {**shown_rollout(side.rollouts[j]), **_scores(side, j)}
                for j in range(i * n, (i + 1) * n)
            ]
            for name, side in judged.items()
        }
        messages = messages_of(prompt)
        row = {"prompt": prompt.id, "messages": messages, "answers": answers}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def _scores(side: Judged, j: int) -> dict[str, float]:
    reward = {} if side.reward_N is None else {"reward": float(side.reward_N[j])}
    return {"judge": float(side.judge_N[j]), **reward}

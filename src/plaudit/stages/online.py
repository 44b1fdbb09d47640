"""online: optimise a policy on preferences between responses it has just sampled.

Every step samples responses to prompts, has a reward model, a function or a verifier say which of
two is better, and makes one step of a preference objective: online DPO, XPO or Nash-MD. Writes
``model``, and ``samples.jsonl`` with what was compared along the way.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plaudit.artifacts import Artifact, Draft
from plaudit.formats import load_prompts, local_inputs
from plaudit.learning import Checkpoints, Learner, Order, Recorder
from plaudit.records import Invalid, Prompt, Rollout, Score
from plaudit.scoring import Scorer, open_chosen_scorer
from plaudit.stages.online_judging import Comparison, compared, pair_tree, with_weights
from plaudit.stages.online_options import OnlineConfig
from plaudit.stages.online_parts import Players, objective_of, open_roles
from plaudit.stages.setup import make_learner, open_draft, open_text
from plaudit.text import Tree, prompts_within

CONFIG = OnlineConfig
SAMPLES_PER_STEP = 2


def inputs(config: OnlineConfig) -> dict[str, Path]:
    return local_inputs(
        model=config.model, dataset=config.dataset, reward_model=config.reward_model
    )


def run(config: OnlineConfig, output: Path) -> Artifact:
    began = time.monotonic()
    tokenizer, renderer = open_text(
        config, longest_tokens=config.max_prompt_length + config.max_completion_length
    )
    loaded = load_prompts(config.dataset, portion=config.portion)
    prompts = prompts_within(loaded, renderer, config.max_prompt_length)
    order = Order(rows=len(prompts), batch_size=config.batch_size, epochs=1, seed=config.seed)
    scorer = open_chosen_scorer(
        config,
        config.reward_model,
        policy_tokenizer=tokenizer,
        precision=config.precision,
        token_budget=2 * config.micro_batch_tokens,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )
    roles = open_roles(config)
    draft = open_draft("online", config, inputs(config), output, began)
    learner = make_learner(
        roles,
        config,
        tokenizer,
        draft.path,
        total_steps=config.max_steps,
        temperature=config.temperature,
    )
    material = Material(prompts, order, scorer, Players.open(config, roles, renderer))
    metrics = _learn(config, learner, draft, material)
    roles.save("policy", tokenizer, draft.path / "model")
    return draft.finish(
        {"prompts": len(prompts), "left_out": len(loaded) - len(prompts), "last_step": metrics}
    )


class Material(NamedTuple):
    """What a run learns from."""

    prompts: Sequence[Prompt]
    order: Order
    scorer: Scorer
    players: Players


def _learn(
    config: OnlineConfig, learner: Learner, draft: Draft, material: Material
) -> dict[str, float]:
    """The loop, from the draft's last checkpoint on; the last step's metrics."""
    prompts, order, scorer, players = material
    objective = objective_of(config)
    checkpoints = Checkpoints(draft, every_steps=config.save_steps)
    start = checkpoints.restore(learner).step
    metrics: dict[str, float] = {}
    with Recorder(draft, total_steps=config.max_steps, start=start) as recorder:
        for step in range(start, config.max_steps):
            players.load(*learner.weights())
            asked = [prompts[row] for row in order.batch(step)]
            rollouts = players.sample(asked, config.num_generations, config.sampling(step))
            scores = _penalised(config, rollouts, scorer.score(rollouts))
            comparisons, left_out = _compared(config, rollouts, scores)
            trees = _with_reference([pair_tree(c, players.opponents) for c in comparisons], learner)
            metrics = _metrics(rollouts, scores, trees, left_out)
            if trees:
                metrics |= learner.update(with_weights(trees), objective)
            recorder.record(step + 1, metrics, _rows(step + 1, comparisons))
            if checkpoints.due(step + 1) and step + 1 < config.max_steps:
                checkpoints.save(step + 1, learner, {})
    return metrics


def _penalised(
    config: OnlineConfig, rollouts: Sequence[Rollout], scores: Sequence[Score | Invalid]
) -> list[Score | Invalid]:
    penalty = config.missing_eos_penalty
    return [
        Score(value=score.value - penalty, parts=score.parts)
        if isinstance(score, Score) and rollout.finish_reason != "stop"
        else score
        for rollout, score in zip(rollouts, scores, strict=True)
    ]


def _compared(
    config: OnlineConfig, rollouts: Sequence[Rollout], scores: Sequence[Score | Invalid]
) -> tuple[list[Comparison], Counter[str]]:
    """The step's comparisons.

    Raises:
        ValueError: not one response could be scored.
    """
    found, left_out = compared(
        rollouts,
        scores,
        soft=config.judgment == "soft",
        keep_ties=config.algorithm == "nash_md",  # their KL counts all the same
    )
    if all(isinstance(score, Invalid) for score in scores):
        reasons = ", ".join(f"{reason} ({n})" for reason, n in left_out.most_common(3))
        raise ValueError(f"no response of the step could be scored: {reasons}")
    return found, left_out


def _with_reference(trees: Sequence[Tree], learner: Learner) -> list[Tree]:
    found = learner.forward(trees, ["reference.logprobs"])
    return [
        tree.with_token_labels(reference=one["reference.logprobs"])
        for tree, one in zip(trees, found, strict=True)
    ]


def _metrics(
    rollouts: Sequence[Rollout],
    scores: Sequence[Score | Invalid],
    trees: Sequence[Tree],
    left_out: Counter[str],
) -> dict[str, float]:
    """What a person watches: the score, KL (nats a response the policy wrote), length, endings."""
    values = [score.value for score in scores if isinstance(score, Score)]
    own = np.concatenate([tree.branch["own"] for tree in trees]) if trees else np.zeros(0)
    kl = np.concatenate([_log_ratios(tree) for tree in trees]) if trees else np.zeros(0)
    return {
        "score": float(np.mean(values)),
        "kl": float(kl[own > 0].mean()) if own.any() else float("nan"),
        "response_tokens": float(np.mean([rollout.written.sum() for rollout in rollouts])),
        "stopped": float(np.mean([r.finish_reason == "stop" for r in rollouts])),
        "comparisons": float(len(trees)),
        "left_out": float(sum(left_out.values())),
    }


def _log_ratios(tree: Tree) -> np.ndarray:
    """Of each response the log-ratio of what it was sampled from to the reference: [K]."""
    difference_N = tree.token["old"] - tree.token["reference"]
    cuts = np.cumsum(tree.tokens_per_branch_K)[:-1]
    return np.array([part.sum() for part in np.split(difference_N, cuts)])


def _rows(step: int, comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """A few of the step's comparisons, for people to read."""
    return [
        {
            "step": step,
            "prompt": c.better.prompt.id,
            "better": c.better.text,
            "worse": c.worse.text,
            "margin": c.margin,
        }
        for c in comparisons[:SAMPLES_PER_STEP]
    ]

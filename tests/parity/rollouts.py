"""Responses as if sampled: TRL's trainers and our step learn from the same tokens and rewards.

Only the sampler is stood in for. A behaviour policy other than the learner's says what each token's
log-probability was, so that importance ratios differ from 1 and some are clipped.

Shapes: S responses, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from plaudit.learning import Learner
from plaudit.learning.experience import Shaping, assemble, group_scores, weigh
from plaudit.objectives import Algorithm
from plaudit.records import Prompt, Rollout, Score
from plaudit.text import Tree
from tests.parity.data import asked, tree_of, word_tokenizer, words
from tests.parity.steps import learner_of, settings
from tests.tiny import tiny_language_model

GROUP = 4
MAX_TOKENS = 12
REFERENCE_NOISE = 0.5
GROUPS = asked([GROUP, GROUP], seed=5)
REWARDS = ((1.0, -0.5, 0.25, 2.0), (0.0, 3.0, 1.0, 0.5))


def behaviour(noise: float) -> PreTrainedModel:
    """The learner's policy, with noise on its weights."""
    model = tiny_language_model(seed=1)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = noise * float(parameter.std()) if parameter.ndim > 1 else 0.0
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return model


def policy_learner(noise: float) -> Learner:
    """Roles policy, reference and behaviour (``old``)."""
    models = {
        "policy": tiny_language_model(seed=1),
        "reference": behaviour(REFERENCE_NOISE),
        "old": behaviour(noise),
    }
    return learner_of(models)


def our_trees(
    learner: Learner, row: Algorithm, *, beta: float = 0.0, value: float | None = None
) -> list[Tree]:
    """The step of our rl stage from scored rollouts to weighed trees.

    Args:
        value: what every prompt is worth, where the row asks for it.
    """
    rollouts = list(_rollouts(learner))
    scores = [Score(value=value) for group in REWARDS for value in group]
    groups, invalid = group_scores(rollouts, scores, least=2)
    assert not invalid
    groups = [replace(group, baseline=value) for group in groups]
    shaping = Shaping(kl_coefficient=beta if row.kl_in_reward else 0.0)
    return weigh(assemble(groups, learner, row, shaping), row, max_tokens=MAX_TOKENS)


def _rollouts(learner: Learner) -> Iterator[Rollout]:
    found = learner.forward([tree_of(one) for one in GROUPS], ["old.logprobs"])
    for i, (one, quantities) in enumerate(zip(GROUPS, found, strict=True)):
        prompt = Prompt(id=str(i), conversation=str(i), content=words(one.prompt))
        cuts = np.cumsum([len(ids) for ids in one.responses])[:-1]
        parts = np.split(quantities["old.logprobs"], cuts)
        for index, (ids, logprobs) in enumerate(zip(one.responses, parts, strict=True)):
            yield Rollout(
                prompt=prompt,
                prompt_ids=np.array(one.prompt, np.int32),
                ids=np.array(ids, np.int32),
                logprobs=logprobs,
                text=words(ids),
                finish_reason="stop",
                policy_version=0,
                index=index,
            )


def trl_trainer(kind: str, directory: Path, *, noise: float, **options: Any) -> Any:
    """A trainer that samples ``GROUPS`` and rewards them with ``REWARDS``.

    Args:
        kind: grpo, gmpo or rloo; or two, which is grpo with a second reward that is less the first
            one's square.
    """
    from datasets import Dataset

    config, trainer_class = _classes(kind)
    model = tiny_language_model(seed=1)
    # Where these trainers load the reference from.
    model.config._name_or_path = str(directory / "reference")
    if options.get("beta"):
        behaviour(REFERENCE_NOISE).save_pretrained(directory / "reference")
    trainer = trainer_class(
        model=model,
        reward_funcs=[_rewards, _opposed] if kind == "two" else _rewards,
        args=config(**_options(directory, options)),
        train_dataset=Dataset.from_list([{"prompt": words(one.prompt)} for one in GROUPS]),
        processing_class=word_tokenizer(),
    )
    _sample_from_groups(trainer, kind)
    _take_old_from(trainer, behaviour(noise))
    return trainer


def _classes(kind: str) -> tuple[Any, Any]:
    import trl

    if kind == "gmpo":
        from trl.experimental.gmpo import GMPOConfig, GMPOTrainer

        return GMPOConfig, GMPOTrainer
    name = "RLOO" if kind == "rloo" else "GRPO"
    return getattr(trl, f"{name}Config"), getattr(trl, f"{name}Trainer")


def _options(directory: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    return settings(
        directory,
        rows=GROUP * len(GROUPS),
        **{"num_generations": GROUP, "max_completion_length": MAX_TOKENS, **options},
    )


def _rewards(completion_ids: Sequence[list[int]], **columns: Any) -> list[float]:
    known = {
        tuple(ids): value
        for one, values in zip(GROUPS, REWARDS, strict=True)
        for ids, value in zip(one.responses, values, strict=True)
    }
    return [known[tuple(ids)] for ids in completion_ids]


def _opposed(**columns: Any) -> list[float]:
    return [-(value**2) for value in _rewards(**columns)]


def _sample_from_groups(trainer: Any, kind: str) -> None:
    """In place of generation: each prompt's responses in turn."""

    def generate(prompt_ids: Sequence[list[int]], *_: Any, **__: Any) -> Any:
        left = {tuple(one.prompt): iter(one.responses) for one in GROUPS}
        ids = [list(next(left[tuple(prompt)])) for prompt in prompt_ids]
        return ids if kind == "rloo" else (ids, None)

    trainer._generate_single_turn = generate


def _take_old_from(trainer: Any, old: PreTrainedModel) -> None:
    """The importance ratio is taken to the behaviour policy, as if it had sampled."""
    score = trainer._generate_and_score_completions

    def scored(inputs: Any) -> dict[str, Tensor]:
        output = score(inputs)
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
        begin, mask_ST = output["prompt_ids"].shape[1], output["completion_mask"]
        with torch.no_grad():
            log_STV = old(ids, attention_mask=mask).logits[:, begin - 1 : -1].log_softmax(-1)
        old_ST = log_STV.gather(-1, output["completion_ids"][..., None])[..., 0]
        if "old_logps" in output:
            return {**output, "old_logps": (old_ST * mask_ST).sum(1)}
        return {**output, "old_per_token_logps": old_ST}

    trainer._generate_and_score_completions = scored

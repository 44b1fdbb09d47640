"""PPO on TRL's side, in an environment of its own: 1.12 was the last release with a PPO trainer.

Later ones cannot import this file. It imports nothing of Plaudit's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.ppo import (  # pyright: ignore[reportMissingImports]
    PPOConfig,
    PPOTrainer,
    ppo_trainer,
)

from benchmarks.measured import Measured
from benchmarks.trl_settings import Variant, arguments, grouped, said, scalar_model, timed
from benchmarks.workload import BETA, NEW_TOKENS, PPO_EPOCHS, Files, Work


@dataclass
class _Scored:
    """What the reward model was shown, and what it said: a step after another."""

    reward: Any
    """The model; the critic is asked by the same function."""
    tokens: list[list[int]] = field(default_factory=list)
    """Of the responses."""
    scores: list[list[float]] = field(default_factory=list)

    def watched(self, get_reward: Callable[..., Any]) -> Callable[..., Any]:
        def get(model: Any, texts: torch.Tensor, pad_id: int, prompt_tokens: int) -> Any:
            found = get_reward(model, texts, pad_id, prompt_tokens)
            if model is self.reward:
                self.tokens.append((texts[:, prompt_tokens:] != pad_id).sum(1).tolist())
                self.scores.append(found[1].float().tolist())
            return found

        return get


def run_ppo(work: Work, files: Files, variant: Variant) -> Measured:
    """Policy, reference, critic and reward model, all of one size; four epochs of one mini-batch.

    One learning rate for policy and critic. The trainer reads no ``max_grad_norm``: it clips no
    gradient.
    """
    # It makes an Accelerator that knows nothing of bf16: this is what accelerate launch says.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if variant.autocast else "no"
    told = said(
        work, variant, kl_coef=BETA["ppo"], num_ppo_epochs=PPO_EPOCHS, num_mini_batches=1,
        response_length=NEW_TOKENS["ppo"], stop_token="eos", temperature=1.0,
        total_episodes=work.steps * work.examples_per_step, num_sample_generations=0,
        local_rollout_forward_batch_size=work.examples_per_step,
    )  # fmt: skip
    for name in ("max_length", "max_steps", "train_sampling_strategy", "max_grad_norm"):
        del told[name]
    measured = Measured(settings=told)
    trainer = _trainer(work, files, told, variant)
    scored = _Scored(trainer.reward_model)
    ppo_trainer.get_reward = scored.watched(ppo_trainer.get_reward)
    clock = timed(trainer)
    trainer.train()
    lengths = files.lengths()
    logs = trainer.state.log_history
    for step, seconds in enumerate(clock.seconds):
        picked = [lengths[row] for row in work.batch(step, len(lengths))]
        loss = logs[step]["loss/policy_avg"]
        measured.add(seconds, loss, grouped(picked, scored.tokens[step], 1))
    tokens = sum(scored.tokens[0]) / len(scored.tokens[0])
    measured.extra["first_rewards"] = scored.scores[0]
    measured.extra["first_kl"] = logs[0]["objective/kl"] / tokens
    return measured


def _trainer(work: Work, files: Files, told: dict[str, Any], variant: Variant) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(files.policy, padding_side="left")
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(files.policy, dtype=variant.dtype) for _ in range(2)
    )
    reward, critic = (scalar_model(files, variant.dtype) for _ in range(2))
    trainer = PPOTrainer(
        arguments(PPOConfig, work, told), processing_class=tokenizer, model=policy,
        ref_model=reference, reward_model=reward, value_model=critic,
        train_dataset=_prompts(work, files, tokenizer),
    )  # fmt: skip
    _in_order(trainer, work)
    return trainer


def _prompts(work: Work, files: Files, tokenizer: Any) -> Dataset:
    rows = files.read(files.prompts)
    ids = [
        tokenizer.apply_chat_template(
            rows[row]["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for row in work.order(len(rows))
    ]
    return Dataset.from_list([{"input_ids": one} for one in ids])


def _in_order(trainer: Any, work: Work) -> None:
    """It shuffles; every side takes the rows in the file's order."""
    loader = DataLoader(
        trainer.train_dataset, batch_size=work.examples_per_step, collate_fn=trainer.data_collator
    )
    trainer.dataloader = trainer.accelerator.prepare(loader)

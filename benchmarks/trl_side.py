"""TRL's side: its trainers as they come, set as fast as they go on this hardware.

Imports nothing of Plaudit's, so that it runs in an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import trl
from transformers import AutoTokenizer

from benchmarks.measured import Measured
from benchmarks.trl_settings import (
    FIRST,
    Variant,
    arguments,
    dataset,
    grouped,
    said,
    scalar_model,
    timed,
    variant_of,
)
from benchmarks.workload import BETA, NEW_TOKENS, Files, Lengths, Task, Work, groups

TRL: Any = trl
"""Its names are made as they are asked for, so that no type checker knows them."""

NO_PPO = (
    "ppo: this TRL has no PPO trainer, 1.12 had the last; run it in the environment of "
    "trl-ppo-constraints.txt (make bench makes it as .venv-trl-ppo)"
)
NO_SAMPLING = "sample: TRL has no sampling of its own; its trainers call generate: --side generate"


def run(work: Work, files: Files, variant: str) -> Measured:
    """Do the work.

    Raises:
        ValueError: TRL has no such task, or there is no such variant.
    """
    tasks: dict[Task, Callable[[Work, Files, Variant], Measured]] = {
        "sft": run_sft, "reward": run_reward, "dpo": run_dpo, "grpo": run_grpo,
        "ppo": run_ppo, "score": run_scoring,
    }  # fmt: skip
    if work.task not in tasks:
        raise ValueError(NO_SAMPLING)
    name = variant or FIRST[work.precision]
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    measured = tasks[work.task](work, files, variant_of(name, work))
    measured.settings |= {"variant": name, "release": f"trl {trl.__version__}"}
    return measured


def run_sft(work: Work, files: Files, variant: Variant) -> Measured:
    told = said(work, variant, completion_only_loss=True)
    measured = Measured(settings=told)
    trainer = TRL.SFTTrainer(
        model=str(files.policy), args=_arguments(TRL.SFTConfig, work, told, variant),
        train_dataset=dataset(work, files, "demonstrations"),
    )  # fmt: skip
    return _train(work, files, trainer, measured, responses=1)


def run_reward(work: Work, files: Files, variant: Variant) -> Measured:
    told = said(work, variant)
    measured = Measured(settings=told)
    trainer = TRL.RewardTrainer(
        model=str(files.reward), args=_arguments(TRL.RewardConfig, work, told, variant),
        train_dataset=dataset(work, files, "pairs"),
    )  # fmt: skip
    return _train(work, files, trainer, measured, responses=2)


def run_dpo(work: Work, files: Files, variant: Variant) -> Measured:
    """Its reference is a second model, whose log-probabilities are computed in every step."""
    told = said(work, variant, beta=BETA["dpo"], precompute_ref_log_probs=False)
    measured = Measured(settings=told)
    trainer = TRL.DPOTrainer(
        model=str(files.policy), args=_arguments(TRL.DPOConfig, work, told, variant),
        train_dataset=dataset(work, files, "pairs"),
    )  # fmt: skip
    return _train(work, files, trainer, measured, responses=2)


def run_grpo(work: Work, files: Files, variant: Variant) -> Measured:
    told = said(
        work, variant, beta=BETA["grpo"], num_generations=work.responses_per_prompt,
        max_completion_length=NEW_TOKENS["grpo"], temperature=1.0, loss_type="grpo",
        scale_rewards="group", epsilon=0.2, num_iterations=1, shuffle_dataset=False,
    )  # fmt: skip
    del told["max_length"], told["train_sampling_strategy"]
    measured = Measured(settings=told)
    written: list[list[int]] = []

    def note(completion_ids: list[list[int]], **_: Any) -> list[float]:
        """A reward without weight: the trainer shows reward functions what was sampled."""
        written.append([len(ids) for ids in completion_ids])
        return [0.0] * len(completion_ids)

    weights = {"reward_weights": [1.0, 0.0]}
    trainer = TRL.GRPOTrainer(
        model=str(files.policy), args=_arguments(TRL.GRPOConfig, work, told, variant, **weights),
        reward_funcs=[scalar_model(files, _dtype(work)), note],
        reward_processing_classes=[AutoTokenizer.from_pretrained(files.reward), None],
        train_dataset=dataset(work, files, "prompts"),
    )  # fmt: skip
    _train(work, files, trainer, measured, responses=0)
    measured.lengths = [
        grouped(step, tokens, work.responses_per_prompt)
        for step, tokens in zip(measured.lengths, written, strict=True)
    ]
    return measured


def run_ppo(work: Work, files: Files, variant: Variant) -> Measured:
    try:
        from benchmarks import trl_ppo
    except ImportError as error:
        raise ValueError(NO_PPO) from error
    return trl_ppo.run_ppo(work, files, variant)


def run_scoring(work: Work, files: Files, variant: Variant) -> Measured:
    """As GRPOTrainer scores: whole texts in one padded batch (its ``_calculate_rewards``). With
    fewer rows at once, the texts by their lengths, so that little is padded."""
    measured = Measured(settings={"dtype": str(_dtype(work)), "rows": variant.rows})
    model = scalar_model(files, _dtype(work)).to(work.device)
    tokenizer = AutoTokenizer.from_pretrained(files.reward)
    model.config.pad_token_id = tokenizer.pad_token_id
    rows, lengths = files.read(files.demonstrations), files.lengths()
    size = work.responses_per_prompt

    def one(step: int) -> tuple[None, list[Lengths]]:
        picked = work.batch(step, len(rows))
        texts = [
            tokenizer.apply_chat_template(group[0]["prompt"] + other["completion"], tokenize=False)
            for group in groups(rows, picked, size)
            for other in group
        ]
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        if variant.rows:
            ids.sort(key=len)
        together = variant.rows or len(ids)
        for first in range(0, len(ids), together):
            inputs = tokenizer.pad(
                {"input_ids": ids[first : first + together]}, return_tensors="pt"
            )
            with torch.inference_mode():
                model(**inputs.to(work.device)).logits[:, 0].float().tolist()
        return None, [
            Lengths(group[0].prompt, tuple(one.responses[0] for one in group))
            for group in groups(lengths, picked, size)
        ]

    measured.time(work.steps, one)
    return measured


def _arguments(kind: Any, work: Work, told: dict[str, Any], variant: Variant, **more: Any) -> Any:
    return arguments(kind, work, told, model_init_kwargs={"dtype": variant.dtype}, **more)


def _dtype(work: Work) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[work.precision]


def _train(
    work: Work, files: Files, trainer: Any, measured: Measured, *, responses: int
) -> Measured:
    clock, shares = timed(trainer), []
    training_step = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = training_step(*args, **kwargs)
        shares.append(float(loss))
        return loss

    trainer.training_step = watched
    trainer.train()
    lengths = files.lengths()
    losses = _summed(shares, trainer.args.gradient_accumulation_steps)
    for step, (seconds, loss) in enumerate(zip(clock.seconds, losses, strict=True)):
        picked = [lengths[row] for row in work.batch(step, len(lengths))]
        seen = [Lengths(one.prompt, one.responses[:responses]) for one in picked]
        measured.add(seconds, loss, seen)
    return measured


def _summed(shares: list[float], parts: int) -> list[float]:
    """The loss of each step, of which the trainer reports a part's share at a time."""
    return [sum(shares[k : k + parts]) for k in range(0, len(shares), parts)]

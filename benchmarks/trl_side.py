"""TRL's side: its trainers as they come, set as fast as they go on this hardware.

Imports nothing of Plaudit's, so that it runs in an environment of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import trl
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from benchmarks.measured import Measured
from benchmarks.workload import (
    BETA,
    CONTEXT_TOKENS,
    NEW_TOKENS,
    OPTIMISER,
    Files,
    Lengths,
    Task,
    Work,
    groups,
)

TRL: Any = trl
"""Its names are made as they are asked for, so that no type checker knows them."""

NO_PPO = "ppo: TRL 1.16 has no PPO trainer (1.9 had its last); there is nothing to run"
NO_SAMPLING = "sample: TRL has no sampling of its own; its trainers call generate: --side generate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A way to set the trainers. Weights in bfloat16 have no float32 masters in TRL: the fastest
    it can be, but not the same learning."""

    dtype: torch.dtype = torch.float32
    autocast: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    """Further options of the trainer."""


COMPILED = (("torch_compile", True),)
PADDING_FREE = (("padding_free", True), ("max_length", None))
VARIANTS: dict[str, Variant] = {
    "float32": Variant(),
    "float32-padding-free": Variant(options=PADDING_FREE),
    "float32-compiled": Variant(options=COMPILED),
    "autocast": Variant(autocast=True),
    "autocast-padding-free": Variant(autocast=True, options=PADDING_FREE),
    "autocast-compiled": Variant(autocast=True, options=COMPILED),
    "weights": Variant(dtype=torch.bfloat16),
}
FIRST = {"float32": "float32", "bfloat16": "autocast"}
"""The variant where none is named."""


def run(work: Work, files: Files, variant: str) -> Measured:
    """Do the work.

    Raises:
        ValueError: TRL has no such task, or there is no such variant.
    """
    tasks: dict[Task, Callable[[Work, Files, Variant], Measured]] = {
        "sft": run_sft, "reward": run_reward, "dpo": run_dpo, "grpo": run_grpo,
        "score": run_scoring,
    }  # fmt: skip
    if work.task not in tasks:
        raise ValueError(NO_PPO if work.task == "ppo" else NO_SAMPLING)
    name = variant or FIRST[work.precision]
    if name not in VARIANTS or name.startswith("float32") != (work.precision == "float32"):
        raise ValueError(f"variant={name}: not one of TRL's for {work.precision}")
    if "padding-free" in name and work.task != "sft":
        raise ValueError(f"variant={name}: TRL 1.16 has padding-free batches for sft alone")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    measured = tasks[work.task](work, files, VARIANTS[name])
    measured.settings["variant"] = name
    return measured


def run_sft(work: Work, files: Files, variant: Variant) -> Measured:
    said = _said(work, variant, completion_only_loss=True)
    measured = Measured(settings=said)
    trainer = TRL.SFTTrainer(
        model=str(files.policy), args=_arguments(TRL.SFTConfig, said, variant),
        train_dataset=_rows(work, files, "demonstrations"),
    )  # fmt: skip
    return _train(work, files, trainer, measured, responses=1)


def run_reward(work: Work, files: Files, variant: Variant) -> Measured:
    said = _said(work, variant)
    measured = Measured(settings=said)
    trainer = TRL.RewardTrainer(
        model=str(files.reward), args=_arguments(TRL.RewardConfig, said, variant),
        train_dataset=_rows(work, files, "pairs"),
    )  # fmt: skip
    return _train(work, files, trainer, measured, responses=2)


def run_dpo(work: Work, files: Files, variant: Variant) -> Measured:
    """Its reference is a second model, whose log-probabilities are computed in every step."""
    said = _said(work, variant, beta=BETA["dpo"], precompute_ref_log_probs=False)
    measured = Measured(settings=said)
    trainer = TRL.DPOTrainer(
        model=str(files.policy), args=_arguments(TRL.DPOConfig, said, variant),
        train_dataset=_rows(work, files, "pairs"),
    )  # fmt: skip
    return _train(work, files, trainer, measured, responses=2)


def run_grpo(work: Work, files: Files, variant: Variant) -> Measured:
    said = _said(
        work, variant, beta=BETA["grpo"], num_generations=work.responses_per_prompt,
        max_completion_length=NEW_TOKENS["grpo"], temperature=1.0, loss_type="grpo",
        scale_rewards="group", epsilon=0.2, num_iterations=1, shuffle_dataset=False,
    )  # fmt: skip
    del said["max_length"], said["train_sampling_strategy"]
    measured = Measured(settings=said)
    written: list[list[int]] = []

    def note(completion_ids: list[list[int]], **_: Any) -> list[float]:
        """A reward without weight: the trainer shows reward functions what was sampled."""
        written.append([len(ids) for ids in completion_ids])
        return [0.0] * len(completion_ids)

    weights = {"reward_weights": [1.0, 0.0]}
    trainer = TRL.GRPOTrainer(
        model=str(files.policy), args=_arguments(TRL.GRPOConfig, said, variant, **weights),
        reward_funcs=[_scalar_model(files, _dtype(work)), note],
        reward_processing_classes=[AutoTokenizer.from_pretrained(files.reward), None],
        train_dataset=_rows(work, files, "prompts"),
    )  # fmt: skip
    _train(work, files, trainer, measured, responses=0)
    measured.lengths = [
        _grouped(step, tokens, work.responses_per_prompt)
        for step, tokens in zip(measured.lengths, written, strict=True)
    ]
    return measured


def run_scoring(work: Work, files: Files, variant: Variant) -> Measured:
    """As GRPOTrainer scores: whole texts in one padded batch (its ``_calculate_rewards``)."""
    measured = Measured(settings={"dtype": str(_dtype(work))})
    model, tokenizer = (
        _scalar_model(files, _dtype(work)),
        AutoTokenizer.from_pretrained(files.reward),
    )
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
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            model(**inputs).logits[:, 0].float().tolist()
        return None, [
            Lengths(group[0].prompt, tuple(one.responses[0] for one in group))
            for group in groups(lengths, picked, size)
        ]

    measured.time(work.steps, one)
    return measured


class _Clock(TrainerCallback):
    """The seconds from the end of one step to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def _train(
    work: Work, files: Files, trainer: Any, measured: Measured, *, responses: int
) -> Measured:
    clock, losses = _Clock(), []
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    training_step = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = training_step(*args, **kwargs)
        losses.append(float(loss))
        return loss

    trainer.training_step = watched
    trainer.train()
    lengths = files.lengths()
    for step in range(work.steps):
        picked = [lengths[row] for row in work.batch(step, len(lengths))]
        seen = [Lengths(one.prompt, one.responses[:responses]) for one in picked]
        measured.add(clock.ends[step + 1] - clock.ends[step], losses[step], seen)
    return measured


def _said(work: Work, variant: Variant, **more: Any) -> dict[str, Any]:
    """Options of any trainer, as the results show them."""
    return {
        **OPTIMISER,
        "optim": "adamw_torch_fused",
        "max_steps": work.steps,
        "per_device_train_batch_size": work.examples_per_step,
        "bf16": variant.autocast,
        "dtype": str(variant.dtype),
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "train_sampling_strategy": "sequential",
        "max_length": CONTEXT_TOKENS,
        **more,
        **dict(variant.options),
    }


def _arguments(kind: Any, said: dict[str, Any], variant: Variant, **more: Any) -> Any:
    """With what is the same in every run, and of no interest: nothing is logged or saved."""
    given = {name: value for name, value in said.items() if name != "dtype"}
    return kind(
        **given,
        **more,
        model_init_kwargs={"dtype": variant.dtype},
        output_dir=tempfile.gettempdir(),
        use_cpu=True,
        dataloader_pin_memory=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )


def _rows(work: Work, files: Files, name: str) -> Dataset:
    """The rows of all steps, in order."""
    rows = files.read(getattr(files, name))
    return Dataset.from_list([rows[row] for row in work.order(len(rows))])


def _dtype(work: Work) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[work.precision]


def _scalar_model(files: Files, dtype: torch.dtype) -> Any:
    found = AutoModelForSequenceClassification.from_pretrained(files.reward, dtype=dtype)
    return found.eval()


def _grouped(prompts: list[Lengths], tokens: list[int], size: int) -> list[Lengths]:
    """The prompts of a step with the tokens of the responses sampled for each."""
    return [
        Lengths(one.prompt, tuple(tokens[k * size : (k + 1) * size]))
        for k, one in enumerate(prompts)
    ]

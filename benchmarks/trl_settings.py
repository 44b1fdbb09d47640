"""How TRL's trainers are set and watched, whichever it is. Imports nothing of Plaudit's."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from benchmarks.workload import BY, CONTEXT_TOKENS, OPTIMISER, Files, Lengths, Work, rows_at_once


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A way to set the trainers. Weights in bfloat16 have no float32 masters in TRL: the fastest
    it can be, but not the same learning."""

    dtype: torch.dtype = torch.float32
    autocast: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    """Further options of the trainer."""
    rows: int = 0
    """That pass together; 0 for all of a step."""


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


def variant_of(name: str, work: Work) -> Variant:
    """``autocast``, or ``autocast-by-4``: four rows of a step at a time.

    Raises:
        ValueError: there is no such variant of the work's precision, or a step has no such parts.
    """
    kind, _, rows = name.partition(BY)
    if kind not in VARIANTS or kind.startswith("float32") != (work.precision == "float32"):
        raise ValueError(f"variant={name}: not one of TRL's for {work.precision}")
    if "padding-free" in kind and work.task != "sft":
        raise ValueError(f"variant={name}: TRL 1.16 has padding-free batches for sft alone")
    return replace(VARIANTS[kind], rows=rows_at_once(name, rows, work.examples_per_step))


def said(work: Work, variant: Variant, **more: Any) -> dict[str, Any]:
    """Options of any trainer, as the results show them."""
    rows = variant.rows or work.examples_per_step
    return {
        **OPTIMISER,
        "optim": "adamw_torch_fused",
        "max_steps": work.steps,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": work.examples_per_step // rows,
        "bf16": variant.autocast,
        "dtype": str(variant.dtype),
        "gradient_checkpointing": work.gradient_checkpointing,
        "dataloader_num_workers": 0,
        "train_sampling_strategy": "sequential",
        "max_length": CONTEXT_TOKENS,
        **more,
        **dict(variant.options),
    }


def arguments(kind: Any, work: Work, given: dict[str, Any], **more: Any) -> Any:
    """With what is the same in every run, and of no interest: nothing is logged or saved."""
    return kind(
        **{name: value for name, value in given.items() if name != "dtype"},
        **more,
        output_dir=tempfile.gettempdir(),
        use_cpu=work.device == "cpu",
        dataloader_pin_memory=work.device == "cuda",
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )


def dataset(work: Work, files: Files, name: str) -> Dataset:
    """The rows of all steps, in order."""
    rows = files.read(getattr(files, name))
    return Dataset.from_list([rows[row] for row in work.order(len(rows))])


def scalar_model(files: Files, dtype: torch.dtype) -> Any:
    found = AutoModelForSequenceClassification.from_pretrained(files.reward, dtype=dtype)
    return found.eval()


def grouped(prompts: list[Lengths], tokens: list[int], size: int) -> list[Lengths]:
    """The prompts of a step with the tokens of the responses sampled for each."""
    return [
        Lengths(one.prompt, tuple(tokens[k * size : (k + 1) * size]))
        for k, one in enumerate(prompts)
    ]


class Clock(TrainerCallback):
    """The seconds from the end of one step to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        return [end - began for began, end in pairwise(self.ends)]


def timed(trainer: Any) -> Clock:
    """A clock that runs with the trainer, which shall print nothing."""
    clock = Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    return clock

"""What a benchmark runs: tasks, models, data, hyper-parameters. Every side reads this, alike.

Standard library only, so that a peer's environment needs nothing of Plaudit's.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

Task = Literal["sft", "reward", "dpo", "grpo", "ppo", "sample", "score"]
Data = Literal["short", "long"]
Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda"]
TASKS: tuple[Task, ...] = get_args(Task)
DATA: tuple[Data, ...] = get_args(Data)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DEVICES: tuple[Device, ...] = get_args(Device)

RUNS = Path("runs/benchmarks")
CONTEXT_TOKENS = 2048
BY = "-by-"
"""In a peer's variant, before the rows that pass together: ``autocast-by-4``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A model's sizes; embeddings are tied."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    family: Literal["llama", "qwen2"] = "llama"
    tokenizer_tokens: int = 0
    """Of the tokenizer, where the vocabulary has room for more; 0 for all of it. What a policy of
    random weights writes beyond them is a token like any other, and no text."""


MODELS: dict[str, Shape] = {
    "toy": Shape(
        vocab_size=512, hidden_size=64, intermediate_size=128,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    ),
    "6m": Shape(
        vocab_size=4096, hidden_size=256, intermediate_size=688,
        num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4,
    ),
    "30m": Shape(
        vocab_size=8192, hidden_size=512, intermediate_size=1376,
        num_hidden_layers=9, num_attention_heads=8, num_key_value_heads=4,
    ),
    "120m": Shape(
        vocab_size=8192, hidden_size=768, intermediate_size=2048,
        num_hidden_layers=18, num_attention_heads=12, num_key_value_heads=4,
    ),
    "toy-qwen": Shape(
        vocab_size=768, hidden_size=64, intermediate_size=128,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        family="qwen2", tokenizer_tokens=512,
    ),
    "0.5b": Shape(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864,
        num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        family="qwen2", tokenizer_tokens=8192,
    ),
    "1.5b": Shape(
        vocab_size=151_936, hidden_size=1536, intermediate_size=8960,
        num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
        family="qwen2", tokenizer_tokens=8192,
    ),
}  # fmt: skip

OPTIMISER: dict[str, Any] = {
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "seed": 0,
}
"""Options that TRL's trainers and Plaudit's stages call by the same names."""

BETA: dict[str, float] = {"dpo": 0.1, "grpo": 0.04, "ppo": 0.05}
NEW_TOKENS: dict[str, int] = {"grpo": 64, "ppo": 64, "sample": 128}
PPO_EPOCHS = 4

EXAMPLES: dict[Task, int] = {
    "sft": 16, "reward": 16, "dpo": 16, "grpo": 32, "ppo": 32, "sample": 128, "score": 128,
}  # fmt: skip
"""In a step: demonstrations, pairs, or responses."""
GENERATIONS: dict[Task, int] = {"grpo": 8, "sample": 1, "score": 8}
"""Responses to a prompt, where that may be chosen."""


MEAN_RUN_TOKENS = 96
"""Tokens until one of the task ``sample``'s stop tokens is drawn."""


class Lengths(NamedTuple):
    """A prompt's tokens, and those of each of its responses."""

    prompt: int
    responses: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """The prompt counted once."""
        return self.prompt + sum(self.responses)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One run of one side.

    Raises:
        ValueError: options that do not go together.
    """

    task: Task
    model: str
    data: Data = "short"
    precision: Precision = "float32"
    device: Device = "cpu"
    steps: int = 8
    warmup_steps: int = 1
    """First steps that are run but not counted."""
    examples: int = 0
    """In a step; 0 for the task's own number."""
    generations: int = 0
    """Responses to a prompt; 0 for the task's own number."""
    pairs: str = ""
    """A file of preference pairs; empty for synthetic ones of the same lengths."""
    gradient_checkpointing: bool = False
    """Layers are computed again in the backward pass."""

    def __post_init__(self) -> None:
        if self.generations and self.task not in GENERATIONS:
            raise ValueError(f"generations: {self.task} has none; for {', '.join(GENERATIONS)}")
        if self.gradient_checkpointing and self.task in ("sample", "score"):
            raise ValueError(f"gradient_checkpointing: {self.task} has no backward pass")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                f"warmup={self.warmup_steps}: of {self.steps} steps at least one must be counted"
            )
        if self.examples_per_step % self.responses_per_prompt:
            raise ValueError(
                f"examples={self.examples_per_step}: expected a multiple of the "
                f"{self.responses_per_prompt} responses to a prompt"
            )

    @property
    def shape(self) -> Shape:
        return MODELS[self.model]

    @property
    def examples_per_step(self) -> int:
        return self.examples or EXAMPLES[self.task]

    @property
    def responses_per_prompt(self) -> int:
        """That are sampled or scored together."""
        return self.generations or GENERATIONS.get(self.task, 1)

    @property
    def prompts_per_step(self) -> int:
        return self.examples_per_step // self.responses_per_prompt

    @property
    def directory(self) -> Path:
        """Where model and data lie, which depend on nothing else."""
        source = str(Path(self.pairs).resolve()) if self.pairs else "synthetic"
        digest = hashlib.sha256(source.encode()).hexdigest()[:8]
        return RUNS / f"{self.model}-{self.data}-{digest}"

    def batch(self, step: int, rows: int) -> list[int]:
        """The rows of ``step`` (from 0): in the file's order, and from its top again at its end."""
        first = step * self.prompts_per_step
        return [(first + k) % rows for k in range(self.prompts_per_step)]

    def order(self, rows: int) -> list[int]:
        """The rows of all steps, one after another."""
        return [row for step in range(self.steps) for row in self.batch(step, rows)]


@dataclass(frozen=True, slots=True)
class Files:
    """What ``making`` wrote, read by both sides."""

    directory: Path

    @property
    def policy(self) -> Path:
        """A language model's checkpoint, with its tokenizer."""
        return self.directory / "policy"

    @property
    def reward(self) -> Path:
        """The same backbone with a scalar head."""
        return self.directory / "reward"

    @property
    def pairs(self) -> Path:
        """``prompt``, ``chosen``, ``rejected``, each messages."""
        return self.directory / "pairs.jsonl"

    @property
    def demonstrations(self) -> Path:
        """``prompt``, ``completion``."""
        return self.directory / "demonstrations.jsonl"

    @property
    def prompts(self) -> Path:
        """``prompt``."""
        return self.directory / "prompts.jsonl"

    @property
    def about(self) -> dict[str, Any]:
        """Where the data comes from, and how long it is."""
        return json.loads((self.directory / "about.json").read_text(encoding="utf-8"))

    def lengths(self) -> list[Lengths]:
        """Of every pair: its prompt, the better response, the worse one."""
        lines = _rows(self.directory / "lengths.jsonl")
        return [Lengths(prompt, tuple(responses)) for prompt, responses in lines]

    def read(self, file: Path) -> list[dict[str, Any]]:
        return _rows(file)


def ensure_made(work: Work) -> None:
    """Make the files where they are missing, in a process of its own: its memory is not counted.

    Raises:
        ValueError: it failed, as it must where Plaudit is not installed.
    """
    if work.directory.is_dir():
        return
    making = str(Path(__file__).with_name("making.py"))
    command = [sys.executable, making, work.model, work.data, *filter(None, [work.pairs])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise ValueError(
            f"{work.directory}: cannot be made ({last}); make it where Plaudit is installed: "
            f"python {' '.join(command[1:])}"
        )


def groups(rows: Sequence[Any], picked: Sequence[int], size: int) -> list[list[Any]]:
    """For each row picked, ``size`` rows from it on: whose responses it is given to be scored."""
    return [[rows[(row + k) % len(rows)] for k in range(size)] for row in picked]


def rows_at_once(variant: str, rows: str, together: int) -> int:
    """What a variant's name says after ``BY``; 0 where it says nothing.

    Raises:
        ValueError: it is no number of which the rows of a step are a multiple.
    """
    if not rows:
        return 0
    if not rows.isdecimal() or not int(rows) or together % int(rows):
        raise ValueError(f"variant={variant}: expected a divisor of {together} rows, not {rows}")
    return int(rows)


def sampling_stops(vocab_size: int, eos_id: int) -> tuple[int, ...]:
    """Tokens that end a response in the task ``sample``.

    Random weights draw every token about alike, so that with one stop token nearly all responses
    would run to their limit; with these, lengths are mixed, and have the same law on every side.
    """
    special = 16  # control tokens come first
    others = random.Random(0).sample(range(special, vocab_size), vocab_size // MEAN_RUN_TOKENS)
    return (eos_id, *(i for i in others if i != eos_id))


def _rows(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

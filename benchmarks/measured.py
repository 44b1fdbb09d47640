"""What one side measured, and the line that says so. Standard library only, but on a GPU."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.flops import least_flops
from benchmarks.workload import Files, Lengths, Work

FIRST_LOSSES = 3


@dataclass(kw_only=True)
class Measured:
    """Filled step by step while a side works."""

    settings: dict[str, Any]
    """What the side was told beyond the work itself."""
    memory_before_mb: float = field(default_factory=lambda: peak_rss_mb())
    """The process's own peak before it held a model."""
    seconds: list[float] = field(default_factory=list)
    """Of each step."""
    losses: list[float] = field(default_factory=list)
    lengths: list[list[Lengths]] = field(default_factory=list)
    """Of each step, the prompts with the responses that were learned, sampled or scored."""
    extra: dict[str, Any] = field(default_factory=dict)

    def time(self, steps: int, run: Callable[[int], tuple[float | None, list[Lengths]]]) -> None:
        """Run every step; it gives its loss, where it has one, and what it worked on."""
        for step in range(steps):
            began = time.perf_counter()
            loss, lengths = run(step)
            self.add(time.perf_counter() - began, loss, lengths)

    def add(self, seconds: float, loss: float | None, lengths: list[Lengths]) -> None:
        self.seconds.append(seconds)
        self.lengths.append(lengths)
        if loss is not None:
            self.losses.append(loss)

    def spread(self, seconds: float) -> None:
        """Share out over the steps what was done for all of them beforehand."""
        self.seconds = [one + seconds / len(self.seconds) for one in self.seconds]


def report(work: Work, side: str, measured: Measured) -> dict[str, Any]:
    """The line of JSON: rates are over the steps after the warm-up."""
    counted = slice(work.warmup_steps, None)
    seconds = sum(measured.seconds[counted])
    lengths = [one for step in measured.lengths[counted] for one in step]
    examples = work.examples_per_step * (work.steps - work.warmup_steps)
    flops = least_flops(work.task, work.shape, lengths)
    tokens = _tokens(work, lengths)
    return {
        "side": side,
        "task": work.task,
        "model": work.model,
        "data": work.data,
        "precision": work.precision,
        "device": work.device,
        "generations": work.responses_per_prompt,
        "steps": work.steps,
        "examples_per_s": examples / seconds,
        "tokens_per_s": tokens / seconds,
        "least_tflop_per_s": flops / seconds / 1e12,
        "peak_rss_mb": peak_rss_mb(),
        "rss_before_mb": measured.memory_before_mb,
        "first_losses": measured.losses[:FIRST_LOSSES],
        "step_seconds": measured.seconds,
        "settings": settings(work) | measured.settings,
        **measured.extra,
        **({"peak_device_mb": _peak_device_mb()} if work.device == "cuda" else {}),
    }


def settings(work: Work) -> dict[str, Any]:
    """What both sides are told, and what they ran on."""
    return {
        "examples_per_step": work.examples_per_step,
        "uncounted_steps": work.warmup_steps,
        "data": Files(work.directory).about,
        "threads": os.environ.get("OMP_NUM_THREADS") or os.cpu_count(),
        "gpu": _gpu() if work.device == "cuda" else "",
        "python": platform.python_version(),
        "malloc": {n: v for n, v in sorted(os.environ.items()) if n.startswith("MALLOC_")},
    }


def peak_rss_mb() -> float:
    """The most memory this process ever held, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _peak_device_mb() -> float:
    """The most that tensors ever took of the device, in MB."""
    import torch

    return round(torch.cuda.max_memory_allocated() / 1e6, 1)


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name()


def _tokens(work: Work, lengths: Sequence[Lengths]) -> int:
    """Of prompts (each once) and responses; only of responses where the task is to write them."""
    if work.task == "sample":
        return sum(sum(one.responses) for one in lengths)
    return sum(one.tokens for one in lengths)

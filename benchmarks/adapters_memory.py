"""What PPO's four roles take on one backbone, beside four models and beside LoRA SFT.

    python benchmarks/adapters_memory.py [--models 30m,120m] [--precision float32]

Each is run in a process of its own by ``run.py``; memory is its peak less what it took before it
held a model. Writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.plaudit_rows import LORA_R
from benchmarks.runner import HERE, run_json, whole
from benchmarks.sections import RESULTS, machine, table, write_section
from benchmarks.workload import EXAMPLES, MODELS, PRECISIONS, Precision, Task, Work, ensure_made

SFT_SHARE, FULL_SHARE = 1.3, 0.35
"""The targets: at most so many times LoRA SFT's memory, and that of four models."""
COLUMNS = (
    "model", "run", "peak MB", "before a model", "of the run", "by LoRA SFT", "by four models",
)  # fmt: skip


class Run(NamedTuple):
    """What is run: a task and a variant of Plaudit's side."""

    task: Task
    variant: str
    gradient_checkpointing: bool = False


LORA_SFT, FOUR_MODELS = Run("sft", "adapters"), Run("ppo", "")
RUNS: dict[Run, str] = {
    LORA_SFT: "SFT with LoRA",
    FOUR_MODELS: "PPO, four models",
    Run("ppo", "adapters"): "PPO with LoRA, a reward model of its own",
    Run("ppo", "one-backbone"): "PPO with LoRA, its reward model too: one backbone",
    Run("ppo", "one-backbone", True): "PPO with LoRA, one backbone, `gradient_checkpointing`",
}


class Peak(NamedTuple):
    """In MB."""

    peak: float
    before: float
    """What the process took before it held a model."""

    @property
    def own(self) -> float:
        return self.peak - self.before


def main() -> None:
    options = _parse(sys.argv[1:])
    lines: list[Sequence[str]] = []
    for model in options.models.split(","):
        ensure_made(Work(task="ppo", model=model, pairs=options.pairs))
        lines += rows(model, {run: measured(run, model, options) for run in RUNS})
        text = section(lines, options.precision, options.repeats, options.examples)
        write_section(options.results, "adapters", text)
    print(text)


def measured(run: Run, model: str, options: argparse.Namespace) -> Peak:
    """The median of the repeats.

    Raises:
        ValueError: a run failed.
    """
    found = [_report(run, model, options) for _ in range(options.repeats)]
    peaks = [Peak(report["peak_rss_mb"], report["rss_before_mb"]) for report in found]
    return Peak(*(statistics.median(values) for values in zip(*peaks, strict=True)))


def rows(model: str, peaks: Mapping[Run, Peak]) -> list[list[str]]:
    """A model's lines of the table; of our adapters, by what the targets name."""
    sft, full = peaks[LORA_SFT].own, peaks[FOUR_MODELS].own
    found = []
    for run, peak in peaks.items():
        adapted = run not in (LORA_SFT, FOUR_MODELS)
        shares = [f"{peak.own / sft:.2f}", f"{peak.own / full:.2f}"] if adapted else ["", ""]
        numbers = [f"{mb:.0f}" for mb in (peak.peak, peak.before, peak.own)]
        found.append([model, RUNS[run], *numbers, *shares])
    return found


def section(
    lines: Sequence[Sequence[str]], precision: Precision, repeats: int, examples: int
) -> str:
    shown = [examples or EXAMPLES[run.task] for run in (LORA_SFT, FOUR_MODELS)]
    return "\n".join(
        [
            "## Four roles on one backbone",
            "",
            f"`python benchmarks/adapters_memory.py`. {machine()}; {precision}, LoRA of rank "
            f"{LORA_R}, medians of {repeats}. Peak memory of whole processes, and less what each "
            "took before a model.",
            f"Targets: at most {SFT_SHARE:g} of LoRA SFT, and at most {FULL_SHARE:g} of four "
            f"models. {shown[0]} demonstrations a step; {shown[1]} responses and 4 epochs.",
            "",
            table(COLUMNS, lines),
        ]
    )


def _report(run: Run, model: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "run.py"), "--side", "plaudit", "--json"]
    command += ["--task", run.task, "--variant", run.variant, "--model", model]
    command += ["--gradient-checkpointing"] * run.gradient_checkpointing
    command += ["--precision", options.precision, "--pairs", options.pairs]
    command += ["--steps", str(options.steps), "--examples", str(options.examples)]
    return whole(run_json(command, {}))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="30m,120m", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--examples", type=int, default=0, help="in a step; 0 for the task's own")
    parser.add_argument("--pairs", default="", help="as of run.py")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

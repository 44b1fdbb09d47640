"""One side of a benchmark, once; or the whole suite.

    python benchmarks/run.py --side plaudit --task dpo --model 6m --steps 8 --json
    python benchmarks/run.py --suite                        # what make bench runs

See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import report
from benchmarks.workload import DATA, DEVICES, MODELS, PRECISIONS, TASKS, Files, Work, ensure_made

SIDES = ("plaudit", "trl", "generate", "vllm")
PAIRS = "PLAUDIT_BENCHMARK_PAIRS"


def main() -> None:
    options = parse(sys.argv[1:])
    try:
        if options.suite:
            from benchmarks.suite import run_suite

            run_suite(options)
        else:
            show(one_side(work_of(options), options.side, options.variant), as_json=options.json)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def one_side(work: Work, side: str, variant: str) -> dict[str, Any]:
    """Make the files where they are missing, do the work, and report.

    Raises:
        ValueError: the side cannot do the task, has no such variant, or is not installed here.
    """
    ensure_made(work)
    # Whatever a trainer prints is not the result.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            module = importlib.import_module(f"benchmarks.{side}_side")
            measured = module.run(work, Files(work.directory), variant)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"side={side}: {error} in {sys.executable}; benchmarks/README.md says which "
                "environment each side has"
            ) from error
    return report(work, side, measured)


def work_of(options: argparse.Namespace) -> Work:
    return Work(
        task=options.task,
        model=options.model,
        data=options.data,
        precision=options.precision,
        device=options.device,
        steps=options.steps,
        warmup_steps=options.warmup,
        examples=options.examples,
        generations=options.generations,
        pairs=options.pairs,
        gradient_checkpointing=options.gradient_checkpointing,
    )


def show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name}: {value}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--side", choices=SIDES, default="plaudit")
    add("--task", choices=TASKS, default="sft")
    add("--model", choices=MODELS, default="6m")
    add("--data", choices=DATA, default="short", help="123 + 50 tokens, or 1,000 + 200")
    add("--precision", choices=PRECISIONS, default="float32")
    add("--device", choices=DEVICES, default="cpu")
    add("--steps", type=int, default=8)
    add("--warmup", type=int, default=1, help="first steps that are not counted")
    add("--examples", type=int, default=0, help="in a step; 0 for the task's own number")
    add("--generations", type=int, default=0, help="responses to a prompt: grpo, sample, score")
    add("--variant", default="", help="how the peer is set: see benchmarks/README.md")
    add(
        "--pairs", default=os.environ.get(PAIRS, ""),
        help=f"preference pairs, such as hh-rlhf's ({PAIRS}); synthetic ones where not said",
    )  # fmt: skip
    add("--gradient-checkpointing", action="store_true", help="layers computed again")
    add("--json", action="store_true", help="one line of JSON")
    suite = parser.add_argument_group("suite")
    suite.add_argument("--suite", action="store_true", help="all sides in turn, to RESULTS.md")
    suite.add_argument("--tasks", help="comma-separated; all where not said")
    suite.add_argument("--models", help="6m,30m where not said")
    suite.add_argument("--precisions", help="both where not said")
    suite.add_argument("--repeats", type=int, default=3)
    suite.add_argument("--peers", help="trl,generate,vllm where not said; empty for none")
    suite.add_argument("--venv", default=".venv", help="peers' environments are VENV-trl, ...")
    suite.add_argument("--ledger", type=Path, help="what is in it is not run again")
    suite.add_argument("--section", choices=("suite", "gpu"), default="suite")
    suite.add_argument(
        "--results", type=Path, help="benchmarks/RESULTS.md of all cases, else runs/benchmarks"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

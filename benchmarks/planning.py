"""What `plaudit plan` predicts beside what is measured, and the coefficients it predicts with.

    python benchmarks/planning.py                         # the table, to RESULTS.md
    python benchmarks/planning.py --tasks sft,dpo --models 6m --repeats 1
    python benchmarks/planning.py --coefficients          # what autograd keeps, counted anew

Every prediction and every measurement is made in a process of its own, with the rows, settings and
number of threads that the suite's runs have.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers as hf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.plaudit_rl import rl_config
from benchmarks.plaudit_side import training
from benchmarks.runner import HERE, run_json, whole
from benchmarks.sections import machine, table, write_section
from benchmarks.workload import BETA, MODELS, Files, Work, ensure_made
from plaudit.config import Config
from plaudit.models import collate, hidden_states
from plaudit.models.blocks import BLOCK
from plaudit.models.layout import Layout
from plaudit.models.loading import Precision, as_dtype
from plaudit.models.native_layers import use_own_kernels
from plaudit.native import library
from plaudit.pipeline import Step, stage_module
from plaudit.planning import plan_steps
from plaudit.planning.coefficients import KEPT, KEPT_BY_KERNELS, Kept
from plaudit.planning.devices import Placement, here
from plaudit.runtime import prepare_process, quiet
from plaudit.stages import preference, reward, sft
from plaudit.text import Tokens, Tree

TASKS = ("sft", "reward", "dpo", "grpo", "ppo")
STEPS = 8
UNCOUNTED = 3
"""First steps of a run, in which oneDNN compiles kernels for new shapes."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
LAYOUTS: tuple[Layout, ...] = ("packed", "tree")
COLUMNS = (
    "task", "model", "precision", "memory, MB: planned", "measured", "ratio",
    "step, s: planned", "measured", "ratio",
)  # fmt: skip
WIDTHS: tuple[tuple[int, int, int, int, int], ...] = (
    (32, 8, 4, 2, 48), (64, 8, 4, 2, 48), (32, 16, 4, 2, 48),
    (32, 8, 4, 2, 96), (32, 8, 4, 1, 48), (48, 8, 8, 2, 80),
)  # fmt: skip
"""Hidden size, a head's size, heads, key heads, inner size; no two of them in one proportion."""


class Case(NamedTuple):
    task: str
    model: str
    precision: str
    gradient_checkpointing: bool = False

    @property
    def arguments(self) -> list[str]:
        said = ["--task", self.task, "--model", self.model, "--precision", self.precision]
        return said + ["--gradient-checkpointing"] * self.gradient_checkpointing


class Found(NamedTuple):
    """Medians of one case."""

    case: Case
    planned: tuple[float, float]
    """Peak in MB, seconds of a step."""
    measured: tuple[float, float]

    def cells(self) -> list[str]:
        again = ", `gradient_checkpointing`" * self.case.gradient_checkpointing
        cells = [self.case.task + again, self.case.model, self.case.precision]
        for planned, measured, form in zip(
            self.planned, self.measured, (".0f", ".2f"), strict=True
        ):
            cells += [f"{planned:{form}}", f"{measured:{form}}", f"{planned / measured:.2f}"]
        return cells


def main() -> None:
    options = parse()
    if options.coefficients:
        for line in coefficients():
            print(line, flush=True)
    elif options.predict:
        print(json.dumps(predict(_case(options, options.task, options.model, options.precision))))
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Measure and plan every case in turn, and write the section after each."""
    found: list[Found] = []
    for model in options.models.split(","):
        for precision in options.precisions.split(","):
            for task in options.tasks.split(","):
                case = _case(options, task, model, precision)
                found.append(compare(case, options.repeats))
                print(*found[-1].cells(), flush=True)
                write_section(options.results, "planning", section(found, options.repeats))


def compare(case: Case, repeats: int) -> Found:
    """Medians over repeats in which planning and measuring take turns."""
    ensure_made(Work(task=case.task, model=case.model))  # pyright: ignore[reportArgumentType]
    planned, measured = [], []
    for _ in range(repeats):
        command = [sys.executable, str(HERE / "planning.py"), "--predict", *case.arguments]
        planned.append(whole(run_json(command, {})))
        side = [sys.executable, str(HERE / "run.py"), *case.arguments, "--json"]
        done = whole(run_json([*side, "--steps", str(STEPS)], {}))
        seconds = statistics.median(done["step_seconds"][UNCOUNTED:])
        measured.append({"peak_mb": done["peak_rss_mb"], "seconds": seconds})
    return Found(case, _medians(planned), _medians(measured))


def predict(case: Case) -> dict[str, float]:
    """Peak and seconds of a step, as ``plaudit plan`` says them of the same config."""
    quiet()
    prepare_process()
    work = Work(**case._asdict(), steps=STEPS)
    stage, config = config_of(work, Files(work.directory))
    config = config.model_copy(update={"dataset": str(worked_on(work, config))})
    step = Step(
        name=case.task, stage=stage, module=stage_module(stage), config=config,
        output=Path("runs/planned"), after=(),
    )  # fmt: skip
    [plan] = plan_steps((step,), Placement(device=here())).steps
    assert plan.memory is not None and plan.work is not None, "every task's stage is planned"
    steps = plan.work.steps if stage == "rl" else None
    seconds = sum(
        (one.seconds or math.nan) * ((one.phase.calls or 0) / steps if steps else 1)
        for one in plan.phases
    )
    return {"peak_mb": plan.memory.peak_bytes / 1e6, "seconds": seconds}


def worked_on(work: Work, config: Any) -> Path:
    """The rows that the steps take, alone: the others are of other lengths."""
    source = Path(config.dataset)
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = work.order(len(lines))
    file = source.with_name(f"planned-{work.task}.jsonl")
    file.write_text("".join(lines[row] for row in rows), encoding="utf-8")
    return file


def config_of(work: Work, files: Files) -> tuple[str, Config]:
    """The stage of a task, and the config that the suite's side runs it with."""
    if work.task in ("grpo", "ppo"):
        return "rl", rl_config(work, files, lora_r=0)
    if work.task == "reward":
        said = training(work, files.reward)
        return "reward", reward.RewardConfig(dataset=str(files.pairs), **said)
    said = training(work, files.policy)
    if work.task == "sft":
        return "sft", sft.SFTConfig(dataset=str(files.demonstrations), **said)
    return "preference", preference.PreferenceConfig(
        dataset=str(files.pairs), beta=BETA["dpo"], **said
    )


def coefficients() -> Iterator[str]:
    """Counted anew beside those in use, by family and precision."""
    for name, config in (("llama", hf.LlamaConfig), ("gpt_neox", hf.GPTNeoXConfig)):
        for precision, layout in product(PRECISIONS, LAYOUTS):
            counted = count_kept(config, precision, layout)
            yield f"{name}, {precision}, {layout}: counted {counted}"
            by_kernels = name == "llama" and library() is not None
            used = KEPT_BY_KERNELS[precision] if by_kernels else KEPT[precision, name == "llama"]
            yield f"{name}, {precision}, {layout}: in use  {used}"


def count_kept(
    config: Callable[..., hf.PretrainedConfig], precision: Precision, layout: Layout
) -> Kept:
    """Least squares over models of several widths; the norms of queries and keys stand apart."""
    rows, kept = [], []
    for hidden, head, heads, shared, inner in WIDTHS:
        for tokens in (4 * BLOCK, 8 * BLOCK):  # written ones, a half, are whole blocks too
            grouped = config is not hf.GPTNeoXConfig
            size, keys = (head, shared) if grouped else (hidden // heads, heads)
            own = {"head_dim": head, "num_key_value_heads": shared} if grouped else {}
            sizes: dict[str, Any] = {
                "vocab_size": 64, "hidden_size": hidden, "intermediate_size": inner,
                "num_attention_heads": heads, "pad_token_id": 0, **own,
            }  # fmt: skip
            made = [config(num_hidden_layers=layers, **sizes) for layers in (1, 2)]
            shallow, deep = (kept_bytes(one, precision, tokens, layout) for one in made)
            rows.append([hidden, heads * size, keys * size, inner, tokens, heads])
            kept.append((deep - shallow) / tokens)
    found, *_ = np.linalg.lstsq(np.array(rows, float), np.array(kept), rcond=None)
    named = [round(float(value), 2) for value in found]
    return Kept(
        hidden=named[0], query=named[1], key=named[2], inner=named[3], pair=named[4],
        normed=KEPT[precision, True].normed,
    )  # fmt: skip


def kept_bytes(
    config: hf.PretrainedConfig, precision: Precision, tokens: int, layout: Layout
) -> int:
    """Bytes that autograd keeps of one row with two branches, weights left out."""
    model = hf.AutoModelForCausalLM.from_config(config)
    as_dtype(model, precision)
    use_own_kernels(model)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    part = np.ones(tokens // 4, dtype=np.int32)
    branch = Tokens(ids=part, mask=part > 0)
    tree = Tree(id="counted", prompt_P=np.tile(part, 2), branches=(branch, branch))
    batch = collate([tree], layout=layout)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        _held = hidden_states(model.eval(), batch, batch.predict_N)
    return sum(found.values())


def section(found: Sequence[Found], repeats: int) -> str:
    about = (
        f"`python benchmarks/planning.py`. {machine()}; {torch.get_num_threads()} threads. Medians "
        f"of {repeats}; planned and measured in turn, each in a process of its own. Memory is the\n"
        f"process's peak over {STEPS} steps, time the median of the last {STEPS - UNCOUNTED}."
    )
    rows = [one.cells() for one in found]
    return "\n".join(["## Planning", "", about, "", table(COLUMNS, rows)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tasks", default=",".join(TASKS))
    add("--models", default="toy,6m,30m")
    add("--precisions", default="float32,bfloat16")
    add("--repeats", type=int, default=3)
    add("--results", type=Path, default=Path(__file__).with_name("RESULTS.md"))
    add("--coefficients", action="store_true", help="count what autograd keeps")
    add("--predict", action="store_true", help="plan one case, as one line of JSON")
    add("--task", choices=TASKS, default="sft")
    add("--model", choices=MODELS, default="6m")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--gradient-checkpointing", action="store_true", help="layers computed again")
    return parser.parse_args()


def _case(options: argparse.Namespace, task: str, model: str, precision: str) -> Case:
    return Case(task, model, precision, options.gradient_checkpointing)


def _medians(found: Sequence[dict[str, float]]) -> tuple[float, float]:
    peak, seconds = (statistics.median(one[k] for one in found) for k in ("peak_mb", "seconds"))
    return peak, seconds


if __name__ == "__main__":
    main()

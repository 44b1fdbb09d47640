"""Runs the sides of a case, each in a process of its own, and finds peers' fastest settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.ledger import Ledger
from benchmarks.workload import BY, Data, Device, Precision, Task

HERE = Path(__file__).parent
PROBE = ("--steps", "4", "--warmup", "2")
"""How peers' variants are tried out: what is compiled has been compiled by the third step."""
KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""glibc keeps freed memory, as Plaudit tells it to in its own process."""
ENVIRONMENTS = {("trl", "ppo"): "-trl-ppo", ("vllm", "sample"): "-vllm"}
"""What a peer's environment is called after our own, ``-trl`` where not said."""
NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("sft", "float32"): ("float32", "float32-padding-free", "float32-compiled"),
    ("sft", "bfloat16"): ("autocast", "autocast-padding-free", "autocast-compiled", "weights"),
    ("ppo", "bfloat16"): ("autocast", "weights"),
    ("ppo", "float32"): ("float32",),
    ("grpo", "float32"): ("float32",),
    ("grpo", "bfloat16"): ("autocast", "weights"),
    ("score", "float32"): ("float32", "float32-by-32", "float32-by-16", "float32-by-8"),
    ("score", "bfloat16"): ("weights", "weights-by-32", "weights-by-16", "weights-by-8"),
}
ELSE: dict[str, tuple[str, ...]] = {
    "float32": ("float32", "float32-compiled"),
    "bfloat16": ("autocast", "autocast-compiled", "weights"),
}
SAMPLING = {
    "generate": ("padded", "padded-by-32", "padded-by-16", "continuous"),
    "vllm": ("compiled", "eager"),
}
FEWER_ROWS: dict[str, tuple[int, ...]] = {
    "sft": (1, 2, 4), "reward": (1, 2, 4), "dpo": (1, 2, 4), "grpo": (2, 4, 8), "ppo": (2, 8),
}  # fmt: skip
"""At a time, of a step: what trainers are tried with beside all of them."""
FINALISTS = 2
"""Variants that are tried with fewer rows: the fastest with all, and what is compiled."""


TRIED_AT_LENGTH = 3
"""Settings: what is fast in four steps may not stay so, as memory and compiled shapes add up."""


class Case(NamedTuple):
    """What both sides do, and who the other is."""

    task: Task
    model: str
    data: Data
    precision: Precision
    generations: int
    """Responses to a prompt; 0 where that is not to be chosen."""
    peer: str
    """Empty for none."""

    @property
    def name(self) -> str:
        each = f", {self.generations} a prompt" if self.generations else ""
        return f"{self.task}, {self.model}, {self.data}, {self.precision}{each}"

    @property
    def arguments(self) -> list[str]:
        given = ["--task", self.task, "--model", self.model, "--data", self.data]
        given += ["--precision", self.precision]
        return given + (["--generations", str(self.generations)] if self.generations else [])

    @property
    def variants(self) -> tuple[str, ...]:
        """The peer's, to be tried out."""
        names = NAMES.get((self.task, self.precision), ELSE[self.precision])
        return SAMPLING.get(self.peer, names)

    @property
    def fewer_rows(self) -> tuple[int, ...]:
        return FEWER_ROWS.get(self.task, ())

    def python(self, venv: str) -> str:
        """What runs the peer, whose environment lies beside ours."""
        end = ENVIRONMENTS.get((self.peer, self.task), "-trl")
        return str(Path(f"{venv}{end}", "bin", "python"))


class Setting(NamedTuple):
    """How a peer is run."""

    variant: str = ""
    kept: bool = False
    """Whether glibc keeps freed memory."""


AS_IT_COMES = Setting()
"""For our own side."""


@dataclass(frozen=True)
class Runner:
    """Runs a side; every line it prints is kept, and so are the rates of what was tried out."""

    venv: str
    device: Device
    pairs: str
    log: Path
    ledger: Ledger

    def side(
        self, side: str, case: Case, more: Sequence[str], setting: Setting = AS_IT_COMES
    ) -> dict[str, Any]:
        """What the side reports; ``failed`` and nothing else where it did not get there."""
        python = sys.executable if side == "plaudit" else case.python(self.venv)
        command = [python, str(HERE / "run.py"), "--side", side, *case.arguments, *more]
        command += ["--variant", setting.variant, "--device", self.device]
        command += ["--pairs", self.pairs, "--json"]
        found = run_json(command, KEPT if setting.kept else {})
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"command": command[1:], **found}) + "\n")
        return found

    def peak(self, case: Case) -> float:
        """TFLOP/s of the fastest matrix product in the case's precision."""
        command = [sys.executable, str(HERE / "peak.py"), self.device, case.precision]
        return whole(run_json(command, {}))[case.precision]

    def best(self, case: Case, length: Sequence[str]) -> Setting:
        """The peer's fastest setting for a task's data, tried out at the smallest model asked for:
        the variants on short data, the fastest of them with fewer rows at a time, and the fastest
        of those without freed memory kept; of these the fastest few for as long as a turn takes.

        Args:
            length: of a turn, as options.

        Raises:
            ValueError: it runs with none.
        """
        rates = self._rates(case._replace(data="short"), case.variants)
        ranked = sorted(rates, key=lambda one: -rates[one])
        # What is compiled may be slow with many shapes and the fastest with a row at a time.
        finalists = [
            one
            for rank, one in enumerate(ranked)
            if rank < FINALISTS or (rates[one] and "compiled" in one.variant)
        ]
        fewer = [f"{one.variant}{BY}{n}" for one in finalists for n in case.fewer_rows]
        rates = self._rates(case, [*(one.variant for one in finalists), *fewer])
        fastest = max(rates, key=lambda one: rates[one])
        if not rates[fastest]:
            raise ValueError(f"{case.peer} runs in none of {', '.join(case.variants)}")
        plain = fastest._replace(kept=False)
        rates[plain] = self._rate(case, plain)
        last = sorted(rates, key=lambda one: -rates[one])[:TRIED_AT_LENGTH]
        return max(last, key=lambda one: self._rate(case, one, length))

    def _rates(self, case: Case, variants: Iterable[str]) -> dict[Setting, float]:
        settings = (Setting(name, self.device == "cpu") for name in variants)
        return {one: self._rate(case, one) for one in settings}

    def _rate(self, case: Case, setting: Setting, length: Sequence[str] = PROBE) -> float:
        """Examples a second; 0 where it fails. Tried once, whatever the model."""
        data = f"{case.data}, {Path(self.pairs).name or 'synthetic'}"
        key = f"{case.peer}, {case.task}, {data}, {case.precision}, {self.device}: {setting}"
        key += "" if tuple(length) == PROBE else f", {' '.join(length)}"
        if key not in self.ledger.rates:
            found = self.side(case.peer, case, length, setting)
            self.ledger.note_rate(key, 0.0 if "failed" in found else found["examples_per_s"])
        return self.ledger.rates[key]


def run_json(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """The JSON a command prints last, or ``failed`` with the last line of its errors."""
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no word"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def whole(found: dict[str, Any]) -> dict[str, Any]:
    """What was reported.

    Raises:
        ValueError: the side failed.
    """
    if "failed" in found:
        raise ValueError(found["failed"])
    return found

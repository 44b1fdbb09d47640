"""What a tree costs as its responses and its prompt grow, beside what its arithmetic costs.

    python benchmarks/scaling.py [--model 6m] [--repeats 3]      # about ten minutes on two cores

Forward and backward of trees, and of the same comparisons as separate rows. All points of a repeat
are taken in turn in this one process. The ideal cost of a point is its least arithmetic
(``flops.py``: the prompt computed once, attention counted) at the rate of the cheapest point of all
trees. Writes a section of RESULTS.md and its plot.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.flops import least_flops
from benchmarks.sections import RESULTS, machine, table, write_section
from benchmarks.shapes import random_tree
from benchmarks.workload import MODELS, PRECISIONS, Lengths, Precision, Shape
from plaudit.models import SeparateRoles, collate, keep_freed_memory, load_language_model
from plaudit.text import Tree, micro_batches

TOKENS_PER_POINT = 4096
"""Of the trees that are timed together, and of a micro-batch: the stages' own default."""
CONTEXT_TOKENS = 8192
WITHIN = 1.25
"""The target: at most so many times the ideal."""
IMAGES = Path(__file__).with_name("images")
COLUMNS = (
    "prompt", "response", "K", "tokens of the tree", "ms a tree", "of the ideal",
    "separate rows, ms", "ratio", "ratio of tokens",
)  # fmt: skip


class Point(NamedTuple):
    """The sizes of a tree, in tokens."""

    prompt: int
    response: int
    k: int

    @property
    def lengths(self) -> Lengths:
        return Lengths(self.prompt, (self.response,) * self.k)

    @property
    def ideal_ratio(self) -> float:
        """Tokens of separate rows by those of the tree: K (P + R) / (P + K R)."""
        return self.k * (self.prompt + self.response) / self.lengths.tokens


KS = (1, 2, 4, 8, 16, 32, 64)
PROMPTS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
CURVES: dict[str, tuple[Point, ...]] = {
    "responses to a prompt, 256+32": tuple(Point(256, 32, k) for k in KS),
    "responses to a prompt, 128+64": tuple(Point(128, 64, k) for k in KS),
    "prompt tokens, 8 responses of 64": tuple(Point(prompt, 64, 8) for prompt in PROMPTS),
}


@dataclass(frozen=True)
class Costs:
    """Seconds of a tree, a repeat after another, by point."""

    shape: Shape
    trees: dict[Point, list[float]] = field(default_factory=dict)
    rows: dict[Point, list[float]] = field(default_factory=dict)

    def flops(self, point: Point) -> float:
        return least_flops("sft", self.shape, [point.lengths])

    def of_ideal(self) -> dict[Point, float]:
        """How many times the ideal every point's tree costs; 1 at the cheapest."""
        found = {
            point: statistics.median(seconds) / self.flops(point)
            for point, seconds in self.trees.items()
        }
        return {point: cost / min(found.values()) for point, cost in found.items()}

    def ratio(self, point: Point) -> float:
        """What separate rows cost by what the tree costs: the median of the repeats'."""
        pairs = zip(self.rows[point], self.trees[point], strict=True)
        return statistics.median(rows / tree for rows, tree in pairs)


def main() -> None:
    options = _parse(sys.argv[1:])
    keep_freed_memory()
    costs = measure(
        MODELS[options.model], options.precision, repeats=options.repeats,
        points=list(dict.fromkeys(p for curve in CURVES.values() for p in curve)),
    )  # fmt: skip
    text = section(costs, f"{options.model}, {options.precision}, medians of {options.repeats}")
    write_section(options.results, "scaling", text)
    IMAGES.mkdir(exist_ok=True)
    plot(costs, CURVES).savefig(IMAGES / "scaling.png", dpi=110)
    print(text)


def measure(shape: Shape, precision: Precision, *, repeats: int, points: Sequence[Point]) -> Costs:
    """Every point as trees and as rows, as often as was asked, after a turn that is not counted."""
    roles = SeparateRoles({"policy": new_model(shape, precision)}, trained=["policy"])
    rng = np.random.default_rng(0)
    costs = Costs(shape)
    for repeat in range(repeats + 1):
        for point in points:
            trees = _trees(rng, point, shape.vocab_size)
            apart = [one for tree in trees for one in _separate(tree)]
            for rows, found in ((trees, costs.trees), (apart, costs.rows)):
                seconds = _seconds(roles, rows) / len(trees)
                if repeat:
                    found.setdefault(point, []).append(seconds)
    return costs


def new_model(shape: Shape, precision: Precision) -> PreTrainedModel:
    """Random weights, with a context as long as the longest tree asks for, loaded as stages do."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
    )
    with TemporaryDirectory() as directory:
        LlamaForCausalLM(config).save_pretrained(directory)
        return load_language_model(directory, precision=precision)


def section(costs: Costs, about: str) -> str:
    of_ideal = costs.of_ideal()
    worst = max(of_ideal, key=lambda point: of_ideal[point])
    within = sum(cost <= WITHIN for cost in of_ideal.values())
    rows = [_cells(costs, point, of_ideal[point]) for point in of_ideal]
    return "\n".join(
        [
            "## As responses and prompts grow",
            "",
            f"`python benchmarks/scaling.py`. {machine()}; {torch.get_num_threads()} threads; "
            f"{about}. Forward and backward of {TOKENS_PER_POINT} tokens at a time.",
            "The ideal is the tree's least arithmetic, attention included, at the rate of the "
            f"cheapest point. {within} of {len(of_ideal)} points are within {WITHIN:g} of it; the "
            f"worst is {of_ideal[worst]:.2f} at {worst.prompt}+{worst.response} tokens, "
            f"K={worst.k}. The ratio of tokens is K(P+R)/(P+KR).",
            "",
            table(COLUMNS, rows),
            "",
            "![cost of a tree by its ideal cost](images/scaling.png)",
        ]
    )


def plot(costs: Costs, curves: Mapping[str, Sequence[Point]]) -> Figure:
    """Cost by the ideal, over K and over the prompt's tokens."""
    of_ideal = costs.of_ideal()
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    over_k, over_prompts = figure.subplots(1, 2, sharey=True)
    for name, points in curves.items():
        grows = len({point.k for point in points}) > 1
        axes = over_k if grows else over_prompts
        x = [point.k if grows else point.prompt for point in points]
        axes.plot(x, [of_ideal[point] for point in points], marker="o", markersize=3, label=name)
    for axes, label in ((over_k, "responses to a prompt (K)"), (over_prompts, "prompt tokens")):
        axes.set_xscale("log", base=2)
        axes.set_xlabel(label)
        axes.axhline(WITHIN, color="grey", linestyle="--", linewidth=1)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    over_k.set_ylabel("cost by ideal cost")
    return figure


def _seconds(roles: SeparateRoles, trees: Sequence[Tree]) -> float:
    """Of forward and backward, laid out beforehand."""
    lengths = [tree.row_tokens for tree in trees]
    batches = [
        collate([trees[row] for row in rows], layout=roles.layout)
        for rows in micro_batches(lengths, TOKENS_PER_POINT)
    ]
    began = time.perf_counter()
    for batch in batches:
        out = roles.outputs(batch, ["policy.logprobs"], temperature=1.0)
        out["policy.logprobs"].sum().backward()
    for parameter in roles.parameters("policy").values():
        parameter.grad = None
    return time.perf_counter() - began


def _cells(costs: Costs, point: Point, of_ideal: float) -> list[str]:
    milliseconds = [1000 * statistics.median(s[point]) for s in (costs.trees, costs.rows)]
    return [
        str(point.prompt), str(point.response), str(point.k), str(point.lengths.tokens),
        f"{milliseconds[0]:.1f}", f"{of_ideal:.2f}", f"{milliseconds[1]:.1f}",
        f"{costs.ratio(point):.2f}", f"{point.ideal_ratio:.2f}",
    ]  # fmt: skip


def _trees(rng: np.random.Generator, point: Point, vocab_size: int) -> list[Tree]:
    """As many as fill the budget, one at least."""
    sizes = (point.k, point.prompt, point.response)
    count = max(1, TOKENS_PER_POINT // point.lengths.tokens)
    return [random_tree(rng, *sizes, vocab_size=vocab_size) for _ in range(count)]


def _separate(tree: Tree) -> list[Tree]:
    """A tree of its own for every response: the prompt stands as often as there are responses."""
    return [
        Tree(id=tree.id, prompt_P=tree.prompt_P, branches=(branch,)) for branch in tree.branches
    ]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="6m")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

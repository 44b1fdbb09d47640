"""How long a phase takes on the machine at hand: slices of the very model, timed for some seconds.

A slice has the model's own widths, few layers and random weights. Two slices of different depth
tell what a layer takes and what the rest does; both go through the code that will run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from plaudit.learning import Optimiser, OptimiserSettings
from plaudit.models import SeparateRoles, TreeBatch, collate, hidden_states, model_path
from plaudit.models.loading import Precision, as_dtype
from plaudit.models.native_layers import use_own_kernels
from plaudit.planning.data import NANO
from plaudit.planning.rows import Cut, MicroBatch, Row
from plaudit.planning.shapes import Shape
from plaudit.planning.work import Model, Phase, Sampling
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.sampling.rollouts import Start
from plaudit.text import Renderer, Tokens, Tree, load_tokenizer

DEPTHS = (1, 3)
TIMES = 3
"""How often each slice is timed at most; the fastest counts, for other work only ever slows it."""
TIMED_SECONDS = 0.5
"""Of timing one slice, after which it is not run again."""
TIMED_FLOPS = 2e11
"""A batch is cut down to rows of so much arithmetic a layer, where it has more."""
ROOM = 1.25
"""Threads for a core, with what else runs, beyond which timings are said to be doubtful."""
DECODED = (2, 18)
"""Tokens of two timed calls of the sampler, which differ in decoding alone."""


@dataclass(slots=True)
class MeasuredClock:
    """Times slices as phases ask for them, and remembers."""

    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """The machine's over the minute before, which other work may have gone on from."""
    _found: dict[tuple, float] = field(default_factory=dict)
    _slices: dict[tuple, PreTrainedModel] = field(default_factory=dict)

    @property
    def said(self) -> str:
        threads = torch.get_num_threads()
        measured = (
            f"measured here: slices of {DEPTHS[0]} and {DEPTHS[1]} layers of each model, on "
            f"{threads} threads"
        )
        cores = os.cpu_count() or 1
        if threads + self.load <= ROOM * cores:
            return measured
        # Threads that wait for one another wait for whatever else has their cores.
        return (
            f"{measured}; the minute before had a load of {self.load:.1f} on {cores} cores: if "
            "that work went on, this is up to many times what it takes alone"
        )

    def seconds(self, phase: Phase, precision: Precision) -> float:
        if phase.sampling is not None:
            return sum(self._sampling(m, phase.sampling, precision) for m in phase.models)
        passes = sum(self._passes(m, phase, precision) for m in phase.models)
        stepped = [m for m in phase.models if m.learned] if phase.updates else []
        return passes + sum(m.learned * self._step(m.shape, precision) for m in stepped)

    def _passes(self, model: Model, phase: Phase, precision: Precision) -> float:
        """All micro-batches at the rate, a position, of the one in the middle."""
        ordered = sorted(phase.batches, key=lambda batch: batch.positions)
        middle = _cut_down(ordered[len(ordered) // 2], model.shape)
        backward = phase.kind == "update" and model.trained
        taken = self._deepened(
            model.shape, precision, ("pass", model.head, backward, middle),
            lambda sliced: _time_pass(sliced, model, middle, backward=backward),
        )  # fmt: skip
        # Frozen matrices have no gradient of their own: 2 passes' worth of 3.
        passes = (2 if model.lora_r else 3) + phase.recomputes
        share = passes / 3 if backward else 1.0
        return share * taken * sum(b.positions for b in phase.batches) / middle.positions

    def _sampling(self, model: Model, sampling: Sampling, precision: Precision) -> float:
        taken = self._deepened(
            model.shape, precision, ("decode", sampling),
            lambda sliced: _time_decoding(sliced, sampling),
        )  # fmt: skip
        prompt = Row.alike(max(1, round(sampling.prompt_tokens)), 1)
        batch = MicroBatch(
            rows=1, longest=prompt.tokens, written=1, branched=False, sample=(prompt,)
        )
        phase = Phase(
            name="prompts", kind="forward", models=(model,),
            cut=Cut(typical=(batch,) * sampling.prompts, largest=batch), calls=1,
        )  # fmt: skip
        return self._passes(model, phase, precision) + sampling.decoding_steps * taken

    def _step(self, shape: Shape, precision: Precision) -> float:
        """The optimiser's step, for a parameter."""
        key = (_key(shape), precision, "step")
        if key not in self._found:
            sliced = self._slice(shape, precision, DEPTHS[0])
            self._found[key] = _time_step(sliced) / sum(p.numel() for p in sliced.parameters())
        return self._found[key]

    def _deepened(
        self, shape: Shape, precision: Precision, what: tuple, measure: Callable[..., float]
    ) -> float:
        """What a whole model takes: ``t_1 + (L - 1) (t_3 - t_1) / 2``."""
        key = (_key(shape), precision, *what)
        if key not in self._found:
            shallow, deep = (measure(self._slice(shape, precision, depth)) for depth in DEPTHS)
            layer = max(0.0, deep - shallow) / (DEPTHS[1] - DEPTHS[0])
            self._found[key] = shallow + (shape.layers - DEPTHS[0]) * layer
        return self._found[key]

    def _slice(self, shape: Shape, precision: Precision, depth: int) -> PreTrainedModel:
        key = (_key(shape), precision, depth)
        if key not in self._slices:
            config = type(shape.config).from_dict(shape.config.to_dict())
            config.num_hidden_layers = depth
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[:depth]
            model = AutoModelForCausalLM.from_config(config)
            as_dtype(model, precision)
            use_own_kernels(model)
            self._slices[key] = model.eval()
        return self._slices[key]


def _key(shape: Shape) -> str:
    """Equal for models of one architecture, whatever their roles are."""
    return shape.config.to_json_string()


def _cut_down(batch: MicroBatch, shape: Shape) -> MicroBatch:
    """Fewer of a batch's rows, where all would take long."""
    row = 2.0 * shape.matrix_parameters / shape.layers * batch.longest
    rows = max(1, min(len(batch.sample), int(TIMED_FLOPS / row)))
    if rows == len(batch.sample):
        return batch
    kept = batch.sample[:rows]
    return MicroBatch(
        rows=batch.rows * rows // len(batch.sample) or 1,
        longest=batch.longest,
        written=sum(row.written for row in kept),
        branched=batch.branched,
        sample=kept,
        packed=batch.packed,
    )


def _time_pass(model: PreTrainedModel, role: Model, batch: MicroBatch, *, backward: bool) -> float:
    """Forward, and backward where asked, of a batch of random tokens."""
    trees = _collated(batch, role.shape)
    roles = SeparateRoles({"policy": model}, trained=["policy"])
    language = role.head == "language"

    def run() -> None:
        with torch.set_grad_enabled(backward):
            if language:
                found = roles.outputs(trees, ["policy.logprobs"])["policy.logprobs"]
            else:
                found = _backbone(model, trees)
            if backward:
                found.sum().backward()
                model.zero_grad(set_to_none=True)

    return _fastest(run)


def _backbone(model: PreTrainedModel, trees: TreeBatch) -> torch.Tensor:
    return hidden_states(model, trees, trees.end_M).float()


def _time_step(model: PreTrainedModel) -> float:
    parameters = dict(model.named_parameters())
    settings = OptimiserSettings(learning_rates={"policy": 1e-6}, total_steps=100)
    optimiser = Optimiser({"policy": parameters}, settings)

    def run() -> None:
        optimiser.backward(sum((p.sum() for p in parameters.values()), torch.zeros(())))
        optimiser.step()

    return _fastest(run)


@torch.no_grad()
def _time_decoding(model: PreTrainedModel, sampling: Sampling) -> float:
    """One token for every slot in use, amid a response."""
    # Whose tokenizer it is makes no difference: nothing is rendered, and no token ends a response.
    tokenizer = load_tokenizer(model_path(NANO))
    sampler = LocalSampler(model, Renderer(tokenizer, (-1,)), slots=sampling.active)
    ids = np.ones(max(1, round(sampling.context)), dtype=np.int32)
    taken = []
    for tokens in DECODED:
        starts = [
            Start(name="timed", ids=ids, indices=indices, max_tokens=tokens)
            for indices in sampling.active_by_prompt
        ]
        params = SamplingParams(max_tokens=tokens)
        taken.append(_fastest(lambda s=starts, p=params: sampler.go_on(s, p)))
    return max(0.0, taken[1] - taken[0]) / (DECODED[1] - DECODED[0])


def _collated(batch: MicroBatch, shape: Shape) -> TreeBatch:
    rng = np.random.default_rng(0)

    def tokens(count: int) -> np.ndarray:
        return rng.integers(0, shape.vocab_size, max(1, count)).astype(np.int32)

    trees = []
    for row in batch.sample:
        whole = max(1, sum(row.responses))
        branches = tuple(
            Tokens(ids=tokens(n), mask=np.arange(max(1, n)) < max(1, n * row.written // whole))
            for n in row.responses
        )
        trees.append(Tree(id="timed", prompt_P=tokens(row.prompt), branches=branches))
    return collate(trees, layout=shape.layout)


def _fastest(run: Callable[[], object]) -> float:
    """The first run warms up, but where one is long enough it is all there is time for."""
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) <= TIMES and sum(taken) < TIMED_SECONDS):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])

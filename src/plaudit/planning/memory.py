"""Peak memory, line by line: what stands, and what the largest micro-batch adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from plaudit.models.blocks import BLOCK
from plaudit.models.forward import chunk_tokens
from plaudit.models.loading import Precision
from plaudit.models.products import multiplies_bfloat16
from plaudit.native.products import has_products
from plaudit.planning.coefficients import (
    BYTES,
    FORWARD_WIDTHS,
    FRAGMENTED,
    FRAGMENTED_GPU,
    KEPT,
    KEPT_BY_KERNELS,
    KERNELS_BYTES,
    PAGES_ROOM,
    SAMPLED_BYTES,
)
from plaudit.planning.devices import Placement
from plaudit.planning.rows import MicroBatch
from plaudit.planning.shapes import Shape
from plaudit.planning.work import Model, Phase, Sampling, Work


class Line(NamedTuple):
    """One part of a device's memory."""

    what: str
    bytes: float
    how: str
    """The arithmetic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Of one device."""

    standing: tuple[Line, ...]
    """Held from the first update on."""
    passing: tuple[Line, ...]
    """Added by the micro-batch that adds most."""
    during: str
    """The phase that is."""

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.standing + self.passing

    @property
    def peak_bytes(self) -> float:
        return sum(line.bytes for line in self.lines)


def peak_memory(work: Work, placement: Placement) -> Memory:
    """The peak of one device, once the optimiser has its moments.

    What stands is divided among the devices where it is sharded; each device computes
    micro-batches of its own, so activations are not.
    """
    standing = tuple(_standing(work, placement))
    phases = [(phase.name, tuple(_passing(work, phase, placement))) for phase in work.phases]
    during, passing = max(phases, key=lambda found: sum(line.bytes for line in found[1]))
    return Memory(standing=standing, passing=passing, during=during)


def kept_bytes(
    shape: Shape, batch: MicroBatch, precision: Precision, *, on_this_cpu: bool
) -> float:
    """What autograd keeps of a backbone: ``L (X (aD + bQ + cG + dI) + e pairs)``.

    Of a packed row kernels compute the last layer's half after attention, ``aD/2 + dI``, for
    written tokens alone, of which attention's answers are kept once more. Either are computed in
    whole blocks where oneDNN compiles products for their number.
    """
    in_blocks = on_this_cpu and batch.packed and _compiles(shape, precision)
    block = BLOCK if in_blocks else 1
    positions, written = (-(-rows // block) * block for rows in (batch.positions, batch.written))
    by_kernels = shape.by_kernels and on_this_cpu
    kept = KEPT_BY_KERNELS[precision] if by_kernels else KEPT[precision, shape.gated]
    normed = kept.normed if shape.query_norms else 0
    token = kept.hidden * shape.hidden_size + kept.inner * shape.intermediate_size
    token += (kept.query + normed) * shape.query_size + (kept.key + normed) * shape.key_size
    total = shape.layers * (token * positions + kept.pair * batch.masked_pairs)
    if not (by_kernels and batch.packed):
        return total
    half = kept.hidden / 2 * shape.hidden_size + kept.inner * shape.intermediate_size
    answers = kept.query / 2 * shape.query_size
    return total - half * (positions - written) + answers * written


def _standing(work: Work, placement: Placement) -> Iterator[Line]:
    share = placement.shards
    of = f" / {share}" if share > 1 else ""
    size = BYTES[work.precision]
    yield Line("libraries", placement.device.overhead_bytes, "before there is a model")
    if placement.measured and any(_compiles(m.shape, work.precision) for m in work.models):
        yield Line("compiled kernels", KERNELS_BYTES, "by oneDNN, for every shape")
    for model in work.models:
        what = f"weights of the {model.role}"
        how = f"{counted(model.weights)} x {size} B{of}"
        yield Line(what, model.weights * size / share, how)
    for model in work.models:
        if model.learned:
            yield from _learning(model, work.precision, share, of)


def _compiles(shape: Shape, precision: Precision) -> bool:
    """Whether products are oneDNN's here, which in bfloat16 compiles them for every shape."""
    by_kernels = shape.by_kernels and has_products()
    return precision == "bfloat16" and multiplies_bfloat16() and not by_kernels


def _learning(model: Model, precision: Precision, share: int, of: str) -> Iterator[Line]:
    """Masters, moments and gradients of a role's learned weights, all in float32."""
    count, role = model.learned, model.role
    # Adapters and the heads beside them are float32 whatever the backbone is.
    rounded = precision != "float32" and not model.lora_r
    if rounded:
        yield Line(f"masters of the {role}", 4 * count / share, f"{counted(count)} x 4 B{of}")
    yield Line(
        f"Adam's moments of the {role}", 8 * count / share, f"{counted(count)} x 2 x 4 B{of}"
    )
    yield Line(f"gradients of the {role}", 4 * count / share, f"{counted(count)} x 4 B{of}")


def _slots(shape: Shape, sampling: Sampling, size: int, placement: Placement) -> Line:
    held = 2 * shape.layers * shape.key_size * size
    rows = -(-sampling.on(placement.gpus).active // placement.gpus)
    prompts, response = -(-rows // sampling.responses), round(sampling.response_tokens)
    longest = sampling.longest - response
    tokens = prompts * longest + rows * response
    how = (
        f"({prompts} prompts x {longest} + {rows} responses x {response} tokens) x {held:,} B "
        f"(2 L G x {size}) x {PAGES_ROOM}"
    )
    return Line("keys and values of the sampler", tokens * held * PAGES_ROOM, how)


def _passing(work: Work, phase: Phase, placement: Placement) -> Iterator[Line]:
    found = list(_largest(work, phase, placement))
    yield from found
    if placement.shards > 1:
        yield from _gathered(work, phase)
    share = FRAGMENTED if placement.measured else FRAGMENTED_GPU
    idle = share * sum(line.bytes for line in found)
    yield Line("between blocks", idle, f"{share:.0%} of what comes and goes")


def _largest(work: Work, phase: Phase, placement: Placement) -> Iterator[Line]:
    if phase.sampling is not None:
        sampling, shape = phase.sampling, phase.models[0].shape
        logits = sampling.active * shape.vocab_size
        how = f"{sampling.active} tokens x {shape.vocab_size:,} x {SAMPLED_BYTES} B"
        yield Line("logits", logits * SAMPLED_BYTES, how)
        yield _slots(shape, sampling, BYTES[work.precision], placement)
        if placement.measured and shape.by_kernels:
            yield _packed_weights(shape, work.precision)
        return
    # Of several models one computes after another.
    each = (tuple(_of_model(work, phase, model, placement)) for model in phase.models)
    yield from max(each, key=lambda lines: sum(line.bytes for line in lines))


def _packed_weights(shape: Shape, precision: Precision) -> Line:
    """The copy that kernels sample from, of factors as they are multiplied."""
    size = BYTES[precision] if multiplies_bfloat16() else BYTES["float32"]
    weights = shape.matrix_parameters + shape.vocab_size * shape.hidden_size
    return Line("weights as kernels read them", weights * size, f"{counted(weights)} x {size} B")


def _of_model(work: Work, phase: Phase, model: Model, placement: Placement) -> Iterator[Line]:
    assert phase.cut is not None, "a phase samples or passes over rows"
    batch, backward = phase.cut.largest, phase.kind == "update" and model.trained
    if backward:
        yield _kept(model, batch, work.precision, placement, recomputes=phase.recomputes)
    if backward and phase.recomputes:
        # Otherwise they take the place of what the layers after this one kept.
        yield _passing_through(f"gradients in a layer of the {model.role}", model, batch, work)
    if not backward:
        yield _passing_through(f"activations of the {model.role}", model, batch, work)
    if model.head == "language":
        yield _logits(model.shape, batch, work.precision, backward=backward)


def _kept(
    model: Model, batch: MicroBatch, precision: Precision, placement: Placement, *, recomputes: bool
) -> Line:
    shape, positions, what = model.shape, batch.positions, f"activations of the {model.role}"
    total = kept_bytes(shape, batch, precision, on_this_cpu=placement.measured)
    token = total / shape.layers / positions
    if not recomputes:
        how = f"{shape.layers} layers x {positions:,} tokens x {token:,.0f} B kept by autograd"
        return Line(what, total, how)
    entered = shape.hidden_size * BYTES[precision]
    how = f"{positions:,} tokens x ({shape.layers} layers x {entered:,} B + {token:,.0f} B)"
    return Line(what, positions * (shape.layers * entered + token), how)


def _passing_through(what: str, model: Model, batch: MicroBatch, work: Work) -> Line:
    """What nothing keeps, or their gradients."""
    shape, positions = model.shape, batch.positions
    widest = max(shape.intermediate_size, shape.query_size + 2 * shape.key_size, shape.hidden_size)
    size = FORWARD_WIDTHS * BYTES[work.precision]
    how = f"{positions:,} tokens x {widest:,} x {size} B, one layer at a time"
    return Line(what, positions * widest * size, how)


def _logits(shape: Shape, batch: MicroBatch, precision: Precision, *, backward: bool) -> Line:
    """Logits, and in the backward pass their gradient."""
    tokens = min(batch.written, chunk_tokens(shape.vocab_size))
    size = BYTES[precision] * (2 if backward else 1)
    how = f"{tokens:,} tokens x {shape.vocab_size:,} x {size} B"
    return Line("logits", tokens * shape.vocab_size * size, how)


def _gathered(work: Work, phase: Phase) -> Iterator[Line]:
    """Shards of a layer come together while it computes, and those of the next beside it."""
    size = BYTES[work.precision]
    for model in phase.models:
        layer = model.shape.matrix_parameters / model.shape.layers
        table = model.shape.vocab_size * model.shape.hidden_size
        total = (2 * layer + table) * size
        how = f"2 layers of {counted(layer)} and a table of {counted(table)}, x {size} B"
        yield Line(f"gathered weights of the {model.role}", total, how)


def counted(parameters: float) -> str:
    """``70.6 B``: parameters, as people say them."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {name}"
    return f"{parameters:.0f}"

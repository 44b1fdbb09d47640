"""Every measured constant of the planner, in one place, and where each is from.

``python benchmarks/planning.py --coefficients`` counts ``KEPT`` anew; the others are fitted to the
peaks that its table shows. In the formulas D is the hidden size, Q the query heads' size together,
G the key heads', I the feed-forward layer's, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plaudit.models.loading import Precision

BYTES: Mapping[Precision, int] = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """Bytes that autograd keeps in one layer: for a token, by what they are as wide as, and for a
    pair of positions of a row with a mask."""

    hidden: float
    query: float
    key: float
    inner: float
    pair: float
    normed: float
    """Added for Q and G where queries and keys are normed (Qwen 3)."""


KEPT: Mapping[tuple[Precision, bool], Kept] = {
    ("float32", True): Kept(hidden=24, query=8, key=8, inner=16, pair=4, normed=8),
    ("bfloat16", True): Kept(hidden=16, query=4, key=4, inner=8, pair=2, normed=6),
    ("float32", False): Kept(hidden=16, query=12, key=12, inner=8, pair=4, normed=8),
    ("bfloat16", False): Kept(hidden=8, query=6, key=6, inner=4, pair=2, normed=6),
}
"""By precision, and whether the feed-forward layer is gated; counted over ``hidden_states``.

Gated in float32: each norm keeps its input, the normed input and its result; attention queries,
keys, values, its result, and that laid out anew; the feed-forward layer the gate before and after
its function, the other half, and their product. SDPA turns a boolean mask into numbers, once a
layer. Not gated: counted on GPT-NeoX; GPT-2's own form of GELU keeps more than that."""

KEPT_BY_KERNELS: Mapping[Precision, Kept] = {
    "float32": Kept(hidden=16, query=8, key=8, inner=12, pair=4, normed=4),
    "bfloat16": Kept(hidden=8, query=4, key=4, inner=6, pair=2, normed=2),
}
"""Where kernels compute a layer of the Llama kind: each norm keeps its input and its result, the
feed-forward layer gate, other half and product."""

SAMPLED_BYTES = 12
"""For a sequence and an entry of the vocabulary, in sampling: logits, probabilities and sums."""
PAGES_ROOM = 1.25
"""Keys and values allocated for those that are held: pages of 64 tokens, which grow by halves."""

FORWARD_WIDTHS = 4
"""Tensors of a token's widest width that a pass holds at a time, of those that nothing keeps."""

LIBRARIES_BYTES = 460e6
"""A process on a CPU with torch, transformers, peft and the stages, before there is a model."""
KERNELS_BYTES = 50e6
"""What oneDNN keeps compiled for matrix products of bfloat16 on a CPU: one for every shape, so that
it grows with the micro-batches that have shapes of their own."""
CUDA_BYTES = 0.6e9
"""CUDA's context, its libraries' workspaces and kernels."""
FRAGMENTED = 0.15
"""Share of what a micro-batch allocates and frees that lies idle in the heap, on a CPU."""
FRAGMENTED_GPU = 0.05
"""The same for torch's allocator on a GPU: on paper, not measured here."""
USABLE = 0.92
"""Share of a device's memory that a step may be planned to fill."""

TRAINING_UTILISATION = 0.40
"""Of the published matrix peak, in training on a named GPU: on paper, not measured here."""
FORWARD_UTILISATION = 0.50
"""In a forward pass over whole sequences."""
LAUNCHED = 30
"""Kernels of a layer in a forward pass, none of them fused or captured in a graph."""
LAUNCH_SECONDS = 6e-6
"""Of each: what small models take however fast the GPU is."""
DECODING_BANDWIDTH = 0.50
"""Of the published memory bandwidth, token by token."""

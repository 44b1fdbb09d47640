"""Floating-point operations of what the code computes, padding included.

A multiplication and an addition are two. Norms, softmax, rotations and the optimiser are left out.
"""

from __future__ import annotations

from plaudit.models.forward import chunk_tokens
from plaudit.planning.rows import MicroBatch
from plaudit.planning.work import Model, Phase, Sampling


def phase_flops(phase: Phase) -> float:
    """Of one call."""
    if phase.sampling is not None:
        return sum(sampling_flops(model, phase.sampling) for model in phase.models)
    return sum(
        pass_flops(
            model, batch, backward=phase.kind == "update" and model.trained,
            recomputes=phase.recomputes,
        )
        for model in phase.models
        for batch in phase.batches
    )  # fmt: skip


def pass_flops(
    model: Model, batch: MicroBatch, *, backward: bool, recomputes: bool = False
) -> float:
    """``passes x (2 W X + 4 Q L pairs) + 2 D V N``: W weights of matrices, X positions, N written.

    Passes are 1, or with a backward pass 3; where only an adapter learns 2, since frozen matrices
    have no gradient. The backbone is computed once more where it ``recomputes``, the head where
    there are chunks.
    """
    shape = model.shape
    backbone = 2.0 * shape.matrix_parameters * batch.positions
    backbone += 4.0 * shape.query_size * shape.layers * batch.pairs
    passes = 1 if not backward else 2 if model.lora_r else 3
    backbone *= passes + (backward and recomputes)
    if model.head == "scalar":
        return backbone
    head = 2.0 * shape.hidden_size * shape.vocab_size * batch.written
    again = 1 if backward and batch.written > chunk_tokens(shape.vocab_size) else 0
    return backbone + (passes + again) * head


def sampling_flops(model: Model, sampling: Sampling) -> float:
    """Prompts once, then every token with what stands before it."""
    shape = model.shape
    written = sampling.sequences * sampling.response_tokens
    computed = sampling.prompts * sampling.prompt_tokens + written
    seen = sampling.prompts * sampling.prompt_tokens**2 / 2 + written * sampling.context
    attention = 4.0 * shape.query_size * shape.layers * seen
    head = 2.0 * shape.hidden_size * shape.vocab_size * written
    return 2.0 * shape.matrix_parameters * computed + attention + head

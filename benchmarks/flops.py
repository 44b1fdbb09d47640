"""The least arithmetic that a task's work needs, which utilisation is measured by.

The same for every side: each prompt is computed once, and of its last layer keys and values alone;
the vocabulary is reached at response tokens only, nothing is padded or computed twice. A side that
does more than this is credited with no more, so its utilisation is low because its time is long.
Norms, softmax, rotations and the optimiser are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.workload import PPO_EPOCHS, Lengths, Shape, Task

PASSES: dict[Task, tuple[int, int]] = {
    "sft": (3, 0),
    "reward": (0, 3),
    "dpo": (4, 0),
    "grpo": (5, 1),
    "ppo": (2 + 3 * PPO_EPOCHS, 2 + 3 * PPO_EPOCHS),
    "sample": (1, 0),
    "score": (0, 1),
}
"""Forward passes with the language head, and without; a backward pass counts as two.

dpo: the reference and the update. grpo: sampling, the reference and the update; the reward model.
ppo: sampling and the reference, and the policy's updates; the reward model, the critic's values,
and its updates.
"""


def least_flops(task: Task, shape: Shape, lengths: Sequence[Lengths]) -> float:
    """Floating-point operations (a multiplication and an addition are two)."""
    with_head, without = PASSES[task]
    backbone = sum(_backbone(shape, one) for one in lengths)
    written = sum(sum(one.responses) for one in lengths)
    head = 2.0 * shape.hidden_size * shape.vocab_size * written
    return (with_head + without) * backbone + with_head * head


def matrix_parameters(shape: Shape) -> int:
    """Weights of all layers' matrices, which every token meets once."""
    return shape.num_hidden_layers * (_after_keys(shape) + 2 * shape.hidden_size * _key_size(shape))


def _key_size(shape: Shape) -> int:
    return shape.hidden_size // shape.num_attention_heads * shape.num_key_value_heads


def _after_keys(shape: Shape) -> int:
    """Of a layer's weights those that make no key or value."""
    return 2 * shape.hidden_size**2 + 3 * shape.hidden_size * shape.intermediate_size


def _backbone(shape: Shape, lengths: Lengths) -> float:
    """One forward pass over a prompt and its responses, the head left out."""
    by_prompt = _triangle(lengths.prompt)
    seen = by_prompt + sum(lengths.prompt * n + _triangle(n) for n in lengths.responses)
    attention = 4.0 * shape.hidden_size * (shape.num_hidden_layers * seen - by_prompt)
    unread = _after_keys(shape) * lengths.prompt
    return 2.0 * (matrix_parameters(shape) * lengths.tokens - unread) + attention


def _triangle(tokens: int) -> int:
    """Pairs of a token and one that it attends to, itself included."""
    return tokens * (tokens + 1) // 2

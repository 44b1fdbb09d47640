"""The least arithmetic that a task's work needs, which utilisation is measured by.

The same for every side: each prompt is computed once, and the last layer but for keys and values
only where it is read (at responses' tokens, or for a score at their ends); the vocabulary is
reached at response tokens only, nothing is padded or computed twice. A side that
does more than this is credited with no more, so its utilisation is low because its time is long.
Norms, softmax, rotations and the optimiser are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.workload import PPO_EPOCHS, Lengths, Shape, Task

PASSES: dict[Task, tuple[int, int, int]] = {
    "sft": (3, 0, 0),
    "reward": (0, 0, 3),
    "dpo": (4, 0, 0),
    "grpo": (5, 0, 1),
    "ppo": (2 + 3 * PPO_EPOCHS, 1 + 3 * PPO_EPOCHS, 1),
    "sample": (1, 0, 0),
    "score": (0, 0, 1),
}
"""Forward passes that end in the language head, in values, in scores; one backward counts as two.

dpo: the reference and the update. grpo: sampling, the reference and the update; the reward model.
ppo: sampling and the reference, and the policy's updates; the critic's values and its updates; the
reward model.
"""


def least_flops(task: Task, shape: Shape, lengths: Sequence[Lengths]) -> float:
    """Floating-point operations (a multiplication and an addition are two)."""
    language, values, scores = PASSES[task]
    written = sum(sum(one.responses) for one in lengths)
    head = 2.0 * shape.hidden_size * shape.vocab_size * written
    by_token = sum(_backbone(shape, one, [range(n) for n in one.responses]) for one in lengths)
    by_end = sum(_backbone(shape, one, [[n - 1] for n in one.responses]) for one in lengths)
    return language * (by_token + head) + values * by_token + scores * by_end


def matrix_parameters(shape: Shape) -> int:
    """Weights of all layers' matrices, which every token meets once."""
    return shape.num_hidden_layers * (_after_keys(shape) + 2 * shape.hidden_size * _key_size(shape))


def _key_size(shape: Shape) -> int:
    return shape.hidden_size // shape.num_attention_heads * shape.num_key_value_heads


def _after_keys(shape: Shape) -> int:
    """Of a layer's weights those that make no key or value."""
    return 2 * shape.hidden_size**2 + 3 * shape.hidden_size * shape.intermediate_size


def _backbone(shape: Shape, lengths: Lengths, read: Sequence[Sequence[int]]) -> float:
    """One forward pass over a prompt and its responses, the head left out.

    Args:
        read: of each response, the tokens (from 0) that the last layer answers for.
    """
    prompt = lengths.prompt
    seen = _triangle(prompt) + sum(prompt * n + _triangle(n) for n in lengths.responses)
    seen_last = sum(prompt + k + 1 for tokens in read for k in tokens)
    attention = 4.0 * shape.hidden_size * ((shape.num_hidden_layers - 1) * seen + seen_last)
    unread = _after_keys(shape) * (lengths.tokens - sum(map(len, read)))
    return 2.0 * (matrix_parameters(shape) * lengths.tokens - unread) + attention


def _triangle(tokens: int) -> int:
    """Pairs of a token and one that it attends to, itself included."""
    return tokens * (tokens + 1) // 2

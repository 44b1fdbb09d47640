"""How token losses become one number: a weight for every token of every sequence.

With S sequences of lengths L_i in the whole update (all micro-batches, all ranks):

- ``token``: 1 / sum(L), every token counts the same (DAPO).
- ``sequence``: 1 / (S * L_i), every sequence counts the same (GRPO).
- ``constant``: 1 / (S * L_max) with a fixed L_max, so that a token's weight does not depend on how
  long its sequence is (Dr. GRPO): the sum over tokens of the policy gradient theorem, scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

Aggregation = Literal["token", "sequence", "constant"]


def sequence_weights(
    lengths: Sequence[int], aggregation: Aggregation, *, max_tokens: int | None = None
) -> list[float]:
    """The weight of each token of every sequence; a sequence without tokens weighs nothing.

    Args:
        lengths: tokens the policy wrote, for every sequence of the update.
        aggregation: see the module.
        max_tokens: L_max, for ``constant`` only.
    """
    total, sequences = sum(lengths), len(lengths)
    match aggregation:
        case "token":
            return [1.0 / total if length else 0.0 for length in lengths]
        case "sequence":
            return [1.0 / (sequences * length) if length else 0.0 for length in lengths]
        case "constant":
            assert max_tokens is not None, "constant aggregation needs max_tokens"
            return [1.0 / (sequences * max_tokens) if length else 0.0 for length in lengths]
        case _:
            assert_never(aggregation)

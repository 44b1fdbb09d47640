"""Grouping rows into micro-batches by a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence


def micro_batches(
    lengths: Sequence[int], token_budget: int, *, padded: bool = True
) -> list[list[int]]:
    """Group row numbers so that rows times longest row stays within ``token_budget`` tokens; or,
    where rows are not padded, their sum.

    Rows are taken from the longest down, so that rows of like length share a batch and little
    is padded. A row longer than the budget has a batch of its own: the budget bounds memory
    where it can, and never drops data.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches: list[list[int]] = []
    taken = 0
    for row in order:
        more = lengths[batches[-1][0]] if batches and padded else lengths[row]
        if batches and taken + more <= token_budget:
            batches[-1].append(row)
            taken += more
        else:
            batches.append([row])
            taken = lengths[row]
    return batches

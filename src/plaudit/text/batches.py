"""Grouping rows into micro-batches by a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence


def micro_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group row numbers so that rows times longest row stays within ``token_budget`` tokens.

    Rows are taken from the longest down, so that rows of like length share a batch and little
    is padded. A row longer than the budget has a batch of its own: the budget bounds memory
    where it can, and never drops data.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches: list[list[int]] = []
    for row in order:
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and longest * (len(batches[-1]) + 1) <= token_budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches

"""Trees as tensors: all in one row, one row a tree, or, where models cannot branch, one a branch.

Shapes: B rows, T positions of a row, N tokens the policy wrote (tree after tree, branch after
branch), M branches, Q pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from plaudit.models.tree_attention import TreeSpan
from plaudit.text.batches import micro_batches
from plaudit.text.trees import Tree

Layout = Literal["packed", "tree", "rows"]
TRUNK, PADDING = 0, -1
GPU_BLOCK = 128
"""A packed row's positions on a GPU are a multiple of it, as its attention goes by blocks."""


@dataclass(frozen=True, kw_only=True)
class TreeBatch:
    """Some trees as tensors; everything after ``segment_BT`` is the same in both layouts."""

    ids_BT: Tensor
    position_BT: Tensor
    segment_BT: Tensor
    """0 on the trunk, k on the k-th branch of the row (from 1), -1 on padding."""
    spans: tuple[TreeSpan, ...]
    """Where each tree stands, if all are packed in one row; else none."""
    branched: bool
    """False when every row is one plain sequence, for which causal attention needs no mask."""
    predict_N: Tensor
    """Index into the flattened ``B * T`` of the position that predicts each policy token."""
    target_N: Tensor
    written_N: Tensor
    """Index into the flattened ``B * T`` of each policy token itself."""
    branch_N: Tensor
    """Which branch (0..M-1) each policy token belongs to."""
    offset_N: Tensor
    """The token's place in its branch, from 0."""
    end_M: Tensor
    """Index into the flattened ``B * T`` of the last token of each branch."""
    tree_M: Tensor
    """Which tree each branch belongs to."""
    token: Mapping[str, Tensor]
    """Labels, each [N]."""
    branch: Mapping[str, Tensor]
    """Labels, each [M]."""
    pair: Mapping[str, Tensor]
    """Labels, each [Q]; ``better`` and ``worse`` are branches 0..M-1."""

    @property
    def branches(self) -> int:
        return len(self.end_M)


def common_layout(layouts: Iterable[Layout]) -> Layout:
    """The one that all of several models can take."""
    order: Sequence[Layout] = get_args(Layout)
    return max(layouts, key=order.index)


def micro_batches_of(trees: Sequence[Tree], layout: Layout, token_budget: int) -> list[list[int]]:
    """Which trees (by number) go through the models together."""
    lengths = [row_tokens(tree, layout) for tree in trees]
    return micro_batches(lengths, token_budget, padded=layout != "packed")


def row_tokens(tree: Tree, layout: Layout) -> int:
    """Positions a tree takes in a batch, from which token budgets are reckoned."""
    return tree.longest_tokens * len(tree.branches) if layout == "rows" else tree.row_tokens


def collate(
    trees: Sequence[Tree], *, layout: Layout, pad_id: int = 0, device: torch.device | str = "cpu"
) -> TreeBatch:
    """Lay trees out as one batch: packed in one row, or a row each, padded on the right.

    A packed row is padded on a GPU alone, to a multiple of ``GPU_BLOCK``.
    """
    rows = list(_rows(trees, layout))
    starts, shape = _places(rows, layout, 1 if _is_cpu(device) else GPU_BLOCK)
    flat = {"ids": pad_id, "positions": 0, "segments": PADDING}
    flat = {name: np.full(math.prod(shape), fill, np.int64) for name, fill in flat.items()}
    predict, written, end = [], [], []
    for start, row in zip(starts, rows, strict=True):
        for name, whole in flat.items():
            whole[start : start + len(row.ids)] = getattr(row, name)
        predict += [start + p for p in row.predict]
        written += [start + w for w in row.written]
        end += [start + e for e in row.end]
    masks = [branch.mask for tree in trees for branch in tree.branches]
    branches_per_tree = [len(tree.branches) for tree in trees]
    tensor: Callable[..., Tensor] = lambda x: torch.as_tensor(x).to(device)  # noqa: E731
    return TreeBatch(
        ids_BT=tensor(flat["ids"].reshape(shape)),
        position_BT=tensor(flat["positions"].reshape(shape)),
        segment_BT=tensor(flat["segments"].reshape(shape)),
        spans=tuple(map(_span, starts, trees)) if layout == "packed" else (),
        branched=layout == "tree" and max(branches_per_tree) > 1,
        predict_N=tensor(np.concatenate(predict)),
        written_N=tensor(np.concatenate(written)),
        target_N=tensor(_flat([b.ids[b.mask] for t in trees for b in t.branches], np.int64)),
        branch_N=tensor(np.repeat(np.arange(len(masks)), [int(m.sum()) for m in masks])),
        offset_N=tensor(_flat([np.flatnonzero(m) for m in masks], np.int64)),
        end_M=tensor(np.array(end, np.int64)),
        tree_M=tensor(np.repeat(np.arange(len(trees)), branches_per_tree)),
        token=_stack([tree.token for tree in trees], device),
        branch=_stack([tree.branch for tree in trees], device),
        pair=_stack([_shifted_pairs(t, s) for t, s in _with_starts(trees)], device),
    )


def attention_mask(batch: TreeBatch, *, window: int | None = None) -> Tensor:
    """Which position may attend to which: ``[B, 1, T, T]``, True where allowed.

    A token attends to the trunk and to its own branch, never to a sibling, and only to positions
    not after its own; with ``window`` only to positions less than ``window`` before it. Padding
    attends to itself alone, so that no row of the mask is empty (an empty row is a NaN).
    """
    segment, position = batch.segment_BT, batch.position_BT
    own = segment[:, :, None] == segment[:, None, :]
    trunk = (segment == TRUNK)[:, None, :] & (segment != PADDING)[:, :, None]
    distance = position[:, :, None] - position[:, None, :]
    allowed = (own & (segment != PADDING)[:, :, None] | trunk) & (distance >= 0)
    if window is not None:
        allowed &= distance < window
    allowed |= torch.eye(segment.shape[1], dtype=torch.bool, device=segment.device)
    return allowed[:, None]


@dataclass(frozen=True, slots=True)
class _Row:
    ids: np.ndarray
    positions: np.ndarray
    segments: np.ndarray
    predict: list[np.ndarray]
    """For each branch, the positions in the row that predict its policy tokens."""
    written: list[np.ndarray]
    """And those where they stand."""
    end: list[int]


def _is_cpu(device: torch.device | str) -> bool:
    return torch.device(device).type == "cpu"


def _places(rows: Sequence[_Row], layout: Layout, block: int) -> tuple[list[int], tuple[int, int]]:
    """Where each row begins in the flattened batch, and the batch's shape."""
    lengths = [len(row.ids) for row in rows]
    if layout == "packed":
        starts = [0, *np.cumsum(lengths).tolist()]
        return starts[:-1], (1, math.ceil(starts[-1] / block) * block)
    longest = max(lengths)
    return [b * longest for b in range(len(rows))], (len(rows), longest)


def _span(start: int, tree: Tree) -> TreeSpan:
    return TreeSpan(start, len(tree.prompt_P), tuple(len(b.ids) for b in tree.branches))


def _rows(trees: Sequence[Tree], layout: Layout) -> Iterator[_Row]:
    for tree in trees:
        if layout != "rows":
            yield _row(tree.prompt_P, tree, range(len(tree.branches)))
        else:
            for k in range(len(tree.branches)):
                yield _row(tree.prompt_P, tree, [k])


def _row(prompt: np.ndarray, tree: Tree, which: Sequence[int]) -> _Row:
    size = len(prompt)
    ids, positions = [prompt], [np.arange(size)]
    segments = [np.full(size, TRUNK)]
    predict, written, end, start = [], [], [], size
    for segment, k in enumerate(which, start=1):
        branch = tree.branches[k]
        length = len(branch.ids)
        # The first token of every branch is predicted by the last of the trunk.
        before = np.concatenate([[size - 1], start + np.arange(length - 1)])
        ids.append(branch.ids)
        positions.append(size + np.arange(length))
        segments.append(np.full(length, segment))
        predict.append(before[branch.mask])
        written.append((start + np.arange(length))[branch.mask])
        start += length
        end.append(start - 1)
    flat = [np.concatenate(parts) for parts in (ids, positions, segments)]
    return _Row(flat[0], flat[1], flat[2], predict, written, end)


def _with_starts(trees: Sequence[Tree]) -> Iterator[tuple[Tree, int]]:
    start = 0
    for tree in trees:
        yield tree, start
        start += len(tree.branches)


def _shifted_pairs(tree: Tree, start: int) -> dict[str, np.ndarray]:
    """Pair labels with branch numbers counted over the whole batch."""
    return {
        name: np.asarray(values) + start if name in ("better", "worse") else np.asarray(values)
        for name, values in tree.pair.items()
    }


def _stack(labels: Sequence[Mapping[str, np.ndarray]], device: torch.device | str) -> dict:
    names = {name for label in labels for name in label}
    for name in names:
        assert all(name in label for label in labels), f"label {name} is missing on some trees"
    return {
        name: torch.as_tensor(np.concatenate([np.asarray(label[name]) for label in labels])).to(
            device
        )
        for name in sorted(names)
    }


def _flat(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(arrays).astype(dtype)

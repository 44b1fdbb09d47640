"""Trees as tensors: one row a tree, or, for models that cannot branch, one row a branch.

Shapes: B rows, T positions of a row, N tokens the policy wrote (tree after tree, branch after
branch), M branches, Q pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from plaudit.text.trees import Tree

Layout = Literal["tree", "rows"]
TRUNK, PADDING = 0, -1


@dataclass(frozen=True, kw_only=True)
class TreeBatch:
    """Some trees as tensors; everything after ``segment_BT`` is the same in both layouts."""

    ids_BT: Tensor
    position_BT: Tensor
    segment_BT: Tensor
    """0 on the trunk, k on the k-th branch of the row (from 1), -1 on padding."""
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


def row_tokens(tree: Tree, layout: Layout) -> int:
    """Positions a tree takes in a batch, from which token budgets are reckoned."""
    return tree.row_tokens if layout == "tree" else tree.longest_tokens * len(tree.branches)


def collate(
    trees: Sequence[Tree], *, layout: Layout, pad_id: int = 0, device: torch.device | str = "cpu"
) -> TreeBatch:
    """Lay trees out as one batch, padded on the right."""
    rows = list(_rows(trees, layout))
    length = max(len(row.ids) for row in rows)
    ids_BT = np.full((len(rows), length), pad_id, np.int64)
    position_BT = np.zeros((len(rows), length), np.int64)
    segment_BT = np.full((len(rows), length), PADDING, np.int64)
    predict, written, end = [], [], []
    for b, row in enumerate(rows):
        size = len(row.ids)
        ids_BT[b, :size], position_BT[b, :size] = row.ids, row.positions
        segment_BT[b, :size] = row.segments
        predict += [b * length + p for p in row.predict]
        written += [b * length + w for w in row.written]
        end += [b * length + e for e in row.end]
    masks = [branch.mask for tree in trees for branch in tree.branches]
    branches_per_tree = [len(tree.branches) for tree in trees]
    tensor: Callable[..., Tensor] = lambda x: torch.as_tensor(x).to(device)  # noqa: E731
    return TreeBatch(
        ids_BT=tensor(ids_BT),
        position_BT=tensor(position_BT),
        segment_BT=tensor(segment_BT),
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


def _rows(trees: Sequence[Tree], layout: Layout) -> Iterator[_Row]:
    for tree in trees:
        if layout == "tree":
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
    join = np.concatenate
    return _Row(join(ids), join(positions), join(segments), predict, written, end)


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

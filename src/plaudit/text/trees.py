"""Trees: a prompt and its K responses in one row of tokens.

Shapes: P prompt tokens, K branches (responses), R tokens of a branch, N tokens the policy wrote in
all branches of a tree, Q pairs of branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from plaudit.records import Demonstration, Judged, Prompt, Response
from plaudit.text.chat import Renderer
from plaudit.text.pieces import Tokens
from plaudit.text.tokenised import Asked, tokenised


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A trunk (the prompt) and K branches (the responses), with the labels learning needs.

    Labels are aligned with the tokens the policy wrote (branch after branch), with the branches,
    or with pairs of branches. Every set of labels carries a ``weight``: its share of the loss of a
    whole update, so that losses are plain sums and no split into micro-batches changes a gradient.

    Example: one comparison, the first response the better one::

        Tree(id="a", prompt_P=ids, branches=(Tokens(...), Tokens(...)),
             pair={"better": [0], "worse": [1], "probability": [1.0], "weight": [1.0]})
    """

    id: str
    prompt_P: np.ndarray
    branches: tuple[Tokens, ...]
    token: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Each [N]."""
    branch: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Each [K]."""
    pair: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Each [Q]; ``better`` and ``worse`` are branch numbers."""

    def __post_init__(self) -> None:
        assert len(self.prompt_P), "a branch's first token is predicted by the prompt's last"
        assert all(len(branch.ids) for branch in self.branches), "a response has a last token"

    @property
    def tokens_per_branch_K(self) -> np.ndarray:
        """How many tokens the policy wrote in each branch."""
        return np.array([int(branch.mask.sum()) for branch in self.branches])

    @property
    def row_tokens(self) -> int:
        """Length of the tree's row: the prompt stands once."""
        return len(self.prompt_P) + sum(len(branch.ids) for branch in self.branches)

    @property
    def longest_tokens(self) -> int:
        """Length of the prompt with its longest response, which a context window must hold."""
        return len(self.prompt_P) + max(len(branch.ids) for branch in self.branches)

    def with_token_labels(self, **labels: np.ndarray) -> Tree:
        return replace(self, token={**self.token, **labels})

    def with_branch_labels(self, **labels: np.ndarray) -> Tree:
        return replace(self, branch={**self.branch, **labels})

    def with_pair_labels(self, **labels: np.ndarray) -> Tree:
        return replace(self, pair={**self.pair, **labels})


def demonstration_trees(
    demonstrations: Sequence[Demonstration], renderer: Renderer
) -> Iterator[Tree]:
    """A demonstration is a tree of one branch."""
    return response_trees([(one.prompt, [one.response]) for one in demonstrations], renderer)


def judged_trees(judged: Sequence[Judged], renderer: Renderer) -> Iterator[Tree]:
    """Prompts with their judged responses; all comparisons of one prompt share the row.

    Pair labels: ``better``, ``worse``, ``probability``, ``margin``, ``weight``. Branch labels:
    ``rating`` (the mean of a response's
    ratings) and ``rating_weight`` (their number; 0 where it has none).
    """
    trees = response_trees([(one.prompt, one.responses) for one in judged], renderer)
    return (_labelled(one, tree) for one, tree in zip(judged, trees, strict=True))


def _labelled(judged: Judged, tree: Tree) -> Tree:
    pairs = judged.preferences
    tree = tree.with_pair_labels(
        better=np.array([p.better for p in pairs], dtype=np.int64),
        worse=np.array([p.worse for p in pairs], dtype=np.int64),
        probability=_floats([p.probability for p in pairs]),
        margin=_floats([p.margin for p in pairs]),
        weight=_floats([p.weight for p in pairs]),
    )
    total, weight = np.zeros((2, len(tree.branches)), np.float32)
    for r in judged.ratings:
        total[r.response] += r.weight * r.value
        weight[r.response] += r.weight
    rating = total / np.where(weight > 0, weight, 1)
    return tree.with_branch_labels(rating=rating, rating_weight=weight)


def response_trees(
    rows: Sequence[tuple[Prompt, Sequence[Response]]], renderer: Renderer
) -> Iterator[Tree]:
    """Prompts with their responses, without labels.

    Raises:
        ValueError: text that cannot be rendered, and of which prompt.
    """
    asked = [Asked(p.id, p.content, tuple(r.content for r in rs)) for p, rs in rows]
    for one, (prompt_P, branches) in zip(asked, tokenised(asked, renderer), strict=True):
        yield Tree(id=one.id, prompt_P=prompt_P, branches=branches)


def _floats(values: Sequence[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def prompts_within(
    prompts: Sequence[Prompt], renderer: Renderer, max_prompt_length: int
) -> list[Prompt]:
    """The prompts of at most so many tokens.

    Raises:
        ValueError: none is short enough.
    """
    asked = [Asked(prompt.id, prompt.content) for prompt in prompts]
    lengths = [len(prompt_P) for prompt_P, _ in tokenised(asked, renderer)]
    kept = [p for p, n in zip(prompts, lengths, strict=True) if n <= max_prompt_length]
    if not kept:
        raise ValueError(
            f"max_prompt_length={max_prompt_length}: none of {len(prompts)} prompts fits; the "
            f"shortest has {min(lengths)} tokens"
        )
    return kept

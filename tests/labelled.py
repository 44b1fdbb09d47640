"""What an objective reads, without any model: random quantities and labels of a few trees.

Shapes: N policy tokens, M branches, Q pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    branch_N: Tensor
    branches: int
    token: Mapping[str, Tensor] = field(default_factory=dict)
    branch: Mapping[str, Tensor] = field(default_factory=dict)
    pair: Mapping[str, Tensor] = field(default_factory=dict)


def batch_of(lengths: Sequence[int], **labels: Mapping[str, Tensor]) -> Batch:
    """A batch of branches with so many policy tokens each."""
    branch_N = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return Batch(branch_N=branch_N, branches=len(lengths), **labels)


def random_batch(
    lengths: Sequence[int], pairs: Sequence[tuple[int, int]], *, seed: int
) -> tuple[dict[str, Tensor], Batch]:
    """Every quantity and every label that any objective needs, in float64."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda n: torch.randn(n, generator=generator, dtype=torch.float64)  # noqa: E731
    share = lambda n: torch.rand(n, generator=generator, dtype=torch.float64)  # noqa: E731
    n, m, q = sum(lengths), len(lengths), len(pairs)
    outputs = {
        "policy.logprobs": -3.0 * share(n),
        "policy.entropy": share(n),
        "critic.values": normal(n),
        "reward.scores": normal(m),
    }
    token = {
        "weight": share(n),
        "advantage": normal(n),
        "old": outputs["policy.logprobs"] + 0.3 * normal(n),
        "reference": outputs["policy.logprobs"] + normal(n),
        "old_value": outputs["critic.values"] + 0.3 * normal(n),
        "return": normal(n),
    }
    branch = {"tokens": torch.tensor(lengths), "rating": share(m), "weight": share(m)}
    pair = {
        "better": torch.tensor([b for b, _ in pairs], dtype=torch.int64),
        "worse": torch.tensor([w for _, w in pairs], dtype=torch.int64),
        "probability": 0.5 + 0.5 * share(q),
        "margin": share(q),
        "weight": share(q),
    }
    return outputs, batch_of(lengths, token=token, branch=branch, pair=pair)


def joined(first: Batch, second: Batch) -> Batch:
    """Two batches as one, branches counted through."""
    shift = {"better": first.branches, "worse": first.branches}
    return Batch(
        branch_N=torch.cat([first.branch_N, second.branch_N + first.branches]),
        branches=first.branches + second.branches,
        token={k: torch.cat([v, second.token[k]]) for k, v in first.token.items()},
        branch={k: torch.cat([v, second.branch[k]]) for k, v in first.branch.items()},
        pair={k: torch.cat([v, second.pair[k] + shift.get(k, 0)]) for k, v in first.pair.items()},
    )

"""The learner: trees and an objective in, weights out. It knows no algorithm.

Shapes: N policy tokens, M branches of a tree.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from plaudit.artifacts import write_text
from plaudit.learning.optimiser import Optimiser
from plaudit.models import Roles, TreeBatch, collate, micro_batches_of, per_branch
from plaudit.objectives import Mean
from plaudit.text import Tree


class Objective(Protocol):
    """What is minimised: a sum over the batch, never a mean.

    Weights in the trees' labels carry each part's share of the whole update, so the gradient is
    the same under every split into micro-batches.
    """

    @property
    def needs(self) -> tuple[str, ...]: ...

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: TreeBatch
    ) -> tuple[Tensor, dict[str, Mean]]: ...


@runtime_checkable
class Divisible(Protocol):
    """An objective that is a sum of others, computed one after another to hold less in memory."""

    @property
    def parts(self) -> Sequence[Objective]: ...


def parts_of(objective: Objective) -> Sequence[Objective]:
    return objective.parts if isinstance(objective, Divisible) else (objective,)


class NonFiniteLoss(RuntimeError):
    """A loss or gradient was NaN or infinite; the update was not made and its batch was saved."""


class Weights(NamedTuple):
    """What a sampler loads."""

    tensors: Mapping[str, Tensor]
    version: int


class Learner:
    """Runs forward passes and updates over trees, a micro-batch at a time.

    Args:
        roles: the models.
        optimiser: None for a learner that only runs forward.
        token_budget: positions (padding included) in one micro-batch.
        temperature: divides logits, so that log-probabilities are those of the sampler.
        failures: where the batch of a non-finite loss is written.
    """

    def __init__(
        self,
        roles: Roles,
        optimiser: Optimiser | None,
        *,
        token_budget: int,
        pad_id: int = 0,
        temperature: float = 1.0,
        failures: Path = Path("."),
    ) -> None:
        self.roles = roles
        self.optimiser = optimiser
        self.version = 0
        self.moved_roles: set[str] = set()
        """Frozen roles whose weights are no longer those they were loaded with."""
        self._token_budget = token_budget
        self._pad_id = pad_id
        self._temperature = temperature
        self._failures = failures

    @torch.no_grad()
    def forward(self, trees: Sequence[Tree], names: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """The named quantities of every tree, for example ``reference.logprobs`` [N]."""
        results: list[dict[str, np.ndarray]] = [{} for _ in trees]
        for rows in self._micro_batches(trees):
            batch = self._collate([trees[row] for row in rows])
            outputs = self.roles.outputs(batch, names, temperature=self._temperature)
            for name, values in outputs.items():
                sizes = [
                    len(trees[r].branches)
                    if per_branch(name)
                    else int(trees[r].tokens_per_branch_K.sum())
                    for r in rows
                ]
                parts = np.split(values.float().cpu().numpy(), np.cumsum(sizes)[:-1])
                for row, part in zip(rows, parts, strict=True):
                    results[row][name] = part
        return results

    def update(self, trees: Sequence[Tree], objective: Objective) -> dict[str, float]:
        """One optimiser step on the objective summed over all trees.

        Raises:
            NonFiniteLoss: the loss or a gradient is NaN or infinite.
        """
        totals = self.accumulate(trees, objective)
        return self.step(totals, trees)

    def accumulate(self, trees: Sequence[Tree], objective: Objective) -> dict[str, Mean]:
        """Add the objective's gradient over all trees to what the next step takes.

        Raises:
            NonFiniteLoss: the loss is NaN or infinite; nothing is left of the gradient.
        """
        assert self.optimiser is not None, "this learner was made for forward passes only"
        totals: dict[str, Mean] = {}
        for rows in self._micro_batches(trees):
            chosen = [trees[row] for row in rows]
            batch = self._collate(chosen)
            for part in parts_of(objective):
                for name, mean in self._backward(part, batch, chosen).items():
                    totals[name] = totals[name] + mean if name in totals else mean
        return totals

    def _backward(
        self, objective: Objective, batch: TreeBatch, trees: Sequence[Tree]
    ) -> dict[str, Mean]:
        assert self.optimiser is not None
        outputs = self.roles.outputs(batch, objective.needs, temperature=self._temperature)
        loss, metrics = objective(outputs, batch)
        if not torch.isfinite(loss):
            self.optimiser.clear()
            raise self._failure("loss", trees)
        self.optimiser.backward(loss)
        return metrics

    def step(self, totals: Mapping[str, Mean], trees: Sequence[Tree]) -> dict[str, float]:
        """Take the optimiser's step with the gradients added up, and give the metrics' values.

        Args:
            trees: what they were computed on, for the record if they are not finite.

        Raises:
            NonFiniteLoss: a gradient is NaN or infinite.
        """
        assert self.optimiser is not None, "this learner was made for forward passes only"
        norms = self.optimiser.step()
        if not all(math.isfinite(norm) for norm in norms.values()):
            raise self._failure("gradient", trees)
        self.version += 1
        rates = {f"learning_rate/{r}": self.optimiser.learning_rate(r) for r in norms}
        grad_norms = {f"grad_norm/{role}": norm for role, norm in norms.items()}
        return {name: mean.value() for name, mean in totals.items()} | grad_norms | rates

    def weights(self, role: str = "policy") -> Weights:
        """The role's weights and their version, for a sampler to load."""
        tensors = {n: p.detach() for n, p in self.roles.parameters(role).items()}
        return Weights(tensors, self.version)

    @torch.no_grad()
    def refresh(self, role: str, *, share: float) -> None:
        """Move a frozen role to the policy: ``share`` of its weights become the policy's (TR-DPO).

        From then on checkpoints hold the role's weights too.
        """
        source = self.roles.parameters("policy")
        for name, parameter in self.roles.parameters(role).items():
            parameter.lerp_(source[name], share)
        self.moved_roles.add(role)

    def checksum(self) -> str:
        """SHA-256 over every trained weight: equal runs have equal checksums."""
        digest = hashlib.sha256()
        for role in self.roles.trained:
            for name, parameter in sorted(self.roles.parameters(role).items()):
                digest.update(name.encode())
                digest.update(parameter.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def _micro_batches(self, trees: Sequence[Tree]) -> list[list[int]]:
        return micro_batches_of(trees, self.roles.layout, self._token_budget)

    def _collate(self, trees: Sequence[Tree]) -> TreeBatch:
        return collate(
            trees, layout=self.roles.layout, pad_id=self._pad_id, device=self.roles.device
        )

    def _failure(self, what: str, trees: Sequence[Tree]) -> NonFiniteLoss:
        file = self._failures / "non_finite_batch.json"
        write_text(file, json.dumps([_as_json(tree) for tree in trees]))
        return NonFiniteLoss(
            f"the {what} is not finite at update {self.version + 1}; its batch is in {file} "
            "(lower learning_rate, or look for labels out of range)"
        )


def _as_json(tree: Tree) -> dict:
    labels: Callable[[Mapping[str, np.ndarray]], dict] = lambda ls: {  # noqa: E731
        name: [repr(float(x)) for x in values] for name, values in ls.items()
    }
    return {
        "id": tree.id,
        "prompt": tree.prompt_P.tolist(),
        "branches": [{"ids": b.ids.tolist(), "mask": b.mask.tolist()} for b in tree.branches],
        "token": labels(tree.token),
        "branch": labels(tree.branch),
        "pair": labels(tree.pair),
    }
